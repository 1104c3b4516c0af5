import { CaegisError, type Cutoff, EVENT, type Head, type SecurityEvent } from '@caegis/protocol'
import { createBackoff, sleep } from '../wait.ts'
import { eventOf, type Place, type Position } from '../wire.ts'
import { type CarrierStatus, createCarrier } from './carrier.ts'
import { arrange, isControl, type PollAnswer, statusChange, verifyAll } from './delivery.ts'
import { failure } from './errors.ts'
import { type FollowOptions, settleFollow } from './follow-options.ts'
import { createLogClock } from './log-clock.ts'
import { createPoller, type Poller } from './poller.ts'
import { SNAPSHOT_TOO_OLD } from './read-snapshot.ts'
import { createRefusals } from './refusals.ts'
import { createSessions, type Session } from './session.ts'
import { createJwsVerifier, type JwsVerifier } from './verify-jws.ts'

export interface FollowStatus {
  state: 'starting' | 'following' | 'out of sync' | 'closed'
  /** Why it is out of sync. */
  reason?: string
  /** Our stream's id. */
  stream?: string
  /** Up to where everything has been handed over; guard streams only. */
  position?: Position
  /** The newest head that was heard of. */
  head?: Head
  /** Milliseconds: when the last poll was answered. */
  heardAt?: number
  /** SETs handed over; refused (unverifiable); passed over (about streams that are not ours, or already known). */
  counts: { applied: number; refused: number; ignored: number }
  /** Code of the last failure, until a poll succeeds. */
  error?: string
  /** More about it, where more is known. */
  detail?: string
  /** What comes over the channel, where there is one. */
  channel?: CarrierStatus
}

export interface Follower {
  status(): FollowStatus
  /**
   * Tells the transmitter soon, for its proof, that the event at a position has made the guard refuse a request for the first time.
   * @param at seconds
   */
  refused(seq: number, at: number): void
  /** Ends the stream, at the transmitter too as far as it can be reached. */
  close(): Promise<void>
}

const REMEMBERED = 10_000
const BATCHES_AT_ONCE = 16
/** How many times as long as a channel may be silent all answers have to be behind. */
const ANSWERS_BEHIND = 3
/** Segments that are fetched while others are taken in. */
const SEGMENTS_AT_ONCE = 4
/** Milliseconds for which first refusals are collected before a poll of their own; the poll that is held is not disturbed. */
const REPORT_AFTER = 50

/**
 * Follows one transmitter over a poll stream of its own: subscribe, then snapshot, then apply what follows.
 *
 *     subscribe ──> hydrate ──> poll ──> apply ──> synced ─┐
 *        ^  404        ^   gap,   ^                        │
 *        └─────────────┴── epoch ─┴────────────────────────┘
 *
 * A failing poll changes nothing: the state only ages. Whatever shows that something may be missing is reported as out of sync at once, and ends with a new
 * snapshot (a new stream first, where the old one is gone). With a channel, events come over that and the stream only reports, for as long as the channel shows by
 * its heads that nothing is missing. `setErrs` is never sent: it would make the transmitter forget a SET that we could not read.
 */
