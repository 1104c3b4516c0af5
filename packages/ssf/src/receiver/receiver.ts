import { CaegisError, type SecurityEvent } from '@caegis/protocol'
import { createBackoff, sleep } from '../wait.ts'
import { createActor } from './act.ts'
import { type Connection, createConnector } from './connect.ts'
import { statusChange } from './delivery.ts'
import { failure } from './errors.ts'
import { createJudge } from './judge.ts'
import { codeOf, createPollTurn, type TurnNotes } from './poll-turn.ts'
import { createPoller, type Poller } from './poller.ts'
import { createPushHandler, type PushHandler } from './push.ts'
import { type ReceiverOptions, settleReceiver } from './receiver-options.ts'
import { pollUrlOf } from './session.ts'
import type { StreamStatusValue } from './stream-api.ts'
import type { StreamConfiguration } from './stream-configuration.ts'
import { reconcile, subscribe, undelivered } from './subscribe.ts'
import { createTrust } from './trust.ts'
import { createVerifications } from './verifications.ts'
import { verifySet } from './verify-set.ts'
import { createWorker } from './work-queue.ts'

export interface ReceiverCounts {
  /** Handlers that ended. */
  handled: number
  /** Events that have no handler. */
  unhandled: number
  /** SETs that came again. */
  duplicates: number
  /** Accepted without effect: a critical subject member that no handler can process. */
  discarded: number
  /** About streams that are not ours. */
  ignored: number
  /** SETs and pushes that were answered with an error. */
  refused: number
  /** Runs of handlers that failed. */
  failed: number
  /** Events given up after the last attempt. */
  lost: number
}

export interface ReceiverStatus {
  state: 'idle' | 'starting' | 'running' | 'paused' | 'disabled' | 'closed'
  /** The stream's id. */
  stream?: string
  /** Milliseconds: when the transmitter last answered a poll, or pushed a SET that was genuine. */
  heardAt?: number
  /** Code of the last failure, until something succeeds. */
  error?: string
  /** Events that were asked for and that the transmitter will not deliver. */
  undelivered: string[]
  /** How often the stream had to be made anew because the transmitter had lost it: each time, what happened in between is unknown. */
  gaps: number
  /** Accepted and not acted on yet. */
  waiting: number
  counts: ReceiverCounts
}

export interface Receiver {
  /** Resolves when there is a stream (verified, if asked for). Keeps trying while the transmitter cannot be reached; rejects when it refuses. */
  start(): Promise<void>
  status(): ReceiverStatus
  /** Asks for a verification and resolves when its event has come back; rejects with `verification_failed`. */
  verify(): Promise<void>
  /** Reads the stream again, and brings it up to date if somebody changed it at the transmitter. */
  reconcile(): Promise<void>
  /** Reads the queue again: another process has taken an event in, and acts on none. */
  resume(): Promise<void>
  /** For push delivery; in poll mode it answers 404. */
  handler: PushHandler
  /** The stream as the transmitter described it, without secrets. */
  stream(): Omit<StreamConfiguration, 'authorizationHeader'> | undefined
  /** Ends; the stream goes on holding events for the next start unless it is deleted. */
  close(options?: { delete?: boolean }): Promise<void>
}

interface Subscription {
  connection: Connection
  stream: StreamConfiguration
  status: StreamStatusValue
  poller?: Poller
}

/**
 * Receives the events of one SSF 1.0 transmitter over one stream, polled (RFC 8936) or pushed (RFC 8935), and hands each verified event to its handler: at least
 * once, in order for each subject.
 * @throws TypeError for options with which it could not work
 */
