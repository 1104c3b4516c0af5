import { isLive, type LaneState, type Problem, type StreamRecord } from '@caegis/ssf/transmitter'
import { z } from 'zod'
import { type Api, pageOf, pathOf, searchOf } from './api.ts'
import type { Caller } from './caller.ts'
import { GraphError, notFound } from './errors.ts'
import { parseNames, parsePage } from './query.ts'

const stopOrStart = z.strictObject({ reason: z.string().min(1).max(256).optional() }).optional()
/** Dead letters that one call sends once more. */
const MAX_LETTERS = 1000
const letterIds = z.strictObject({ ids: z.array(z.string().min(1).max(64)).min(1).max(MAX_LETTERS).optional() }).optional()

const ACTIONS = [
  ['pause', 'paused'],
  ['enable', 'enabled'],
  ['disable', 'disabled'],
] as const

const REFUSALS: Partial<Record<Problem, GraphError>> = {
  stream_not_enabled: new GraphError(409, 'Conflict', 'The stream is not enabled.'),
  too_many_requests: new GraphError(429, 'TooManyRequests', 'The receiver has not fetched earlier verifications yet.'),
}

/** The streams of all receivers: how far each has come, and the administrator's say about it. */
export function registerStreams({ origin, log, route }: Api): void {
  const context = (of: string) => ({ '@odata.context': `${origin}/v1.0/$metadata#caegis/streams${of}` })

  route(
    'GET',
    '/caegis/streams',
    { does: 'Lists the streams', needs: ['SecurityEvents.Read.All'], options: ['$top', '$skiptoken'] },
    async (caller, request) => {
      const query = parseNames(searchOf(request), STREAM_ID)
      const all = (await caller.signals.streams.allStreams()).sort((one, other) => (one.id < other.id ? -1 : 1))
      const found = query.after === undefined ? all : all.filter(({ id }) => id > (query.after as string))
      const { value, next } = pageOf(origin, request, found, query.limit, ({ id }) => id)
      return { ...context(''), ...next, value: await shapes(caller, value) }
    },
  )

  route('GET', '/caegis/streams/:id', { does: 'Shows a stream', needs: ['SecurityEvents.Read.All'] }, async (caller, request) => {
    return one(caller, await existing(caller, pathOf(request)))
  })

  route(
    'POST',
    '/caegis/streams/:id/verify',
    { does: 'Sends a verification event', needs: ['SecurityEvents.ReadWrite.All'] },
    async (caller, request, reply) => {
      const { id, done } = await change(caller, pathOf(request))
      const problem = await caller.signals.transmitter.sendVerification(id)
      if (problem !== undefined) throw REFUSALS[problem] ?? notFound()
      done('verify')
      return reply.code(204).send()
    },
  )

  for (const [action, status] of ACTIONS) {
    route(
      'POST',
      `/caegis/streams/:id/${action}`,
      { does: `Makes a stream ${status}`, needs: ['SecurityEvents.ReadWrite.All'], body: stopOrStart },
      async (caller, request, _reply, body) => {
        const { reason } = body ?? {}
        const { id, done } = await change(caller, pathOf(request))
        const changed = await caller.signals.transmitter.setStatus(id, status, reason)
        if (!changed) throw notFound()
        done(action)
        return one(caller, changed)
      },
    )
  }

  route('DELETE', '/caegis/streams/:id', { does: 'Deletes a stream', needs: ['SecurityEvents.ReadWrite.All'] }, async (caller, request, reply) => {
    const { id, done } = await change(caller, pathOf(request))
    await caller.signals.streams.deleteStream(id)
    done('delete')
    return reply.code(204).send()
  })

  route(
    'GET',
    '/caegis/streams/:id/deadLetters',
    { does: 'Lists what a receiver did not take', needs: ['SecurityEvents.Read.All'], options: ['$top', '$skiptoken'] },
    async (caller, request) => {
      const { limit, last } = parsePage(searchOf(request))
      const { id } = await existing(caller, pathOf(request))
      const found = await caller.signals.inspection.deadLetters(id, { limit: limit + 1, ...(last !== undefined && { after: last }) })
      const { value, next } = pageOf(origin, request, found, limit, ({ seq }) => seq)
      return { ...context(`/deadLetters`), ...next, value: value.map(({ at, ...letter }) => ({ ...letter, diedDateTime: toTime(at) })) }
    },
  )

  route(
    'POST',
    '/caegis/streams/:id/deadLetters/redeliver',
    { does: 'Sends dead letters once more', needs: ['SecurityEvents.ReadWrite.All'], body: letterIds },
    async (caller, request, _reply, body) => {
      const given = body?.ids
      const { id, done } = await change(caller, pathOf(request))
      const { inspection, transmitter } = caller.signals
      const ids = given ?? (await inspection.deadLetters(id, { limit: MAX_LETTERS })).map((letter) => letter.id)
      const result = await transmitter.redeliver(id, ids)
      done('redeliver')
      return { ...context('/deadLetters/redeliver'), ...result }
    },
  )

  /** Lets a caller change a stream that exists; `done` keeps who did what. */
  async function change(caller: Caller, id: string): Promise<{ id: string; done(action: string): void }> {
    const { actor } = caller
    const stream = await existing(caller, id)
    const by = actor.kind === 'user' ? { user: actor.id, appId: actor.appId } : actor.kind === 'app' ? { appId: actor.appId } : {}
    const facts = { tenant: caller.tenant.id, stream: stream.id, receiver: stream.receiver, by }
    return {
      id: stream.id,
      done(action) {
        log.info('an administrator has acted on a stream', { action, ...facts })
        const operation = action === 'delete' ? 'Delete' : 'Update'
        const targets = [{ type: 'Other' as const, id: stream.id, name: stream.receiver }]
        const activity = `${action.charAt(0).toUpperCase()}${action.slice(1)} stream`
        caller.tenant.audits.done(actor, { activity, operation, category: 'DirectoryManagement', targets })
      },
    }
  }

  async function one(caller: Caller, stream: StreamRecord): Promise<object> {
    return { ...context('/$entity'), ...(await shapes(caller, [stream]))[0] }
  }
}

