import { EVENT, type Head, isObject } from '@caegis/protocol'
import { POLL_METHOD } from '../wire.ts'
import { type Answer, type Caller, json, refuse, refuseScope } from './answer.ts'
import { type BoundedMap, createBoundedMap } from './bounded-map.ts'
import { type Cursor, createCursor } from './cursor.ts'
import { orderOf } from './filter.ts'
import { isAhead } from './live.ts'
import { idOfJti, jtiOf, type Minter } from './mint.ts'
import type { Settings } from './options.ts'
import { isRepairable } from './outcome.ts'
import { type PollRequest, parsePollRequest } from './poll-request.ts'
import type { Queue } from './queue.ts'
import { createRecorder, type Recorder } from './recorder.ts'
import type { ControlRow, DeadLetter, EventRow, StreamProgress, StreamRecord } from './store.ts'
import { findOwn } from './streams.ts'

/** What one look at the log found for a stream. */
interface Turn {
  stream: StreamRecord
  head: Head
  controls: ControlRow[]
  rows: EventRow[]
  more: boolean
  /** There is something to say; otherwise a long poll waits. */
  ready: boolean
  woken?: Promise<void>
}

/** What is remembered of a SET that went out, by the event's id. */
interface Out {
  /** Milliseconds. */
  at: number
  /** How often. */
  attempt: number
  /** Of an event of the log; in another epoch something else stands at its position. */
  row?: Pick<EventRow, 'seq' | 'txn'> & { epoch: string }
}

/** Streams that a node remembers; forgetting one costs a repeated SET or a write. */
const REMEMBERED = 10_000
/** Milliseconds between two writes that only say "still here". */
const SAVE_EVERY = 1000
const LOOKUP = 500
/** How often a SET goes out again that the receiver says it cannot verify: by then its keys have been fetched anew. */
const REPAIRS = 50
/** Why a hold ends; without a reason, an exception with a stack would be made each time. */
const OVER = 'over'

/**
 * The poll endpoint (RFC 8936), one URL per stream.
 *
 * Every answer carries the head, read before the content: a receiver that has applied everything up to it is as fresh as it. A guard says in each request what
 * it has applied, so that a lost answer is simply sent again; other receivers are followed by their acknowledgements, and a long poll does not repeat at once
 * what went out a moment ago.
 */
