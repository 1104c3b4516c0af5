/** Waits, but no longer than the signal allows; never rejects. */
export function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, milliseconds)
    signal.addEventListener('abort', done, { once: true })
    if (signal.aborted) done()
  })
}

export interface Backoff {
  /** Milliseconds to wait now: doubled each time up to the longest, with jitter so that many receivers do not come back at once. */
  next(): number
  reset(): void
}

export function createBackoff([first, longest]: readonly [number, number]): Backoff {
  let failures = 0
  return {
    next: () => Math.min(longest, first * 2 ** failures++) * (0.5 + Math.random() / 2),
    reset() {
      failures = 0
    },
  }
}