export function createReceiver(options: ReceiverOptions): Receiver {
  const settings = settleReceiver(options)
  const { issuer, push, now, log, timing } = settings
  const closing = new AbortController()
  const { signal } = closing
  const connect = createConnector(settings, signal)
  const verifications = createVerifications()
  const judge = createJudge({ trust: createTrust(settings.trust, issuer), understands: settings.understands, verifications })
  const counts: ReceiverCounts = { handled: 0, unhandled: 0, duplicates: 0, discarded: 0, ignored: 0, refused: 0, failed: 0, lost: 0 }
  const actOnce = createActor({ dispatch: settings.dispatch, seen: settings.seen, timeout: timing.handler, before: noticeStatus })
  const worker = createWorker({ ...settings, act: actCounted, onFailed: giveUp, retry: timing.retry })

  let current: Subscription | undefined
  let starting: Promise<void> | undefined
  let running: Promise<void> | undefined
  let closed: Promise<void> | undefined
  let heardAt: number | undefined
  let error: string | undefined
  let gaps = 0
  let enabledAt = Number.NEGATIVE_INFINITY
  let lookedAt = Number.NEGATIVE_INFINITY

  const note: TurnNotes = {
    acted: (_, result) => {
      counts[result === 'duplicate' ? 'duplicates' : result]++
    },
    failed(event, cause) {
      counts.failed++
      log.warn('a handler failed', { type: event.type, jti: event.jti, code: codeOf(cause) })
    },
    judged(event, judgement) {
      const { outcome } = judgement
      if (outcome === 'verification') verifications.arrived(judgement.state ?? '')
      else if (outcome === 'ignore') counts.ignored++
      else {
        counts[outcome === 'discard' ? 'discarded' : 'refused']++
        log.warn('an event is not acted on', { type: event.type, jti: event.jti, outcome, reason: judgement.reason })
      }
    },
    refused(detail) {
      counts.refused++
      log.warn('a SET was refused', { ...(typeof detail === 'string' && { detail }) })
    },
  }
  const turn = createPollTurn({
    verify: (jwt) => verifierOf(own())(jwt),
    judge: (event) => judge(event, judgedBy(own())),
    act: actOnce,
    note,
    keyPatience: timing.keyPatience,
  })
  const takePush = createPushHandler({
    authorizationHeader: push?.authorizationHeader,
    verify: () => (current && !signal.aborted ? verifierOf(current) : undefined),
    accept,
    refused: note.refused,
  })

  return {
    start() {
      if (signal.aborted) return Promise.reject(failure('not_started', 'closed'))
      starting ??= begin().catch((cause) => {
        starting = undefined
        throw cause
      })
      return starting
    },
    status() {
      const { stream, status } = current ?? {}
      const live = status === undefined ? (starting ? 'starting' : 'idle') : status === 'enabled' ? 'running' : status
      return {
        state: signal.aborted ? 'closed' : live,
        ...(stream && { stream: stream.id }),
        ...(heardAt !== undefined && { heardAt }),
        ...(error !== undefined && { error }),
        undelivered: stream ? undelivered(settings.events, stream) : [],
        gaps,
        waiting: worker.waiting(),
        counts: { ...counts },
      }
    },
    verify,
    async reconcile() {
      const subscription = own()
      const { connection } = subscription
      subscription.stream = await reconcile(settings, connection, await connection.api.read(subscription.stream.id))
    },
    resume: () => worker.resume(),
    async handler(request) {
      return push ? takePush(request) : { status: 404, headers: {} }
    },
    stream() {
      if (!current) return undefined
      const { authorizationHeader: _, ...visible } = current.stream
      return structuredClone(visible)
    },
    close({ delete: remove = false } = {}) {
      closed ??= end(remove)
      return closed
    },
  }

  async function verify(): Promise<void> {
    const { connection, stream, poller } = own()
    const { state, returned } = verifications.ask()
    await connection.api.requestVerification(stream.id, state)
    poller?.hurry()
    const over = new AbortController()
    try {
      await Promise.race([
        returned,
        sleep(timing.verification, AbortSignal.any([over.signal, signal])).then(() => {
          throw failure('verification_failed', signal.aborted ? 'closed' : 'not in time')
        }),
      ])
    } finally {
      over.abort()
    }
  }

  async function begin(): Promise<void> {
    if (!running) {
      await worker.resume()
      current = await persist()
      running = run()
    }
    if (settings.verifyAtStart) await verify()
  }

  /** Waiting helps against what is down, not against what is wrong. */
  async function persist(): Promise<Subscription> {
    const backoff = createBackoff(timing.backoff)
    for (;;) {
      try {
        return await establish()
      } catch (cause) {
        noteError(cause)
        if (signal.aborted) throw failure('not_started', 'closed', cause)
        if (codeOf(cause) !== 'unavailable') throw cause
        await sleep(backoff.next(), signal)
      }
    }
  }

  async function establish(): Promise<Subscription> {
    const connection = await connect()
    const { stream, made } = await subscribe(settings, connection)
    const missing = undelivered(settings.events, stream)
    if (missing.length > 0) log.warn('the transmitter does not deliver everything that was asked for', { missing })
    const subscription: Subscription = { connection, stream, status: 'enabled' }
    if (!push) {
      const pollUrl = pollUrlOf(stream, settings.insecure)
      const extended = connection.metadata.snapshotEndpoint !== undefined
      const poll: Parameters<typeof createPoller>[0]['poll'] = (body, timeout, last) => connection.api.poll(pollUrl, body, timeout, last)
      subscription.poller = createPoller({ ...settings, poll, extended, cut: true, signal })
    }
    if (!made) await look(subscription)
    error = undefined
    return subscription
  }

  async function run(): Promise<void> {
    const backoff = createBackoff(timing.backoff)
    while (!signal.aborted) {
      try {
        current ??= await establish()
        const { poller } = current
        if (poller) await pollOnce(current, poller, backoff)
        else await watch(current)
        error = undefined
      } catch (cause) {
        if (signal.aborted) return
        noteError(cause)
        current?.poller?.hurry()
        if (codeOf(cause) === 'stream_gone' && current) {
          log.error('the transmitter has lost the stream; what happens until there is a new one will never come', { stream: current.stream.id })
          current = undefined
          gaps++
        }
        await sleep(backoff.next(), signal)
        continue
      }
      if (push) backoff.reset()
    }
  }

  async function pollOnce(subscription: Subscription, poller: Poller, backoff: ReturnType<typeof createBackoff>): Promise<void> {
    const answer = await poller.poll()
    heardAt = now()
    if (answer.head) subscription.status = answer.head.status
    const { left, fresh } = await turn(poller, answer)
    if (subscription.status !== 'enabled') await look(subscription)
    // A long poll would not bring again at once what was left, but what was committed since: the later of two events about a subject first.
    if (left > 0) poller.hurry()
    // Nothing new in it: the transmitter may send the same again at once, for ever.
    if (answer.sets.length > 0 && fresh === 0) await sleep(backoff.next(), signal)
    else backoff.reset()
    await poller.rest({ fresh, enabled: subscription.status === 'enabled' })
  }

  /** A push stream says nothing when it ends: it is asked, which also keeps it from timing out (SSF 1.0 section 8.1.1: pushes do not count). */
  async function watch(subscription: Subscription): Promise<void> {
    const { inactivityTimeout } = subscription.stream
    const every = inactivityTimeout === undefined ? timing.status : Math.min(timing.status, (inactivityTimeout * 1000) / 3)
    await sleep(every, signal)
    if (!signal.aborted) await look(subscription, 0)
  }

  /** Asks for the status, not too often, and enables the stream again if that is wanted. */
  async function look(subscription: Subscription, every = timing.status): Promise<void> {
    const { connection, stream } = subscription
    if (performance.now() - lookedAt >= every) {
      lookedAt = performance.now()
      try {
        subscription.status = (await connection.api.status(stream.id)) ?? subscription.status
      } catch (cause) {
        // Who may not read the status may still receive.
        if (codeOf(cause) !== 'request_refused') throw cause
      }
    }
    if (subscription.status === 'enabled' || !settings.reenable || performance.now() - enabledAt < timing.reenable) return
    enabledAt = performance.now()
    try {
      subscription.status = (await connection.api.enable(stream.id)) ?? subscription.status
      log.info('the stream was enabled again', { stream: stream.id, status: subscription.status })
    } catch (cause) {
      if (codeOf(cause) === 'stream_gone') throw cause
      // Some transmitters let nothing out of "disabled" (400): it stays what it is, and status() says so.
      log.error('the stream could not be enabled again', { stream: stream.id, status: subscription.status, code: codeOf(cause) })
    }
  }

  /** What a stream-updated event says of our stream; before its handler hears of it. */
  function noticeStatus(event: SecurityEvent): void {
    const status = current && statusChange(event, current.stream.id)
    if (!current || status === undefined || current.status === status) return
    current.status = status
    log.warn('the transmitter changed the status of the stream', { stream: current.stream.id, status })
    if (push && status !== 'enabled') {
      const subscription = current
      void look(subscription, Number.POSITIVE_INFINITY).catch(noteError)
    }
  }

  async function accept(event: SecurityEvent) {
    heardAt = now()
    const judgement = judge(event, judgedBy(own()))
    if (judgement.outcome !== 'act') {
      note.judged(event, judgement)
      return judgement.outcome === 'refuse' ? judgement.error : 'accepted'
    }
    if (await settings.seen.has(event.iss, event.jti)) {
      counts.duplicates++
      return 'accepted'
    }
    return (await worker.accept(event)) === 'full' ? 'busy' : 'accepted'
  }

  async function actCounted(event: SecurityEvent): Promise<void> {
    try {
      note.acted(event, await actOnce(event))
    } catch (cause) {
      note.failed(event, cause)
      throw cause
    }
  }

  async function giveUp(event: SecurityEvent, cause: unknown): Promise<void> {
    counts.lost++
    log.error('an event was given up', { type: event.type, jti: event.jti })
    // Sent again, it would only fail again.
    await settings.seen.add(event.iss, event.jti)
    await settings.onFailed(event, cause)
  }

  async function end(remove: boolean): Promise<void> {
    closing.abort()
    const patience = new AbortController()
    const all = Promise.all([starting?.catch(() => {}), running, worker.close(timing.close)]).finally(() => patience.abort())
    // A handler that hangs must not keep the process.
    await Promise.race([all, sleep(timing.close, patience.signal)])
    if (!current) return
    const { connection, stream, poller } = current
    const last = remove ? connection.api.remove(stream.id, timing.close) : poller?.settle(timing.close)
    await last?.catch((cause) => log.warn('the transmitter did not hear that the receiver closes', { code: codeOf(cause) }))
  }

  function own(): Subscription {
    if (!current) throw failure('not_started')
    return current
  }

  function verifierOf({ connection, stream }: Subscription): (jwt: string) => Promise<SecurityEvent> {
    return (jwt) => verifySet(connection.jws, jwt, { issuer, audience: stream.audience, now: now() }, signal)
  }

  function noteError(cause: unknown): void {
    error = codeOf(cause)
    const detail = cause instanceof CaegisError ? cause.detail : undefined
    log.warn('receiving failed', { code: error, ...(typeof detail === 'string' && { detail }) })
  }
}

function judgedBy({ stream, connection }: Subscription): { id: string; critical: readonly string[] } {
  return { id: stream.id, critical: connection.metadata.criticalSubjectMembers }
}