export function createPoll(settings: Settings, mint: Minter, queue: Queue) {
  const { store, now, limits, log, maxStaleness } = settings
  const handedOut = createBoundedMap<BoundedMap<Out>>(REMEMBERED)
  const savedAt = createBoundedMap<number>(REMEMBERED)
  const open = new Map<string, number>()

  return async function poll(caller: Caller, streamId: string, body: unknown, signal: AbortSignal): Promise<Answer> {
    if (!isObject(body)) return refuse('invalid_request')
    const denied = refuseScope(caller, 'ssf.read')
    if (denied) return denied
    const own = await findOwn(store, caller, streamId)
    if (!own) return refuse('unknown_stream')
    if (own.delivery.method !== POLL_METHOD) return refuse('not_a_poll_stream')
    const request = parsePollRequest(body, limits)
    if (typeof request === 'string') return refuse('invalid_request', { detail: request })
    const recorder = createRecorder(settings)
    try {
      return request.returnImmediately
        ? await answer(await turn(streamId, request, recorder), request, recorder, signal)
        : await hold(streamId, own.receiver, request, recorder, signal)
    } finally {
      // Everything that is new since then in one go.
      await recorder.flush()
    }
  }

  async function hold(streamId: string, receiver: string, request: PollRequest, recorder: Recorder, signal: AbortSignal): Promise<Answer> {
    const held = open.get(streamId) ?? 0
    if (held >= limits.polls) return refuse('too_many_polls', { headers: { 'retry-after': '1' } })
    const ending = new AbortController()
    const end = () => ending.abort(OVER)
    const leave = settings.holds ? settings.holds.enter(receiver, end) : end
    if (!leave) return refuse('too_many_polls', { headers: { 'retry-after': '5' } })
    open.set(streamId, held + 1)
    const timer = setTimeout(end, 1000 * Math.min(limits.hold, request.wait ?? limits.hold, maxStaleness / 3))
    signal.addEventListener('abort', end, { once: true })
    if (signal.aborted) end()
    try {
      for (let first: Recorder | undefined = recorder; ; first = undefined) {
        const over = ending.signal.aborted
        const found = await turn(streamId, request, first, ending.signal)
        if (!found || found.ready || over) return await answer(found, request, recorder, signal)
        // What the receiver has acknowledged or applied is known now, and not only when the hold ends.
        await recorder.flush()
        await found.woken
      }
    } finally {
      end()
      leave()
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      const left = (open.get(streamId) ?? 1) - 1
      if (left > 0) open.set(streamId, left)
      else open.delete(streamId)
    }
  }

  /**
   * One look, alone on its stream: acknowledgements (the first time: then there is a recorder), then what is due. Undefined when the stream is gone.
   */
  function turn(id: string, request: PollRequest, first: Recorder | undefined, hold?: AbortSignal): Promise<Turn | undefined> {
    return queue(id, async () => {
      const { epoch, seq, asOf } = await store.head()
      // Waiting begins before anything else is read: what is committed or queued from here on wakes us.
      const woken = hold && store.wait(seq, hold)
      woken?.catch(() => {})
      const stream = await store.getStream(id)
      if (!stream) return undefined
      const head: Head = { epoch, seq, asOf, status: stream.status }
      const cursor = createCursor(stream, head, store, limits.window)
      const controls = await acknowledge(stream, epoch, cursor, request, first)

      const found: Turn = { stream, head, controls: [], rows: [], more: false, ready: false, ...(woken && { woken }) }
      const want = Math.max(request.maxEvents, 1)
      const enabled = stream.status === 'enabled'
      const claim = stream.guard ? request.applied : undefined
      let due: EventRow[] = []
      const progress: StreamProgress = {}
      // By one query the row where it stands and those behind it: in between, the log could be replaced.
      const rows = claim?.epoch === epoch && claim.seq <= seq ? await store.events(Math.max(0, claim.seq - 1), want + 2) : []
      const isReplaced = claim?.event !== undefined && rows[0]?.seq === claim.seq && rows[0].id !== claim.event
      if (claim && (claim.epoch !== epoch || claim.seq > seq || isReplaced)) {
        // It stands in another log than ours: it learns that from the head, at once.
        found.ready = true
        if (claim.epoch === epoch && settings.onAhead) {
          await settings.onAhead({ stream: id, receiver: stream.receiver, claimed: { epoch, seq: claim.seq }, head })
          found.head = { ...(await store.head()), status: stream.status }
        }
        // The head would not show it; a guard whose stream is unknown makes another one, and loads a snapshot.
        if (isReplaced && found.head.epoch === epoch) return undefined
      } else if (claim) {
        due = rows.filter((row) => row.seq > claim.seq)
        if (first) {
          // Its state is complete up to the commit of the first row that it lacks, or up to now.
          progress.applied = { epoch, seq: claim.seq, asOf: Math.min(due[0]?.at ?? asOf, asOf) }
          cursor.moveTo(claim.seq)
          await recordApplied(stream, { ...head, seq: claim.seq }, first)
          await recordRefused(stream, request, head, first)
        }
        due = due.filter((row) => row.seq <= seq)
        found.ready = !enabled
      } else {
        due = await cursor.scan(want + 1, hold ? createGate(stream, controls) : () => false)
      }
      // The end of the last poll has just said "still here"; what a guard has applied by now is more than that, however quiet it is: without it, it would count as silent.
      const progressed = cursor.settled || (progress.applied !== undefined && isNews(progress.applied, stream.applied, asOf))
      await save(stream, { ...progress, ...cursor.progress() }, epoch, progressed)

      // It became a push stream while this poll was held.
      if (stream.delivery.method !== POLL_METHOD) return { ...found, ready: true }
      // SSF 1.0 section 8.1.2: nothing is transmitted on a stream that is not enabled, but why that is so (section 8.1.5).
      const allowed = enabled ? controls : controls.filter((control) => control.type === EVENT.streamUpdated)
      const waiting = allowed.filter((control) => !hold || !isOut(stream, control.id))
      found.controls = waiting.slice(0, want)
      found.rows = enabled ? due.slice(0, want - found.controls.length) : []
      found.more = waiting.length > found.controls.length || (enabled && due.length > found.rows.length)
      found.ready ||= found.controls.length + found.rows.length > 0
      return found
    })
  }

  /** Settles what the receiver has accepted or finally refused, and returns the control events that still wait. */
  async function acknowledge(
    stream: StreamRecord,
    epoch: string,
    cursor: Cursor,
    request: PollRequest,
    recorder: Recorder | undefined,
  ): Promise<ControlRow[]> {
    const controls = await store.listControls(stream.id)
    if (!recorder) return controls
    const errors = readErrors(stream, request)
    const accepted = request.ack.map((jti) => idOfJti(stream, jti)).filter((id) => id !== undefined)
    const ids = new Set([...accepted, ...errors.keys()])
    if (ids.size === 0) return controls
    const out = handedOut.get(stream.id)
    const letters: DeadLetter[] = []
    const settle = (id: string, seq: number) => {
      const { attempt = 1, row } = out?.get(id) ?? {}
      const reason = errors.get(id)
      if (reason !== undefined) letters.push({ id, seq, at: now() / 1000, attempts: attempt, reason })
      const state = reason === undefined ? 'acked' : 'dead'
      recorder.add(stream, { id, seq, ...(row && { txn: row.txn }) }, state, attempt, reason)
    }
    const settled = controls.filter((control) => ids.has(control.id))
    for (const { id, event } of settled) {
      ids.delete(id)
      if (event) settle(id, event.seq)
    }
    const unknown: string[] = []
    for (const id of ids) {
      const row = out?.get(id)?.row
      if (row?.epoch !== epoch) unknown.push(id)
      else if (cursor.settle(row.seq)) settle(id, row.seq)
    }
    // A guard that says what it has applied has said it all.
    const lookUp = stream.guard && request.applied ? [] : unknown
    for (let i = 0; i < lookUp.length; i += LOOKUP) {
      for (const [id, seq] of await store.positions(lookUp.slice(i, i + LOOKUP))) if (cursor.settle(seq)) settle(id, seq)
    }
    // Kept before it counts as done: a crash in between makes a letter too many, never one too few.
    if (letters.length > 0) await store.addDeadLetters(stream.id, letters)
    const done = settled.map((control) => control.id)
    if (done.length > 0) await store.removeControls(stream.id, done)
    // Refused is not verified.
    if (settled.some(({ id, type }) => type === EVENT.verification && !errors.has(id)))
      await store.saveProgress(stream.id, { confirmedAt: now() / 1000 })
    for (const id of [...ids, ...done]) out?.delete(id)
    return controls.filter((control) => !done.includes(control.id))
  }

  /** What the receiver finally refused: the event's id, and the code. */
  function readErrors(stream: StreamRecord, request: PollRequest): Map<string, string> {
    const errors = new Map<string, string>()
    for (const [jti, err] of request.errors) {
      const id = idOfJti(stream, jti)
      // A guard that could not verify a SET must not lose it: it stays unacknowledged, and the guard resyncs.
      if (stream.guard) log.warn('a guard reported a SET that it cannot use', { stream: stream.id, err, ...(id !== undefined && { jti }) })
      else if (id !== undefined && isRepairable(err) && (handedOut.get(stream.id)?.get(id)?.attempt ?? 1) < REPAIRS) {
        log.warn('a receiver cannot verify a SET yet', { stream: stream.id, receiver: stream.receiver, err, jti })
      } else if (id !== undefined) {
        log.error('dead letter: the receiver refused a SET', { stream: stream.id, receiver: stream.receiver, err, jti })
        errors.set(id, err)
      }
    }
    return errors
  }

  /** A guard's word covers every row up to it; if this node did not hand out all of them they are read again, as far as that is bounded. */
  async function recordApplied(stream: StreamRecord, { epoch, seq }: Head, recorder: Recorder): Promise<void> {
    if (seq <= stream.acked) return
    const out = handedOut.get(stream.id)
    const news = Math.min(seq - stream.acked, limits.maxEvents)
    let rows: Pick<EventRow, 'id' | 'seq' | 'txn'>[] =
      out?.entries().flatMap(([id, { row }]) => (row?.epoch === epoch && row.seq > seq - news && row.seq <= seq ? [{ id, ...row }] : [])) ?? []
    if (rows.length < news) rows = await store.events(seq - news, news)
    for (const row of rows) {
      if (row.seq > seq) break
      recorder.add(stream, row, 'applied', out?.get(row.id)?.attempt ?? 0)
      out?.delete(row.id)
    }
  }

  /** When a guard first refused a request because of an event, by its own clock: never before the event, nor later than now. */
  async function recordRefused(stream: StreamRecord, { refused }: PollRequest, head: Head, recorder: Recorder): Promise<void> {
    for (const [seq, at] of refused) {
      const [row] = seq <= head.seq ? await store.events(seq - 1, 1) : []
      if (row?.seq === seq) recorder.add(stream, row, 'refused', 0, undefined, Math.min(Math.max(at, row.at), now() / 1000))
    }
  }

  /** Holds back what is out, and what follows it about the same subject: answers may overtake each other. */
  function createGate(stream: StreamRecord, controls: ControlRow[]): (row: EventRow) => boolean {
    const busy = new Set<string>()
    for (const { id, event } of controls) if (event && isOut(stream, id)) busy.add(orderOf(event))
    return (row) => {
      const order = orderOf(row)
      if (isOut(stream, row.id)) busy.add(order)
      return busy.has(order)
    }
  }

  function isOut(stream: StreamRecord, id: string): boolean {
    const out = handedOut.get(stream.id)?.get(id)
    return out !== undefined && isWithin(now() - out.at, limits.redeliverAfter * 1000)
  }

  async function save(stream: StreamRecord, progress: StreamProgress, epoch: string, progressed: boolean): Promise<void> {
    const at = now()
    const last = savedAt.get(stream.id)
    if (!progressed && last !== undefined && isWithin(at - last, SAVE_EVERY)) return
    savedAt.set(stream.id, at)
    await store.saveProgress(stream.id, { ...progress, seenAt: at / 1000 }, epoch)
  }

  async function answer(found: Turn | undefined, request: PollRequest, recorder: Recorder, signal: AbortSignal): Promise<Answer> {
    if (!found) return refuse('unknown_stream')
    const { stream, head } = found
    // Zero asks for nothing but to settle acknowledgements; whether there is anything is still said.
    const [controls, rows] = request.maxEvents === 0 ? [[], []] : [found.controls, found.rows]
    const more = found.more || controls.length + rows.length < found.controls.length + found.rows.length
    const sets = await Promise.all([
      ...controls.map(async (row) => [jtiOf(stream, row.id), await mint.control(stream, row)] as const),
      ...rows.map(async (row) => [jtiOf(stream, row.id), await mint.event(stream, row)] as const),
    ])
    if (!signal.aborted && sets.length > 0) {
      const out = handedOut.get(stream.id) ?? createBoundedMap<Out>(2 * limits.maxEvents)
      handedOut.set(stream.id, out)
      const at = now()
      const note = (id: string, row: EventRow | undefined) => {
        const attempt = (out.get(id)?.attempt ?? 0) + 1
        out.set(id, { at, attempt, ...(row && { row: { seq: row.seq, txn: row.txn, epoch: head.epoch } }) })
        if (row) recorder.add(stream, row, 'sent', attempt)
      }
      for (const control of controls) note(control.id, control.event)
      for (const row of rows) note(row.id, row)
    }
    return json(200, { sets: Object.fromEntries(sets), ...(more && { moreAvailable: true }), caegis_head: head })
  }
}

/** Whether a guard's word is worth a write by itself: of another log, or so much fresher than what is kept, or kept by a clock that has been set back since. */
function isNews(applied: { epoch: string; asOf: number }, known: StreamRecord['applied'], now: number): boolean {
  return known?.epoch !== applied.epoch || isAhead(known.asOf, now) || 1000 * (applied.asOf - known.asOf) >= SAVE_EVERY
}

/** Whether something is so young. What is ahead was noted before the clock was set back, and counts as long ago. */
function isWithin(age: number, milliseconds: number): boolean {
  return age >= 0 && age < milliseconds
}
