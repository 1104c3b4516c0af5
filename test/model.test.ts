import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'

/** The models of `model/`, searched through by Spin: everything that can happen within their bounds. What they stand for, and what not, says model/README.md. */

const run = promisify(execFile)
const MODELS = fileURLToPath(new URL('../model', import.meta.url))
const DEPTH = 100_000
const TIME = { timeout: 300_000 }

const missing = ['/usr/bin/spin', '/usr/bin/gcc'].filter((program) => !existsSync(program))
const here = missing.length === 0
if (!here) process.stdout.write(`skipped: ${missing.join(', ')} missing (sudo apt-get install spin gcc libc6-dev)\n`)

interface Search {
  errors: number
  states: number
  /** What was violated. */
  said: string
}

/** @param faults names that the model is made with: bounds and faults; @param options.quick an error is found soon: to compile well would take longer */
async function search(model: string, faults: readonly string[], { liveness = false, quick = false } = {}): Promise<Search> {
  const folder = await mkdtemp(join(tmpdir(), 'caegis-model-'))
  try {
    const cwd = { cwd: folder, maxBuffer: 2 ** 24 }
    const made = await run('/usr/bin/spin', ['-a', ...faults.map((name) => `-D${name}`), join(MODELS, model)], cwd)
    expect(made.stdout).not.toMatch(/error/i)
    await run('/usr/bin/gcc', [quick ? '-O0' : '-O2', '-w', ...(liveness ? ['-DNFAIR=3'] : ['-DSAFETY']), '-o', 'pan', 'pan.c'], cwd)
    // Weak fairness: whoever can go on for ever will, some day. Otherwise nobody would have to.
    const { stdout } = await run('./pan', [...(liveness ? ['-a', '-f'] : []), `-m${DEPTH}`, '-w22', '-n'], { ...cwd, cwd: folder }).catch(
      (failed: { stdout?: string }) => ({ stdout: failed.stdout ?? '' }),
    )
    // A search that was cut short has shown nothing.
    expect(stdout).toContain('Full statespace search for')
    expect(stdout).not.toMatch(/max search depth too small|out of memory|MEMLIM|truncated/)
    const [, errors = 'none'] = /errors: (\d+)/.exec(stdout) ?? []
    const [, states = '0'] = /(\d+) states, stored/.exec(stdout) ?? []
    const [, said = ''] = /^pan:\d+: (.*)$/m.exec(stdout) ?? []
    return { errors: Number(errors), states: Number(states), said }
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** Nothing wrong in all of these states, of which there are as many as were once seen: a model that cannot move is right about everything. */
const CLAIMS: [claim: string, model: string, bounds: string[], states: number, liveness?: boolean][] = [
  ['I1: a token that was decided before a revocation is covered by it, one that was decided after it is not', 'fence.pml', [], 800_000],
  ['I1 to I4, by the clock: with a restore, deaths and losses, two changes', 'guard.pml', [], 1_000_000],
  ['I1 to I3, whatever the clock: three changes', 'guard.pml', ['CHANGES=3', 'END=0'], 50_000],
  ['I3: in the end the guard is in step', 'guard.pml', ['HEALS', 'END=0', 'LOSSES=1'], 50_000, true],
  ['I3: a receiver that acknowledges misses nothing, and acts on nothing behind what came later', 'push.pml', [], 1_000_000],
  ['I3: in the end it has acted on everything, or a letter says on what it has not', 'push.pml', ['ARRIVES', 'DEATHS=0'], 10_000, true],
]

const ORDER = ['CHANGES=3', 'END=0']
const CLOCK = ['CHANGES=1', 'RESTORES=0', 'DEATHS=0']
const I1 = /REFUSED|token\[i\]/
const I3 = /hKnown/
/** Each fault, and the assertion that finds it. */
const FAULTS: [fault: string, model: string, bounds: string[], found: RegExp][] = [
  ['FENCE_WITHOUT_LOCK', 'fence.pml', [], I1],
  ['FENCE_WITHOUT_VERSIONS', 'fence.pml', [], I1],
  ['FENCE_WITHOUT_CUTOFF', 'fence.pml', [], I1],
  ['ANSWER_BEFORE_COMMIT', 'fence.pml', [], I1],
  ['LAST_IAT_FORGOTTEN', 'fence.pml', [], I1],
  ['GUARD_COMPARES_LESS', 'fence.pml', [], I1],
  ['STARTS_EMPTY', 'guard.pml', ORDER, /ever/],
  ['EVENT_AFTER_COMMIT', 'guard.pml', ORDER, /edits==events/],
  ['NUMBER_BEFORE_COMMIT', 'guard.pml', ORDER, I3],
  ['SNAPSHOT_POSITION_LAST', 'guard.pml', ORDER, I3],
  ['SYNCED_BEFORE_HEAD', 'guard.pml', ORDER, I3],
  ['OLD_EPOCH_TRUSTED', 'guard.pml', ORDER, I3],
  ['POSITION_WITHOUT_EVENT', 'guard.pml', ORDER, I3],
  ['BROKER_FORGETS', 'guard.pml', ORDER, I3],
  ['TRAFFIC_PROVES', 'guard.pml', CLOCK, /now<=/],
  ['POLL_WITHOUT_TIMEOUT', 'guard.pml', CLOCK, /now<=/],
  ['NUMBER_BEFORE_COMMIT', 'push.pml', [], /k>acked/],
  ['DONE_WHEN_SENT', 'push.pml', [], /queue\|seen/],
  ['DONE_BEFORE_LETTER', 'push.pml', [], /queue\|seen/],
  ['ACCEPTED_BEFORE_QUEUED', 'push.pml', [], /queue\|seen/],
  ['SEEN_BEFORE_ACTED', 'push.pml', [], /acted>>k/],
  ['SUBJECTS_MIXED', 'push.pml', [], /acted>>3/],
]

// Only a developer's machine may lack what it takes.
describe.skipIf(!here && !process.env.CI)('the model', () => {
  it.each(CLAIMS)('%s', TIME, async (_claim, model, bounds, least, liveness = false) => {
    const { errors, states, said } = await search(model, bounds, { liveness })
    process.stdout.write(`${model} ${bounds.join(' ')}: ${states} states\n`)
    expect({ errors, said }).toEqual({ errors: 0, said: '' })
    expect(states).toBeGreaterThan(least)
  })

  it.each(FAULTS)('finds %s (%s)', TIME, async (fault, model, bounds, found) => {
    const { errors, said } = await search(model, [...bounds, fault], { quick: true })
    expect(errors).toBe(1)
    expect(said).toMatch(found)
  })
})
