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
    let leave = () => {}
    const gone = new Promise<never>((_, reject) => {
      leave = () => reject(signal?.reason)
    })
    signal?.addEventListener('abort', leave, { once: true })
    try {
      return await (signal ? Promise.race([flight.promise, gone]) : flight.promise)
    } finally {
      signal?.removeEventListener('abort', leave)
      if (--flight.waiting === 0 && signal?.aborted) {
        land(key, flight)
        // Nobody is left to hear how it ends.
        flight.promise.catch(() => {})
        flight.stop.abort(signal.reason)
      }
    }
  }
}
