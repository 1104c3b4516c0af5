import { setTimeout as sleep } from 'node:timers/promises'
import { createReceiver } from '@caegis/ssf/receiver'
import { type Client, createClient } from './client.ts'
import type { Answers } from './guard.ts'
import { createLedger, type Held } from './ledger.ts'
import { createLoad } from './load.ts'
import type { Kind, Part } from './parts.ts'
import { createRandom, type Random } from './random.ts'
import { settle, until } from './settle.ts'
import { GUARDS, SECRET, startWorld, type World, type WorldOptions } from './world.ts'

export interface LegOptions {
  store: WorldOptions['store']
  kills: number
  seed: number
  /** Whoever wants it to end gets what is known by then. */
  stopping: AbortSignal
  progress(text: string): void
}

/** People: those whom nobody touches, those whose refresh tokens are shown again, those to whom things happen. */
const [STEADY, SPENDERS, OTHERS] = [3, 3, 24]
/** After so many kills everything comes back, and is looked at. */
const ROUND = 40
/** Milliseconds from one kill to the next, on average. */
const PACE = 700
/** After so many in a row, so many changes are acknowledged and somebody is let in before the next one: on a busy machine nothing would be but starts. */
const IN_A_ROW = 8
const PROGRESS = 6
/** Milliseconds between two batches for each guard. */
const TICK = 80
/** How likely each is killed; what is still starting is killed as well, but not so often that it never does. */
const WEIGHTS: Record<WorldOptions['store'], Record<Kind, number>> = {
  sqlite: { server: 3, guard: 1.2, nats: 3, postgres: 0, backend: 0 },
  postgres: { server: 1.2, guard: 0.8, nats: 1.8, postgres: 2.2, backend: 2.5 },
}
const EARLY = 0.4
const WATCHER = 'the receiver that is told everything'

export type Leg = Awaited<ReturnType<typeof runLeg>>

/** All parts over one store, killed at random under load, until so many kills are done. */
export async function runLeg({ store, kills, seed, stopping, progress }: LegOptions) {
  const faults: string[] = []
  const kinds = new Map<string, number>()
  let wrongs = 0
  let told = 0
  const say = (fault: string) => {
    wrongs++
    // A thousand of one kind must not hide the one of another.
    const kind = fault.replace(/[\da-f]{8}\S*|\d+/g, '').slice(0, 40)
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
    if ((kinds.get(kind) ?? 0) <= 5) faults.push(`${new Date().toISOString()} ${store}: ${fault}`)
  }
  const [schedule, choices] = [createRandom(seed), createRandom(seed + 1)]
  const names = Array.from({ length: STEADY + SPENDERS + OTHERS }, (_, i) => `user${i}@contoso.test`)
  const world = await startWorld({ store, users: names })
  const ledger = createLedger(say)
  const client = createClient(world)
  const load = createLoad({ client, ledger, random: choices, say, upns: names, steady: STEADY, spenders: SPENDERS })
  const got = new Map<string, number>()
  let duplicates = 0
  const receiver = createReceiver({
    ...{ transmitter: world.issuer, credentials: { clientId: 'watcher', clientSecret: SECRET }, description: WATCHER },
    ...{ delivery: 'poll', waitSeconds: 3 },
    timing: { backoff: [100, 1000] },
    // Nothing is remembered, so that what comes twice is seen.
    seen: { has: async () => false, add: async () => {} },
    on: {
      '*': ({ jti }) => {
        const id = jti.slice(0, jti.lastIndexOf('.'))
        if (got.has(id)) duplicates++
        else got.set(id, got.size)
      },
    },
  })
  const asking = createAsking(world, choices, (guard, answers, asked) => ledger.judge(guard, answers, asked))
  const known = { events: [] as never[] }
  const backends = { kills: 0, times: [] as number[] }
  const begun = performance.now()
  let done = 0
  try {
    if (!(await until(() => world.parts.every((part) => part.up()) || undefined))) throw new Error(wordsOf(world, 'the servers did not start'))
    await prepareStream(world, client)
    await receiver.start()
    await load.begin()
    world.startGuards(load.steady)
    await allBack()
    // A guard that is killed in its first second would never have seen a token let in.
    const ticking = setInterval(() => asking.tick(ledger.tokens), TICK)
    try {
      while (done < kills && !stopping.aborted) {
        for (const end = Math.min(kills, done + ROUND); done < end && !stopping.aborted; ) {
          await sleep(schedule.wait(PACE))
          if (!(await killOne())) continue
          done++
          if (done % IN_A_ROW === 0) await progressed()
        }
        await look(done >= kills || stopping.aborted)
      }
    } finally {
      clearInterval(ticking)
    }
    for (const part of world.parts) for (const words of part.fell) say(`${part.unit.name} ended by itself: ${words}`)
    return {
      store,
      seed,
      kills: done,
      faults,
      wrongs,
      ledger,
      load: load.counts,
      parts: world.parts,
      backends,
      got: got.size,
      duplicates,
      events: known.events.length,
      seconds: (performance.now() - begun) / 1000,
    }
  } finally {
    load.goOn()
    await Promise.all([load.end(), receiver.close(), world.close()])
  }

  async function killOne(): Promise<boolean> {
    const all: { one: Part | undefined; weight: number }[] = world.parts
      .filter(({ unit }) => unit.alive())
      .map((one) => ({ one, weight: WEIGHTS[store][one.unit.kind] * (one.up() ? 1 : EARLY) }))
    if (world.parts.some((part) => part.unit.kind === 'postgres' && part.up())) all.push({ one: undefined, weight: WEIGHTS[store].backend })
    const index = schedule.weighed(all.map(({ weight }, at) => ({ one: at, weight })))
    if (index === undefined) return false
    const part = all[index]?.one
    if (part) return part.kill()
    // Nobody waits for it: other parts are killed meanwhile.
    const pick = schedule.next()
    return new Promise((resolve) => {
      void world
        .killBackend((count) => {
          if (count > 0) backends.kills++
          resolve(count > 0)
          return Math.floor(pick * count)
        })
        .then((milliseconds) => milliseconds !== undefined && backends.times.push(milliseconds))
    })
  }

  function acknowledged(): number {
    return ledger.changes.filter(({ acked }) => acked !== undefined).length
  }

  async function progressed(): Promise<void> {
    const [changes, { allowed }] = [acknowledged() + PROGRESS, { ...ledger.counts }]
    await until(() => (acknowledged() >= changes && ledger.counts.allowed > allowed) || stopping.aborted || undefined)
  }

  async function allBack(): Promise<void> {
    if (!(await until(() => world.parts.every((part) => part.up()) || undefined))) say(wordsOf(world, 'not everything came back'))
  }

  /** @param all at the end everything dies at once */
  async function look(all: boolean): Promise<void> {
    if (all) await Promise.all(world.parts.map((part) => part.kill()))
    await allBack()
    await sleep(1500)
    await load.hold()
    try {
      await settle({ world, ledger, load, got, receiver, known, verdicts: asking.ask, say })
    } catch (error) {
      say(`could not be looked at: ${error}`)
    }
    const acknowledged = ledger.changes.filter(({ acked }) => acked !== undefined).length
    progress(
      `${store}: ${done} kills, ${acknowledged} changes acknowledged, ${known.events.length} events, ${ledger.counts.checks} checks, ${wrongs} faults`,
    )
    for (; told < faults.length; told++) progress(`DOES NOT HOLD: ${faults[told]}`)
    load.goOn()
  }
}

