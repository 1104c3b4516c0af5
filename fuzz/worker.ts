import { parentPort, workerData } from 'node:worker_threads'
import { createInputs, tryInput } from './inputs.ts'
import type { Target } from './target.ts'

/** One share of the inputs: every `step`-th from `first` on. */
export interface Share {
  /** URL of a module that exports `targets`. */
  module: string
  seed: number
  first: number
  step: number
  end: number
  /** The input that is being read, for who watches: a parser that hangs says nothing any more. */
  at: Int32Array
}

export type Report =
  | { is: 'failure'; target: string; index: number; input: string; wrong: string }
  | { is: 'done'; counts: Record<string, { inputs: number; taken: number }> }

const { module, seed, first, step, end, at } = workerData as Share
const { targets } = (await import(module)) as { targets: Target[] }
const inputOf = createInputs(targets, seed)
const say = (report: Report) => parentPort?.postMessage(report)
// A parser that waits for nothing that could come would end the thread: it is to be seen waiting.
const alive = setInterval(() => {}, 60_000)
const counts: Record<string, { inputs: number; taken: number }> = {}

for (let index = first; index < end; index += step) {
  Atomics.store(at, 0, index)
  const input = inputOf(index)
  const { taken, wrong } = await tryInput(input)
  const { inputs, taken: before } = counts[input.target.name] ?? { inputs: 0, taken: 0 }
  counts[input.target.name] = { inputs: inputs + 1, taken: before + Number(taken) }
  if (wrong !== undefined) say({ is: 'failure', target: input.target.name, index, input: Buffer.from(input.text).toString('base64'), wrong })
}
clearInterval(alive)
say({ is: 'done', counts })