export function follow(options: FollowOptions): Follower {
  const settings = settleFollow(options)
  const { on, now, log, timing, waitSeconds, maxEvents, stream: wanted } = settings
  const closing = new AbortController()
  const subscribe = createSessions(settings, closing.signal)

  let session: Session | undefined
  let position: Place | undefined
  /** The oldest snapshot that may be believed. */
  let notBefore: Position | undefined
  let poller: Poller | undefined
  let reason: string | undefined
  let head: Head | undefined
  let heardAt: number | undefined
  let error: Pick<FollowStatus, 'error' | 'detail'> = {}
  let synced = false
  const logClock = createLogClock(ANSWERS_BEHIND * timing.quiet)
  /** Where the log stood at the latest when the location rules were read. */
  let rulesAt: Position | undefined
  const counts = { applied: 0, refused: 0, ignored: 0 }
  const seen = new Set<string>()
  const refusals = createRefusals()
  /** Segments whose cutoffs were handed over: they are merged and never taken back, so no later snapshot need bring them again. */
  let held: ReadonlySet<string> = new Set()
  /** The last head that was told, of the position that is here. */
  let told: Head | undefined
  /** What the stream itself said last of the log's time, and when that was heard, by a clock that is never set back. */
  let polled: { asOf: number; at: number } | undefined
  let keys: { uri: string; jws: JwsVerifier } | undefined
  /** What is applied, one thing at a time: an event may come by both ways at once. */
  let applying: Promise<unknown> = Promise.resolve()
  const carrier =
    settings.channel &&
    createCarrier({
      ...{ channel: settings.channel, issuer: options.issuer, now, log, quiet: timing.quiet },
      verifier: () => session && keys?.jws,
      position: () => (synced ? position : undefined),
      take: (event) => alone(() => take(event)),
      synced(newer) {
        // A poll may overtake a head; one that is far older than what the stream would say by now was held back, or is sent again.
        if (polled && newer.asOf <= polled.asOf + (performance.now() - polled.at - timing.quiet) / 1000) return false
        if (!told || newer.asOf > told.asOf) tell(newer)
        return true
      },
    })
  let reporting: Promise<void> | undefined
  const running = run()
  let closed: Promise<void> | undefined

  return {
    status() {
      const state = closing.signal.aborted
        ? 'closed'
        : reason !== undefined
          ? 'out of sync'
          : synced || (!wanted.guard && session)
            ? 'following'
            : 'starting'
      return {
        state,
        counts: { ...counts },
        ...(reason !== undefined && { reason }),
        ...(session && { stream: session.id }),
        ...(position && { position: { epoch: position.epoch, seq: position.seq } }),
        ...(head && { head: { ...head } }),
        ...(heardAt !== undefined && { heardAt }),
        ...error,
        ...(carrier && { channel: carrier.status() }),
      }
    },
    refused(seq, at) {
      // Without a position nobody knows of which log it is one.
      if (!position) return
      refusals.add(seq, at)
      reporting ??= report().finally(() => {
        reporting = undefined
      })
    },
    close() {
      closed ??= (async () => {
        closing.abort()
        await Promise.all([running, reporting, carrier?.close()])
        await session?.remove(timing.close).catch(() => log.info('the stream could not be deleted; the transmitter will let it expire'))
      })()
      return closed
    },
  }

  async function run(): Promise<void> {
    const backoff = createBackoff(timing.backoff)
    while (!closing.signal.aborted) {
      try {
        if (!session) start(await subscribe())
        else if (wanted.guard && !position) await hydrate(session)
        else {
          await turn(session, poller as Poller)
          backoff.reset()
          error = {}
        }
      } catch (cause) {
        if (closing.signal.aborted) return
        recover(cause)
        await sleep(backoff.next(), closing.signal)
      }
    }
  }

  function start(made: Session): void {
    session = made
    notBefore = made.start
    leave()
    poller = createPoller({ poll: made.poll, extended: made.extended, waitSeconds, maxEvents, timing, signal: closing.signal })
    const { jwksUri: uri } = made
    if (carrier && keys?.uri !== uri) {
      keys = {
        uri,
        jws: createJwsVerifier({
          jwksUri: uri,
          fetch: settings.fetch,
          now,
          past: made.extended,
          timeout: timing.timeout,
          refetchAfter: timing.refetchKeys,
        }),
      }
    }
    log.info('stream created', { stream: made.id })
  }

  function abandon(): void {
    void session?.remove(timing.close).catch(() => {})
    session = undefined
    leave()
  }

  /** What follows has to be asked from a new snapshot on; what was refused because of an event of before is not told. */
  function leave(): void {
    position = undefined
    told = undefined
    refusals.clear()
  }

  async function hydrate({ snapshot, segment }: Session): Promise<void> {
    const { head: at, event, segments, batches, rules } = await snapshot(notBefore as Position)
    let count = 0
    let turns = 0
    const merge = async (some: Iterable<Cutoff[]>) => {
      for (const batch of some) {
        // A large snapshot must not hold up the requests of the API that this runs in.
        if (turns++ % BATCHES_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve))
        if (closing.signal.aborted) return
        apply('the snapshot', () => on.snapshot(batch))
        count += batch.length
      }
    }
    const known = new Set(segments.map(({ digest }) => digest).filter((digest) => held.has(digest)))
    held = known
    const missing = segments.filter(({ digest }) => !known.has(digest)).values()
    const failed = new AbortController()
    const signal = AbortSignal.any([closing.signal, failed.signal])
    const fetchers = Array.from({ length: SEGMENTS_AT_ONCE }, async () => {
      for (const name of missing) {
        await merge(await segment(name, signal))
        known.add(name.digest)
      }
    })
    await Promise.all(fetchers).catch((cause) => {
      failed.abort()
      throw cause
    })
    await merge(batches)
    if (closing.signal.aborted) return
    if (rules.length > 0) apply('the location rules', () => on.rules?.load(rules))
    rulesAt = { epoch: at.epoch, seq: at.seq }
    position = { epoch: at.epoch, seq: at.seq, ...(event !== undefined && { event }) }
    logClock.begin(at.asOf)
    poller?.hurry()
    log.info('snapshot loaded', { cutoffs: count, segments: segments.length, seq: at.seq })
  }

  async function turn(own: Session, { poll, rest, hurry }: Poller): Promise<void> {
    if (carrier?.carries()) hurry()
    const applied = position && { ...position }
    const answer = await telling((refused) => poll(applied && { caegis_applied: applied, ...refused }))
    heardAt = now()
    head = answer.head
    const fresh = position && applied ? await receiveAsGuard(own, { at: position, applied }, answer) : await receive(own, answer)
    await carrier?.advance()
    await rest({ fresh, enabled: head?.status === undefined || head.status === 'enabled' })
    await carrier?.rest(waitSeconds * 1000, closing.signal)
  }

  function alone<T>(work: () => Promise<T>): Promise<T> {
    const done = applying.then(work)
    applying = done.catch(() => {})
    return done
  }

  /** Puts in force what the channel has brought. What fails is not reached: the stream brings it again. */
  async function take(event: SecurityEvent): Promise<void> {
    const at = position
    if (!session || !at || event.seq !== at.seq + 1 || closing.signal.aborted) return
    apply(event.type, () => on.event(event))
    const late = await bringRules(session, at, event)
    if (late !== undefined) throw late
    at.seq = event.seq
    at.event = eventOf(event.jti)
    counts.applied++
  }

  function tell(heard: Head): void {
    // Read before the channel brought what is newer: the log did not go backwards.
    if (told && heard.seq < told.seq) return
    told = heard
    notify(() => on.synced(heard))
  }

  /** Sends first refusals along; what could not be sent waits for the next poll, unless the log is another one by then. */
  async function telling<T>(send: (refused: object) => Promise<T>): Promise<T> {
    const at = position
    const some = refusals.take()
    try {
      return await send(some.length > 0 ? { caegis_refused: some } : {})
    } catch (cause) {
      if (position === at) refusals.putBack(some)
      throw cause
    }
  }

  async function report(): Promise<void> {
    await sleep(REPORT_AFTER, closing.signal)
    while (session && position && refusals.size > 0 && !closing.signal.aborted) {
      const { poll } = session
      try {
        await telling((refused) => poll({ maxEvents: 0, returnImmediately: true, caegis_applied: position, ...refused }, timing.timeout))
      } catch {
        return
      }
    }
  }

  /**
   * Everything of the log, without a hole, or out of sync. Returns how much was new.
   * @param applied what was so when the answer was asked for; the channel may have brought more meanwhile
   */
  async function receiveAsGuard(own: Session, { at, applied }: { at: Place; applied: Position }, answer: PollAnswer): Promise<number> {
    const heard = answer.head
    if (!heard) throw failure('answer_malformed', 'no head')
    if (heard.epoch !== at.epoch) {
      notBefore = { epoch: heard.epoch, seq: heard.seq }
      throw failure('out_of_sync', 'the log has a new epoch')
    }
    if (heard.seq < applied.seq) {
      notBefore = { epoch: heard.epoch, seq: heard.seq }
      throw failure('out_of_sync', 'the log went backwards')
    }
    const verified = await verifyAll(answer.sets, own.verify)
    return alone(() => putInForce(own, at, heard, verified))
  }

  async function putInForce(own: Session, at: Place, heard: Head, { events, refused }: Awaited<ReturnType<typeof verifyAll>>): Promise<number> {
    if (closing.signal.aborted) return 0
    const { due, known, control, problem } = arrange(events, at.seq)
    for (const event of known) acknowledge(event.jti)
    let late: unknown
    for (const event of due) {
      apply(event.type, () => on.event(event))
      if (late === undefined) late = await bringRules(own, at, event)
      // What follows holds from now on, and comes again: a position is reached only when everything up to it is in force.
      if (late !== undefined) continue
      at.seq = event.seq as number
      at.event = eventOf(event.jti)
      acknowledge(event.jti)
      counts.applied++
    }
    if (late !== undefined) throw late
    counts.ignored += known.length
    counts.refused += refused.length
    // The same event about the stream, over and over, is no news.
    const news = control.filter(({ jti }) => !seen.has(jti)).length
    let stopped = readControl(own, control)
    if (refused.length > 0) throw failure('out_of_sync', `a SET cannot be verified (${String(refused[0]?.detail)})`)
    if (problem) throw failure('out_of_sync', problem)
    if (heard.status !== 'enabled') {
      outOfSync(`stream ${heard.status}`)
      stopped = true
    }
    // The first after a snapshot is what all later ones are measured by: an answer from before it lay around somewhere.
    const stray = logClock.isBehind(heard.asOf) && !synced
    if (!stopped && !stray && at.seq >= heard.seq) {
      reason = undefined
      synced = true
      polled = { asOf: heard.asOf, at: performance.now() }
      tell(heard)
    }
    return due.length + news
  }

  /** Fetches the location rules that an event is about, unless those are in force. @returns why they are not */
  async function bringRules(own: Session, { epoch }: Position, { type, seq }: SecurityEvent): Promise<unknown> {
    if (type !== EVENT.locationRulesChanged || on.rules === undefined) return undefined
    const needed = { epoch, seq: seq as number }
    if (rulesAt?.epoch === epoch && rulesAt.seq >= needed.seq) return undefined
    try {
      const { head: at, rules } = await own.rules(needed, on.rules.since())
      apply('the location rules', () => on.rules?.load(rules))
      rulesAt = { epoch: at.epoch, seq: at.seq }
      return undefined
    } catch (cause) {
      const tooOld = cause instanceof CaegisError && cause.code === 'snapshot_refused'
      return tooOld ? failure('out_of_sync', `location rules refused (${String(cause.detail)})`, cause) : cause
    }
  }

  /** A stream of selected events: nothing proves that it is complete, so it is never called synced. Returns how much was new. */
  async function receive(own: Session, { sets, head: heard }: PollAnswer): Promise<number> {
    const { events, refused } = await verifyAll(sets, own.verify)
    if (closing.signal.aborted) return 0
    const fresh = events.filter((event) => !seen.has(event.jti))
    counts.ignored += events.length - fresh.length
    for (const event of events) if (seen.has(event.jti)) acknowledge(event.jti)
    const control = fresh.filter(isControl)
    let failed: unknown
    for (const event of fresh) {
      if (isControl(event)) continue
      try {
        apply(event.type, () => on.event(event))
      } catch (cause) {
        // It comes again; those behind it need not wait for it.
        failed ??= cause
        continue
      }
      remember(event.jti)
      acknowledge(event.jti)
      counts.applied++
    }
    readControl(own, control)
    counts.refused += refused.length
    if (refused.length > 0) throw failure('out_of_sync', `a SET cannot be verified (${String(refused[0]?.detail)})`)
    if (failed) throw failed
    if (heard && heard.status !== 'enabled') outOfSync(`stream ${heard.status}`)
    else reason = undefined
    return fresh.length
  }

  /** Whether one of the events says that our stream stops. */
  function readControl(own: Session, events: Parameters<typeof statusChange>[0][]): boolean {
    let stopped = false
    for (const event of events) {
      remember(event.jti)
      acknowledge(event.jti)
      const status = statusChange(event, own.id)
      if (status === undefined || status === 'enabled') {
        counts.ignored++
        continue
      }
      stopped = true
      poller?.hurry()
      outOfSync(`stream ${status}`)
    }
    return stopped
  }

  function acknowledge(jti: string): void {
    poller?.acknowledge(jti)
  }

  function remember(jti: string): void {
    seen.add(jti)
    if (seen.size > REMEMBERED) seen.delete(seen.values().next().value as string)
  }

  function apply(what: string, work: () => void): void {
    try {
      work()
    } catch (cause) {
      throw failure('out_of_sync', `cannot apply ${what}`, cause)
    }
  }

  /** Decides what a failure means for what is known; the loop then goes on with what is missing. */
  function recover(cause: unknown): void {
    const { code, detail } = cause instanceof CaegisError ? cause : { code: 'internal', detail: undefined }
    error = { error: code, ...(typeof detail === 'string' && { detail }) }
    poller?.hurry()
    // The words of this project's own errors say what to look at.
    const why = cause instanceof CaegisError ? { error: cause.message } : {}
    log.warn('following failed', { code, ...why, ...(error.detail !== undefined && { detail: error.detail }) })
    switch (code) {
      case 'stream_gone':
        session = undefined
        leave()
        outOfSync('unknown stream')
        return
      case 'out_of_sync':
        // Without a snapshot there is nothing to resync from: what was not acknowledged comes again.
        leave()
        outOfSync(String(detail))
        return
      case 'snapshot_refused':
        outOfSync(`snapshot refused (${String(detail)})`)
        // The log may have been replaced since the stream was made; a stream of today knows.
        if (detail === SNAPSHOT_TOO_OLD) abandon()
        return
      case 'stream_refused':
        outOfSync(`stream refused (${String(detail)})`)
        return
      default:
        // The transmitter cannot be reached or understood: what is known stays true and only ages.
        if (code === 'internal') log.error('unexpected failure', { message: cause instanceof Error ? cause.message : String(cause) })
    }
  }

  function outOfSync(why: string): void {
    if (reason === why) return
    reason = why
    synced = false
    notify(() => on.outOfSync(why))
  }

  function notify(work: () => void): void {
    try {
      work()
    } catch (cause) {
      log.error('a handler failed', { message: cause instanceof Error ? cause.message : String(cause) })
    }
  }
}