/** Ids of streams, as their transmitter makes them. */
const STREAM_ID = /^[\w-]{1,64}$/

export async function existing({ signals }: Caller, id: string): Promise<StreamRecord> {
  const stream = STREAM_ID.test(id) ? await signals.streams.getStream(id) : undefined
  if (!stream) throw notFound()
  return stream
}

async function shapes({ signals }: Caller, page: StreamRecord[]): Promise<object[]> {
  const { streams, inspection, deliveries, maxStaleness } = signals
  const head = await streams.head()
  const letters = await inspection.countDeadLetters()
  const lanes = new Map((await signals.lanes()).map((lane) => [lane.stream, lane]))
  // The first row that a stream lacks was committed when it began to lag.
  const times = await inspection.committedAt(page.map((stream) => stream.acked + 1))
  const names = await inspection.applicationNames(page.map(({ receiver }) => receiver))
  const rates = await deliveries.successRates(page)
  return page.map((stream) => {
    const { acked, applied, hydrated, seenAt, confirmedAt, delivery } = stream
    const lane = lanes.get(stream.id)
    const missing = times.get(acked + 1)
    return {
      id: stream.id,
      appId: stream.receiver,
      displayName: names.get(stream.receiver) ?? null,
      audience: stream.aud,
      description: stream.description ?? null,
      // What is sent along in a push is the receiver's secret.
      delivery: { method: delivery.method, endpointUrl: delivery.endpointUrl ?? null },
      eventsRequested: stream.eventsRequested ?? null,
      eventsDelivered: stream.eventsDelivered,
      subjects: stream.subjects,
      algorithm: stream.alg,
      guard: stream.guard,
      status: stream.status,
      statusReason: stream.statusReason ?? null,
      statusSetByAdministrator: stream.statusFixed === true,
      createdDateTime: toTime(stream.createdAt),
      start: stream.start,
      acked,
      lag: { rows: Math.max(0, head.seq - acked), seconds: missing === undefined ? 0 : Math.max(0, Math.round(head.asOf - missing)) },
      applied: applied ? { epoch: applied.epoch, seq: applied.seq, asOfDateTime: toTime(applied.asOf) } : null,
      hydrated: hydrated ? { epoch: hydrated.epoch, atDateTime: toTime(hydrated.at) } : null,
      successRate: rates.get(stream.id) ?? null,
      verifiedDateTime: confirmedAt === undefined ? null : toTime(confirmedAt),
      seenDateTime: seenAt === undefined ? null : toTime(seenAt),
      live: stream.guard ? isLive(stream, head.asOf, maxStaleness, head.epoch) : null,
      deadLetters: letters.get(stream.id) ?? 0,
      lane: lane ? shapeLane(lane) : null,
    }
  })
}

function shapeLane({ inFlight, failures, failingSince, retryAt }: LaneState): object {
  return {
    inFlight,
    failures,
    failingSinceDateTime: failingSince === undefined ? null : toTime(failingSince / 1000),
    retryDateTime: retryAt === undefined ? null : toTime(retryAt / 1000),
  }
}

function toTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}
