import type { Random } from '../../fuzz/random.ts'

/** Requests that come by chance, wait in one line, and are worked on by so many at a time (M/M/c). */
export interface Station {
  /** A second. */
  arrivals: number
  /** Seconds that one takes, in the mean. */
  service: number
  workers: number
}

export interface Line {
  /** Of the workers' time; from 1 on nothing is stationary. */
  utilization: number
  saturated: boolean
  /** Share of those who wait at all. */
  waiting: number
  /** Mean seconds: in the line, and until it is done. */
  wait: number
  stay: number
  /** How many are in the line, and here, in the mean. */
  queued: number
  present: number
}

/** What queueing theory says of a station (Erlang C). Where more comes than can be done it says so, and gives no times: they have no end. */
export function line({ arrivals, service, workers }: Station): Line {
  const load = arrivals * service
  const utilization = load / workers
  if (!(utilization < 1)) return { utilization, saturated: true, waiting: 1, wait: Infinity, stay: Infinity, queued: Infinity, present: Infinity }
  // Erlang B by its recursion, which neither overflows nor divides by nothing.
  let blocked = 1
  for (let k = 1; k <= workers; k++) blocked = (load * blocked) / (k + load * blocked)
  const waiting = blocked / (1 - utilization * (1 - blocked))
  const wait = (waiting * service) / (workers * (1 - utilization))
  return { utilization, saturated: false, waiting, wait, stay: wait + service, queued: arrivals * wait, present: arrivals * (wait + service) }
}

/** One draw of the seconds that somebody waits in the line, before anybody works on it. */
export function drawWait(station: Station, random: Random): number {
  const { saturated, waiting } = line(station)
  if (saturated) return Infinity
  if (uniform(random) > waiting) return 0
  return drawn((station.service * 1) / (station.workers * (1 - (station.arrivals * station.service) / station.workers)), random)
}

/** Seconds that are spread like those between chances. */
export function drawn(mean: number, random: Random): number {
  return -mean * Math.log(1 - uniform(random))
}

function uniform(random: Random): number {
  return random.below(2 ** 31) / 2 ** 31
}

/** The same station, customer by customer: what the formulas are held against. */
export function walk({ arrivals, service, workers }: Station, customers: number, random: Random): { wait: number; present: number; rate: number } {
  const free = new Array<number>(workers).fill(0)
  let [now, waited, stayed, end] = [0, 0, 0, 0]
  for (let i = 0; i < customers; i++) {
    now += drawn(1 / arrivals, random)
    const at = free.indexOf(Math.min(...free))
    const begins = Math.max(now, free[at] as number)
    const done = begins + drawn(service, random)
    free[at] = done
    waited += begins - now
    stayed += done - now
    end = Math.max(end, done)
  }
  return { wait: waited / customers, present: stayed / end, rate: customers / end }
}
