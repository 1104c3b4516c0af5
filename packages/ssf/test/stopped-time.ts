import { KeyObject, sign as signBytes, verify as verifyBytes } from 'node:crypto'

/**
 * Time that stands still until it is told to go on: both clocks and every timer. The rest of the event loop is real, so what needs no time happens by itself.
 * Signatures are made and checked at once: worker threads would answer in an order of their own.
 */
export interface StoppedTime {
  /** Milliseconds. */
  now(): number
  /** Lets everything happen that does not wait for time. */
  quiet(): Promise<void>
  /** One timer after the other, each with all that follows from it. */
  advance(milliseconds: number): Promise<void>
  /** Gives the real ones back. */
  restore(): void
}

const TURNS = 4

export function stopTime(start = 1e12): StoppedTime {
  const { setTimeout, clearTimeout } = globalThis
  const { random } = Math
  const wall = Date.now
  const { subtle } = globalThis.crypto
  const { sign, verify } = subtle
  const timers = new Map<number, { at: number; run: () => void }>()
  let clock = start
  let made = 0

  globalThis.setTimeout = ((run: (...args: unknown[]) => void, wait = 0, ...args: unknown[]) => {
    made++
    timers.set(made, { at: clock + Math.max(0, wait), run: () => run(...args) })
    return made
  }) as unknown as typeof setTimeout
  globalThis.clearTimeout = ((timer: number) => void timers.delete(timer)) as typeof clearTimeout
  Date.now = () => clock
  Object.defineProperty(performance, 'now', { value: () => clock, configurable: true })
  const keyOf = (key: CryptoKey) => ({ key: KeyObject.from(key as never), dsaEncoding: 'ieee-p1363' as const })
  subtle.sign = (async (_: unknown, key: CryptoKey, data: Uint8Array) => signBytes('sha256', data, keyOf(key))) as unknown as typeof sign
  subtle.verify = (async (_: unknown, key: CryptoKey, signature: Uint8Array, data: Uint8Array) =>
    verifyBytes('sha256', data, keyOf(key), signature)) as unknown as typeof verify
  // Jitter would make two runs of the same commands differ.
  Math.random = () => 0.5

  const quiet = async () => {
    for (let i = 0; i < TURNS; i++) await new Promise((resolve) => setImmediate(resolve))
  }
  return {
    now: () => clock,
    quiet,
    async advance(milliseconds) {
      const end = clock + milliseconds
      await quiet()
      for (;;) {
        let next: [number, { at: number; run: () => void }] | undefined
        for (const timer of timers) if (timer[1].at <= end && (!next || timer[1].at < next[1].at)) next = timer
        if (!next) break
        timers.delete(next[0])
        clock = Math.max(clock, next[1].at)
        next[1].run()
        await quiet()
      }
      clock = end
      await quiet()
    },
    restore() {
      globalThis.setTimeout = setTimeout
      globalThis.clearTimeout = clearTimeout
      Date.now = wall
      Reflect.deleteProperty(performance, 'now')
      Math.random = random
      subtle.sign = sign
      subtle.verify = verify
    },
  }
}
