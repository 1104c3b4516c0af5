import type { Log } from '../log.ts'

/** Work that is done by one living node at a time, however many servers there are over the store: each piece has a name, and whoever holds the lease of that name does it. */
export interface Leases {
  /** From now on this node wants the lease, and does the work whenever it has it. */
  hold(name: string, begin: () => Work): Held
  /** How many this node has now. */
  held(): number
  /** Ends all work, and leaves it to the others. */
  close(): Promise<void>
}

export interface Work {
  /** The lease was lost, or is not wanted any more: what is under way is called off at once. */
  close(): Promise<void>
  /** What every node may tell of the work: plain data. */
  report?(): unknown
}

export interface Held {
  /** What the work says of itself, wherever it is done: of another node a moment old; undefined where nobody does it. */
  report(): Promise<unknown>
  close(): Promise<void>
}

/** Where it stands who holds what. */
export interface LeaseKeeper {
  /** Milliseconds from the beginning of a successful `keep` for which nobody else gets what it returned. */
  readonly lasts: number
  /**
   * Keeps what this node holds, takes what is free of the names wanted, gives back the others. Returns what it holds now; nothing at all when it had lost anything meanwhile,
   * so that what it did under the old lease ends before it begins under a new one.
   */
  keep(wanted: readonly string[]): Promise<ReadonlySet<string>>
  /** Tells the others what the work says of itself. */
  tell(reports: ReadonlyMap<string, string>): Promise<void>
  reportOf(name: string): Promise<string | undefined>
  /** Resolves when something may have become free, or when the signal aborts. */
  wait(signal: AbortSignal): Promise<void>
  /** Gives everything back. */
  end(): Promise<void>
}

interface Job {
  name: string
  begin: () => Work
  work?: Work | undefined
  /** The last work, until it has ended. */
  ending?: Promise<void> | undefined
  closed: boolean
}

/** Of the time for which a lease lasts: when it is renewed, and when the holder stops because it could not renew it. The rest is for what is under way to end. */
const RENEW = 0.3
const STOP = 0.8
/** Milliseconds between two attempts to get what somebody else has. */
const AGAIN = 1000
/** Milliseconds after which work is begun again that could not be. */
const RETRY = 1000

/** Why one loop for all names: a node lives or does not, so one statement a second and a half renews all that it has. */
export function createLeases({ keeper, log }: { keeper: LeaseKeeper; log: Log }): Leases {
  const jobs = new Map<string, Job>()
  const over = new AbortController()
  let held: ReadonlySet<string> = new Set()
  /** By the monotonic clock: the others may take what we have not much later, whatever has become of our renewals. */
  let until = 0
  let alarm: NodeJS.Timeout | undefined
  let waking = new AbortController()
  let due = false
  let failing = false
  let told = new Map<string, string>()
  let running: Promise<void> | undefined
  let closing = false

  const has = (name: string) => held.has(name) && performance.now() < until
  const wake = () => {
    due = true
    waking.abort()
  }

  async function follow(): Promise<void> {
    while (!over.signal.aborted) {
      // What is asked for in one go is taken in one go.
      await new Promise((resolve) => setImmediate(resolve))
      due = false
      waking = new AbortController()
      await beat()
      if (due || over.signal.aborted) continue
      const all = [...jobs.keys()].every((name) => held.has(name))
      const pause = Math.min(keeper.lasts * RENEW, all && !failing ? Number.POSITIVE_INFINITY : AGAIN)
      const { signal } = waking
      const timer = Number.isFinite(pause) ? setTimeout(() => waking.abort(), pause) : undefined
      timer?.unref()
      await keeper.wait(signal)
      clearTimeout(timer)
    }
  }

  async function beat(): Promise<void> {
    const began = performance.now()
    try {
      // What is ending stays ours until it has ended.
      const kept = await keeper.keep([...jobs.values()].filter((job) => !job.closed || job.work || job.ending).map((job) => job.name))
      held = kept
      until = began + keeper.lasts * STOP
      stopLater()
      await tell()
      if (failing) log.info('leases are renewed again')
      failing = false
    } catch (error) {
      if (!failing) log.error('leases could not be renewed', { message: (error as Error).message })
      failing = true
    }
    for (const job of jobs.values()) consider(job)
  }

  function stopLater(): void {
    clearTimeout(alarm)
    if (held.size === 0 || !Number.isFinite(until)) return
    alarm = setTimeout(
      () => {
        log.error('leases could not be renewed in time: others may take them', { count: held.size })
        held = new Set()
        for (const job of jobs.values()) consider(job)
        wake()
      },
      Math.max(0, until - performance.now()),
    )
    alarm.unref()
  }

  async function tell(): Promise<void> {
    const reports = new Map<string, string>()
    for (const { name, work } of jobs.values()) {
      if (work?.report && held.has(name)) reports.set(name, JSON.stringify(work.report()))
    }
    const news = new Map([...reports].filter(([name, text]) => told.get(name) !== text))
    if (news.size > 0) await keeper.tell(news)
    told = reports
  }

  /** Begins what is ours and ends what is not. */
  function consider(job: Job): void {
    const wanted = !job.closed && !closing && has(job.name)
    if (wanted && !job.work && !job.ending) start(job)
    else if (!wanted && job.work) stop(job, job.work)
  }

  function start(job: Job): void {
    try {
      job.work = job.begin()
      log.debug('a lease was taken', { name: job.name })
    } catch (error) {
      log.error('what a lease is for could not be begun', { name: job.name, message: (error as Error).message })
      setTimeout(() => consider(job), RETRY).unref()
    }
  }

  function stop(job: Job, work: Work): void {
    job.work = undefined
    job.ending = work
      .close()
      .catch((error: Error) => log.error('what a lease was for did not end well', { name: job.name, message: error.message }))
      .then(() => {
        job.ending = undefined
        // It may be ours again by now.
        consider(job)
      })
  }

  async function end(job: Job): Promise<void> {
    job.closed = true
    consider(job)
    await job.ending
  }

  return {
    hold(name, begin) {
      if (jobs.has(name)) throw new TypeError(`the lease "${name}" is wanted already`)
      const job: Job = { name, begin, closed: false }
      jobs.set(name, job)
      wake()
      running ??= follow()
      return {
        async report() {
          const text = job.work ? JSON.stringify(job.work.report?.()) : await keeper.reportOf(name)
          return text === undefined ? undefined : JSON.parse(text)
        },
        async close() {
          await end(job)
          if (jobs.get(name) === job) jobs.delete(name)
          wake()
        },
      }
    },
    held: () => [...jobs.keys()].filter(has).length,
    async close() {
      closing = true
      // Renewed until all has ended.
      await Promise.all([...jobs.values()].map(end))
      over.abort()
      wake()
      await running
      clearTimeout(alarm)
      // Whoever cannot give it back loses it in a moment anyway; everything else still has to end.
      await keeper.end().catch((error: Error) => log.warn('leases could not be given back', { message: error.message }))
    },
  }
}
