/** Settles as the promise does, or rejects as soon as the caller gives up. */
export async function unlessAborted<Result>(promise: Result | Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
  if (!signal) return promise
  let leave = () => {}
  const gone = new Promise<never>((_, reject) => {
    leave = () => reject(signal.reason)
    if (signal.aborted) leave()
  })
  signal.addEventListener('abort', leave, { once: true })
  try {
    return await Promise.race([promise, gone])
  } finally {
    signal.removeEventListener('abort', leave)
  }
}

/**
 * Joins callers that want the same thing at the same time: one run of `work` for all of them. A caller who gives up leaves the others alone;
 * when the last one leaves, the work is told to stop.
 */
export function createFlights<Result>() {
  interface Flight {
    promise: Promise<Result>
    stop: AbortController
    waiting: number
  }
  const flights = new Map<string, Flight>()

  function start(key: string, work: (signal: AbortSignal) => Promise<Result>): Flight {
    const stop = new AbortController()
    const flight: Flight = { promise: work(stop.signal).finally(() => land(key, flight)), stop, waiting: 0 }
    flights.set(key, flight)
    return flight
  }

  function land(key: string, flight: Flight): void {
    if (flights.get(key) === flight) flights.delete(key)
  }

  return async function join(key: string, signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    signal?.throwIfAborted()
    const flight = flights.get(key) ?? start(key, work)
    flight.waiting++
    try {
      return await unlessAborted(flight.promise, signal)
    } finally {
      if (--flight.waiting === 0 && signal?.aborted) {
        land(key, flight)
        // Nobody is left to hear how it ends.
        flight.promise.catch(() => {})
        flight.stop.abort(signal.reason)
      }
    }
  }
}

/**
 * Runs `work` for one question after the other, since a refresh token is spent by its use and two uses at once look like a theft. Equal questions that wait or run
 * share one answer.
 */
export function createLine(work: (question: string) => Promise<string>) {
  const open = new Map<string, Promise<string>>()
  let last: Promise<unknown> = Promise.resolve()
  return (question: string): Promise<string> => {
    const known = open.get(question)
    if (known) return known
    const mine = last.then(() => work(question)).finally(() => open.delete(question))
    open.set(question, mine)
    last = mine.catch(() => {})
    return mine
  }
}
