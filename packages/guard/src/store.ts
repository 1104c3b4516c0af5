import { CaegisError, type Cutoff } from '@caegis/protocol'
import { GUARD_ERRORS } from './errors.ts'
import type { Log } from './log.ts'
import { sleep } from './sleep.ts'

/**
 * Where a guard keeps what no issuer would tell it again: what the API's owner revoked, and what a transmitter without snapshots said. Replicas may share one; cutoffs
 * are merged by maximum, so order and repetition do not matter.
 */
export interface CutoffStore {
  /** Everything that is kept for an issuer and has not passed its `until`. Nothing is allowed before it was read. */
  load(issuer: string): Iterable<Cutoff> | Promise<Iterable<Cutoff>>
  /** Adds to it; not waited for. */
  add(cutoffs: readonly Cutoff[]): unknown
}

const PAUSE = [500, 30_000] as const

/** Reads the store until that succeeds: a guard that has forgotten would allow what it refused before its restart (threat B3). */
export async function loadStore(store: CutoffStore, options: { issuer: string; log: Log; signal: AbortSignal }): Promise<Iterable<Cutoff>> {
  const { issuer, log, signal } = options
  for (let pause: number = PAUSE[0]; ; pause = Math.min(pause * 2, PAUSE[1])) {
    if (signal.aborted) throw new CaegisError('guard_closed', GUARD_ERRORS.guard_closed)
    try {
      const cutoffs = [...(await store.load(issuer))]
      if (!signal.aborted) return cutoffs.filter((cutoff) => cutoff.issuer === issuer)
    } catch (error) {
      log.warn('the store of cutoffs cannot be read, trying again', { issuer, error: String(error) })
    }
    await sleep(pause, signal)
  }
}

/** Keeps what was cut off, or says in the log that it could not. */
export function keepIn(store: CutoffStore | undefined, cutoffs: readonly Cutoff[], log: Log): void {
  if (!store) return
  Promise.resolve()
    .then(() => store.add(cutoffs))
    .catch((error: unknown) => log.error('a cutoff could not be stored: it is in force until this process ends', { error: String(error) }))
}
