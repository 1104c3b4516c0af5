import { certificate } from './machine/certificate.ts'
import { disk } from './machine/disk.ts'
import { handles } from './machine/handles.ts'
import { slowDatabase } from './machine/slow-database.ts'
import type { Outcome, RunOptions } from './run.ts'

/** What did not hold, in words; nothing, if all went well. `undefined`: it cannot be tried on this machine. */
export type Trial = (say: (text: string) => void) => Promise<string[] | undefined>

const TRIALS: Record<string, Trial> = {
  'a disk that is full': disk,
  'no file handle left': handles,
  'a certificate that has ended': certificate,
  'a database that is slow': slowDatabase,
}

/** What a machine does to a server in earnest: each time, whoever asks must be told clearly, and when it is over, all must go on in the same process without a hand. */
export async function run({ emit, progress }: RunOptions): Promise<Outcome> {
  const failed: string[] = []
  const left: string[] = []
  for (const [name, trial] of Object.entries(TRIALS)) {
    progress(name)
    const start = performance.now()
    const faults = await trial(progress).catch((error: unknown) => [`it broke off: ${String(error)}`])
    emit({ suite: 'machine', name: `${name}: begun, met and over`, value: (performance.now() - start) / 1000, unit: 's' })
    if (faults === undefined) left.push(name)
    else failed.push(...faults.map((fault) => `${name}: ${fault}`))
  }
  const tried = Object.keys(TRIALS).length - left.length
  return {
    failed,
    summary: `${tried} of ${Object.keys(TRIALS).length} faults of a machine${left.length > 0 ? `; not to be had here: ${left.join(', ')}` : ''}`,
  }
}