/** Makes the receiver's stream for it: one that takes what is about a session too, which a receiver does not ask for by itself. */
async function prepareStream({ authority }: World, client: Client): Promise<void> {
  const form = { grant_type: 'client_credentials', client_id: 'watcher', client_secret: SECRET, scope: 'ssf.read ssf.manage' }
  const answer = await client.token(form)
  const response = await fetch(`${authority}/ssf/streams`, {
    method: 'POST',
    headers: { authorization: `Bearer ${answer?.body.access_token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ delivery: { method: 'urn:ietf:rfc:8936' }, description: WATCHER, caegis: { subjects: 'complex' } }),
  })
  if (response.status !== 201) throw new Error(`no stream: ${response.status} ${await response.text()}`)
}

function wordsOf({ parts }: World, what: string): string {
  const down = parts.filter((part) => !part.up())
  return `${what}: ${down.map(({ unit, stillborn }) => `${unit.name} ${stillborn.at(-1) ?? ''}`).join(', ')}`
}

/** Asks the guards without a pause: what may be revoked any moment, what was, and what never is. */
function createAsking(world: World, random: Random, judge: (guard: number, answers: Answers, asked: readonly Held[]) => void) {
  let id = 0
  const open = new Map<number, { asked: readonly Held[]; answered?: (answers: Answers) => void }>()
  for (const [i, guard] of world.guards.entries()) {
    guard.onAnswer = (answers) => {
      const asked = open.get(answers.id)
      open.delete(answers.id)
      if (asked?.answered) asked.answered(answers)
      else if (asked) judge(i, answers, asked.asked)
    }
  }
  return {
    tick(tokens: ReadonlySet<Held>): void {
      const all = [...tokens]
      const racing = all.filter(({ covered, refused }) => covered !== undefined && refused.size < GUARDS.length).slice(-30)
      const asked = [...new Set([...racing, ...all.slice(-10), ...Array.from({ length: 15 }, () => random.pick(all))])].filter(
        (held) => held && held.exp > Date.now() / 1000 + 60,
      )
      for (const i of GUARDS.keys()) {
        open.set(++id, { asked })
        world.guards[i]?.ask({ ask: 'check', id, tokens: asked.map(({ text }) => text) })
      }
      // Those of whoever was killed are never answered.
      for (const old of open.keys()) if (old < id - 4000) open.delete(old)
    },
    /** One answer, or none. */
    ask: (guard: number, tokens: string[]) =>
      new Promise<Answers | undefined>((resolve) => {
        const mine = ++id
        open.set(mine, { asked: [], answered: resolve })
        setTimeout(() => resolve(undefined), 20_000).unref()
        world.guards[guard]?.ask({ ask: 'check', id: mine, tokens })
      }),
  }
}
