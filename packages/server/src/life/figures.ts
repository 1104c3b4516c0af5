import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Sample } from '@caegis/guard/metrics'
import { passwordWork } from '../directory/password.ts'
import type { Store } from '../store/store.ts'
import type { Drain } from './drain.ts'
import { KINDS, type Load } from './load.ts'

/** One figure of this process; another one has its own. */
export interface Figure {
  name: string
  kind: 'counter' | 'gauge'
  help: string
  read(): Sample[]
}

const one = (value: number | undefined): Sample[] => (value === undefined ? [] : [{ labels: {}, value }])

/** One number; nothing is said where there is none. */
export function gauge(name: string, help: string, read: () => number | undefined): Figure {
  return { name, kind: 'gauge', help, read: () => one(read()) }
}

/** Requests by their kind, and what waits because of them. */
export function loadFigures(load: Load, drain: Pick<Drain, 'draining'>, held: () => number): Figure[] {
  return [
    {
      ...{ name: 'caegis_requests_total', kind: 'counter', help: 'Answers by kind of request and status' },
      read: () => KINDS.flatMap((kind) => [...load.answered(kind)].map(([status, value]) => ({ labels: { kind, status: String(status) }, value }))),
    },
    {
      ...{ name: 'caegis_requests_under_way', kind: 'gauge', help: 'Requests that are worked on; held polls and event streams are under way, too' },
      read: () => KINDS.map((kind) => ({ labels: { kind }, value: load.underWay(kind) })),
    },
    {
      ...{ name: 'caegis_requests_refused_total', kind: 'counter', help: 'Requests that were sent away because there was no room for them (429)' },
      read: () => KINDS.map((kind) => ({ labels: { kind }, value: load.refused(kind) })),
    },
    gauge('caegis_polls_held', 'Long polls that are held', held),
    gauge('caegis_password_checks_waiting', 'Passwords that wait to be hashed', () => passwordWork().waiting),
    gauge('caegis_draining', '1 from the moment at which the process is about to end', () => Number(drain.draining)),
  ]
}

/**
 * What the store does. To be called before anybody uses it: it counts by what is called. What waits for its turn there is bounded by the requests that are worked on:
 * each waits for one transaction at a time.
 */
export function storeFigures(store: Store): Figure[] {
  const { transaction, commit } = store
  let waiting = 0
  const done = { committed: 0, failed: 0 }
  let commits = 0
  store.transaction = async (...given: Parameters<typeof transaction>) => {
    waiting++
    try {
      const result = await (transaction as (...given: unknown[]) => Promise<unknown>)(...given)
      done.committed++
      return result as never
    } catch (error) {
      done.failed++
      throw error
    } finally {
      waiting--
    }
  }
  store.commit = async (change) => {
    const committed = await commit(change)
    commits++
    return committed
  }
  return [
    { name: 'caegis_changes_total', kind: 'counter', help: 'Changes of the directory that were committed by this process', read: () => one(commits) },
    {
      ...{ name: 'caegis_transactions_total', kind: 'counter', help: 'Other transactions by what became of them' },
      read: () => Object.entries(done).map(([outcome, value]) => ({ labels: { outcome }, value })),
    },
    gauge('caegis_transactions_waiting', 'Transactions that wait for their turn or are under way', () => waiting),
  ]
}

/** What the fence said of attempts, by its words. */
export function fenceFigures(): { count(outcome: string): void; figures: Figure[] } {
  const outcomes = new Map<string, number>()
  return {
    count: (outcome) => void outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1),
    figures: [
      {
        ...{ name: 'caegis_fence_total', kind: 'counter', help: 'Attempts at the fence by what it said: passed, moved, covered, stopped' },
        read: () => [...outcomes].map(([outcome, value]) => ({ labels: { outcome }, value })),
      },
    ],
  }
}

/** Milliseconds between two looks at the clock of the event loop. */
const RESOLUTION = 20
/** Milliseconds that a figure of its delay is about. */
const PERIOD = 10_000

/** How late the event loop was in the last ten seconds: everything in this process waits at least so long. */
export function loopFigures(): { figures: Figure[]; close(): void } {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION })
  delay.enable()
  let last: [string, number][] = []
  const timer = setInterval(() => {
    last = [0.5, 0.99, 1].map((q) => [String(q), Math.max(0, (q === 1 ? delay.max : delay.percentile(100 * q)) / 1e9 - RESOLUTION / 1000)])
    delay.reset()
  }, PERIOD).unref()
  return {
    figures: [
      {
        ...{ name: 'caegis_event_loop_delay_seconds', kind: 'gauge', help: 'How late the event loop was in the last ten seconds' },
        read: () => last.map(([quantile, value]) => ({ labels: { quantile }, value })),
      },
    ],
    close() {
      clearInterval(timer)
      delay.disable()
    },
  }
}
