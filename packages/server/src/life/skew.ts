import type { Log } from '../log.ts'

export interface SkewedStore {
  clock(): number
  /** Seconds by which this machine's clock is ahead of the store's; undefined where there is one clock only. */
  skew?(): number | undefined
}

export interface Skew {
  now(): number | undefined
  close(): void
}

/** Milliseconds between two looks. */
const PERIOD = 10_000
/** Seconds that are worth a word: what is issued here would seem to be of another second elsewhere, if anybody went by this clock. */
const WORTH_A_WORD = 1
/** Seconds at which guards on this machine refuse tokens as issued in the future, or keep them too long: those go by the machine's own clock. */
const WORTH_AN_ALARM = 60

/**
 * Watches how far this machine's clock is from the store's. For tokens and cutoffs it means nothing: every instant of both comes from the store's clock, which is one for
 * all processes. So it is told, once and again when it has changed, and makes no process unready: where the database's own clock steps, all of them would be unready at once.
 */
export function watchSkew(store: SkewedStore, log: Pick<Log, 'info' | 'warn' | 'error'>): Skew {
  let told = 0
  const now = () => store.skew?.()
  const look = () => {
    const skew = now()
    if (skew === undefined) return
    const size = Math.abs(skew)
    if (size <= WORTH_A_WORD ? told === 0 : told !== 0 && Math.abs(skew - told) <= WORTH_A_WORD) return
    told = size <= WORTH_A_WORD ? 0 : skew
    const seconds = Math.round(skew * 10) / 10
    if (told === 0) log.info("this machine's clock is as the database's again", { seconds })
    else if (size < WORTH_AN_ALARM) log.warn("this machine's clock is not as the database's: see to its time service", { seconds })
    else log.error("this machine's clock is far from the database's: see to its time service", { alarm: true, seconds })
  }
  const timer = setInterval(look, PERIOD).unref()
  look()
  return { now, close: () => clearInterval(timer) }
}
