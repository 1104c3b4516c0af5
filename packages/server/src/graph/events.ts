import type { Position } from '@caegis/ssf/transmitter'
import type { FastifyRequest } from 'fastify'
import { type Api, pageOf, searchOf } from './api.ts'
import { authorize } from './caller.ts'
import { badRequest } from './errors.ts'
import { type Readers, readFilter, text } from './log-filter.ts'
import { parsePage, refuseOthers } from './query.ts'
import type { EventRow, Signals } from './signals.ts'
import type { Message, Source, Sse } from './sse.ts'

interface EventFilter {
  txn: string
  userId: string
}

/** Whom an event is about is asked by id: what the log says of people is what they were called then. */
const FILTERS: Readers<EventFilter> = { txn: text('txn'), userId: text('userId') }

/** Rows of one batch. */
const BATCH = 100

/** The committed log: newest first as a list, or as an event stream from where the client stands. */
export function registerEvents({ origin, route }: Api, sse: Sse): void {
  route(
    'GET',
    '/caegis/events',
    { does: 'Lists or follows the event log', needs: ['SecurityEvents.Read.All'], options: ['$top', '$skiptoken', '$filter'] },
    async (caller, request, reply) => {
      const { signals } = caller
      if (sse.wanted(request)) {
        refuseOthers(searchOf(request), [])
        const allowed = () => authorize(caller, 'SecurityEvents.Read.All')
        return sse.send(caller, reply, allowed, follow(signals, readPosition(request) ?? (await signals.streams.head())))
      }
      const { limit, last } = parsePage(searchOf(request))
      const filter = readFilter<EventFilter>(searchOf(request).get('$filter'), FILTERS)
      const { epoch } = await signals.streams.head()
      const found = await signals.inspection.events({
        limit: limit + 1,
        ...(last !== undefined && { before: last }),
        ...filter,
      })
      const { value, next } = pageOf(origin, request, found, limit, ({ seq }) => seq)
      return { '@odata.context': `${origin}/v1.0/$metadata#caegis/events`, ...next, value: value.map((row) => shape(row, epoch)) }
    },
  )
}

/** Everything after a position, then what is committed from now on. */
function follow(signals: Signals, from: Position): Source {
  return async function* (signal, beat) {
    const reader = readLog(signals, from)
    // From the first byte on, who is cut off can go on from here.
    yield [reader.start]
    while (!signal.aborted) {
      const said = await reader.next()
      if (said.length > 0) {
        yield said
        continue
      }
      const ending = beat()
      await signals.streams.wait(reader.seq(), ending)
      // Whatever else woke us is nothing to be said.
      if (ending.aborted && !signal.aborted) yield []
    }
  }
}

export interface LogReader {
  /** Says where it stands. */
  start: Message
  /** What follows, a batch at a time; empty at the end of the log. */
  next(): Promise<Message[]>
  seq(): number
}

/** Reads the log from a position. What cannot follow it (the log was replaced, or cut) is said as a gap, never passed over. */
export function readLog({ streams, inspection }: Pick<Signals, 'streams' | 'inspection'>, from: Position): LogReader {
  let at: Position = { epoch: from.epoch, seq: from.seq }
  return {
    start: { id: idOf(at) },
    seq: () => at.seq,
    async next() {
      const said: Message[] = []
      const { epoch, seq } = await streams.head()
      if (epoch !== at.epoch || at.seq > seq) {
        said.push(gap(at, { epoch, seq }))
        at = { epoch, seq }
      }
      if (at.seq < seq) {
        const rows = await inspection.eventsAfter(at.seq, BATCH)
        // All of them may have been cut meanwhile.
        const next = { epoch, seq: (rows[0]?.seq ?? seq + 1) - 1 }
        if (next.seq > at.seq) said.push(gap(at, next))
        said.push(...rows.map((row) => ({ id: idOf({ epoch, seq: row.seq }), event: 'event', data: shape(row, epoch) })))
        at = { epoch, seq: rows.at(-1)?.seq ?? seq }
      }
      return said
    },
  }
}

/** Events between two positions cannot be told; those after the second follow. */
function gap(from: Position, to: Position): Message {
  return { id: idOf(to), event: 'gap', data: { from, to } }
}

function shape({ seq, id, txn, type, at, ms, subject, payload }: EventRow, epoch: string): object {
  return { id, epoch, seq, txn, type, committedDateTime: new Date(at * 1000 + ms).toISOString(), subject: subject.complex, payload }
}

function idOf({ epoch, seq }: Position): string {
  return `${epoch}:${seq}`
}

/** What a client says of where it stands. @throws GraphError 400 */
export function readPosition({ headers }: FastifyRequest): Position | undefined {
  const text = headers['last-event-id']
  if (text === undefined || text === '') return undefined
  const [, epoch, seq] = String(text).match(/^([\w-]{1,64}):(\d{1,15})$/) ?? []
  if (epoch === undefined || seq === undefined) throw badRequest('Last-Event-ID is not one of ours.')
  return { epoch, seq: Number(seq) }
}
