import { type Upstream, upstreamEntry, upstreamPatch } from '../directory/upstream.ts'
import { type Api, pathOf, written } from './api.ts'
import type { Caller } from './caller.ts'
import { notFound } from './errors.ts'

/** What the admin API shows of an upstream's receiver; instants are seconds, but for `heardAt`. */
export interface UpstreamState {
  heardAt: number | null
  lastGapAt: number | null
  outcomes: readonly { outcome: string; type: string; count: number; lastAt: number; lastSubject: unknown }[]
}

/** The transmitters that this tenant listens to. Credentials go in, and never out. */
export function registerUpstreams({ origin, route }: Api): void {
  const context = (of: string) => ({ '@odata.context': `${origin}/v1.0/$metadata#caegis/upstreams${of}` })
  const one = async (caller: Caller, id: string) => {
    const found = await caller.tenant.upstreams.find(id)
    if (!found) throw notFound()
    return { ...context('/$entity'), ...(await shape(caller, found)) }
  }

  route('GET', '/caegis/upstreams', { does: 'Lists the transmitters that are listened to', needs: ['Upstream.Read.All'] }, async (caller) => {
    const all = await caller.tenant.upstreams.list()
    return { ...context(''), value: await Promise.all(all.map((each) => shape(caller, each))) }
  })

  route(
    'GET',
    '/caegis/upstreams/:id',
    { does: 'Reads an upstream: whether it is heard, and what became of what it said', needs: ['Upstream.Read.All'] },
    (caller, request) => one(caller, pathOf(request)),
  )

  route(
    'POST',
    '/caegis/upstreams',
    { does: 'Begins to listen to a transmitter', needs: ['Upstream.ReadWrite.All'], body: upstreamEntry },
    async (caller, _request, reply, body) => {
      const done = await caller.tenant.upstreams.create(caller.actor, body)
      await caller.upstreams.changed()
      return written(reply, done)
        .code(201)
        .send(await one(caller, done.result))
    },
  )

  route(
    'PATCH',
    '/caegis/upstreams/:id',
    { does: 'Changes what an upstream may say and cause, or its credentials', needs: ['Upstream.ReadWrite.All'], body: upstreamPatch },
    async (caller, request, reply, body) => {
      const id = pathOf(request)
      const done = await caller.tenant.upstreams.update(caller.actor, id, body)
      await caller.upstreams.changed()
      return written(reply, done).send(await one(caller, id))
    },
  )

  route(
    'DELETE',
    '/caegis/upstreams/:id',
    { does: 'Listens to a transmitter no more; whom it disabled stays disabled', needs: ['Upstream.ReadWrite.All'] },
    async (caller, request, reply) => {
      const done = await caller.tenant.upstreams.remove(caller.actor, pathOf(request))
      await caller.upstreams.changed()
      return written(reply, done).code(204).send()
    },
  )
}

const time = (second: number | null) => (second === null ? null : `${new Date(second * 1000).toISOString().slice(0, 19)}Z`)

async function shape({ upstreams }: Caller, { createdAt, ...upstream }: Upstream): Promise<object> {
  const { heardAt, lastGapAt, outcomes, ...status } = await upstreams.status(upstream.id)
  return {
    ...upstream,
    createdDateTime: time(createdAt),
    status: {
      ...status,
      lastHeardDateTime: time(heardAt === null ? null : heardAt / 1000),
      lastGapDateTime: time(lastGapAt),
      outcomes: outcomes.map(({ lastAt, ...outcome }) => ({ ...outcome, lastDateTime: time(lastAt) })),
    },
  }
}
