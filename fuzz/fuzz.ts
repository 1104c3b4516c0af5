import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { createInputs } from './inputs.ts'
import type { Target } from './target.ts'
import type { Report, Share } from './worker.ts'

export interface FuzzOptions {
  inputs: number
  seed: number
  /** URL of a module that exports `targets`; default: those of this folder. */
  module?: string
  workers?: number
  /** Milliseconds that one input may take. */
  patience?: number
  onFailure?: (failure: Failure) => void
}

export interface Failure {
  target: string
  index: number
  /** Base64 of the input's UTF-8. */
  input: string
  wrong: string
}

export interface Outcome {
  failures: Failure[]
  /** By target. */
  counts: Map<string, { inputs: number; taken: number }>
}

/** Failures after which nobody learns anything new. */
const ENOUGH = 50
const LOOK_EVERY = 200

/** Reads every input in worker threads, each of which is watched: one that hangs is ended, and goes on behind the input that it hung at. */
export async function fuzz(options: FuzzOptions): Promise<Outcome> {
  const { inputs, seed, module = new URL('targets.ts', import.meta.url).href, patience = 20_000, onFailure } = options
  const workers = Math.min(options.workers ?? availableParallelism(), inputs)
  const outcome: Outcome = { failures: [], counts: new Map() }
  const { targets } = (await import(module)) as { targets: Target[] }

  const fail = (failure: Failure) => {
    outcome.failures.push(failure)
    onFailure?.(failure)
  }
  const runShare = (first: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const at = new Int32Array(new SharedArrayBuffer(4))
      // It takes a while until the first one is read.
      Atomics.store(at, 0, -1)
      const share: Share = { module, seed, first, step: workers, end: inputs, at }
      const worker = new Worker(new URL('worker.ts', import.meta.url), {
        workerData: share,
        execArgv: ['--conditions=caegis-source'],
        // As much as a server's main thread has: what overflows there must overflow here.
        resourceLimits: { stackSizeMb: 1 },
      })
      let [last, since] = [-1, Date.now()]
      const watch = setInterval(() => {
        const index = Atomics.load(at, 0)
        if (index !== last || index < 0) [last, since] = [index, Date.now()]
        else if (Date.now() - since > patience) {
          void giveUp(`no end after ${patience} ms`)
        } else if (outcome.failures.length >= ENOUGH) void end().then(() => resolve())
      }, LOOK_EVERY)
      /** The thread is lost at the input that it reads; another goes on behind it. */
      const giveUp = async (wrong: string) => {
        const index = Atomics.load(at, 0)
        const { target, text } = createInputs(targets, seed)(index)
        fail({ target: target.name, index, input: Buffer.from(text).toString('base64'), wrong })
        await end()
        if (index + workers < inputs && outcome.failures.length < ENOUGH) runShare(index + workers).then(resolve, reject)
        else resolve()
      }
      const end = () => {
        clearInterval(watch)
        worker.removeAllListeners()
        return worker.terminate()
      }
      worker.on('message', (report: Report) => {
        if (report.is === 'failure') fail({ target: report.target, index: report.index, input: report.input, wrong: report.wrong })
        else {
          for (const [name, { inputs: read, taken }] of Object.entries(report.counts)) {
            const sum = outcome.counts.get(name) ?? { inputs: 0, taken: 0 }
            outcome.counts.set(name, { inputs: sum.inputs + read, taken: sum.taken + taken })
          }
          void end().then(() => resolve())
        }
      })
      const lost = (error: unknown) => {
        if (Atomics.load(at, 0) >= 0) void giveUp(`the thread died: ${String(error)}`)
        else void end().then(() => reject(error instanceof Error ? error : new Error(`a thread ended: ${String(error)}`)))
      }
      worker.on('error', lost)
      worker.on('exit', lost)
    })
  await Promise.all(Array.from({ length: workers }, (_, i) => runShare(i)))
  return outcome
}
