import { Readable } from 'node:stream'
import { type Answer, type Caller, isLive, type StreamRecord, type Transmitter } from '@caegis/ssf/transmitter'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { cacheable, METADATA_MAX_AGE } from '../cacheable.ts'
import { whenOver } from '../when-over.ts'

export interface SignalsOptions {
  /** By name or id. */
  findTransmitter(tenant: string): Promise<Transmitter | undefined>
  /** Lets a request through the server's own guard, or answers it and returns `undefined`. */
  admit(tenant: string, request: FastifyRequest, reply: FastifyReply): Promise<Caller | undefined>
}

/** The SSF endpoints of all tenants. Who calls is settled before the body is read or a stream is looked up. */
export function registerSignals(app: FastifyInstance, { findTransmitter, admit }: SignalsOptions): void {
  // What is not JSON arrives as `undefined`: the transmitter answers for it, once it is known who asks.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string', bodyLimit: 1024 * 1024 }, (_request, body, done) => {
    try {
      done(null, JSON.parse(body as string))
    } catch {
      done(null, undefined)
    }
  })

  type Settled = { transmitter: Transmitter; caller: Caller }
  const settled = new WeakMap<FastifyRequest, Settled>()
  type Handle = (transmitter: Transmitter, caller: Caller, request: FastifyRequest, gone: AbortSignal) => Promise<Answer>
  const route = (method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE', url: string, handle: Handle) =>
    app.route({
      method,
      url: `/:tenant/ssf${url}`,
      async onRequest(request, reply) {
        const { tenant } = request.params as { tenant: string }
        const transmitter = await findTransmitter(tenant)
        if (!transmitter) return reply.code(404).send({ error: 'unknown_tenant', error_description: 'No such tenant.' })
        const caller = await admit(tenant, request, reply)
        if (!caller) return reply
        settled.set(request, { transmitter, caller })
      },
      async handler(request, reply) {
        const { transmitter, caller } = settled.get(request) as Settled
        const gone = new AbortController()
        // Without a reason, an exception with a stack would be made each time.
        whenOver(reply, () => gone.abort('over'))
        return send(reply, await handle(transmitter, caller, request, gone.signal))
      },
    })

  const streamId = (request: FastifyRequest): string | undefined => {
    const { stream_id: id } = request.query as { stream_id?: string | string[] }
    return typeof id === 'string' ? id : undefined
  }

  route('POST', '/streams', (transmitter, caller, request) =>
    transmitter.create(caller, request.body, request.headers['idempotency-key']?.toString()),
  )
  route('GET', '/streams', (transmitter, caller, request) => transmitter.read(caller, streamId(request)))
  route('PATCH', '/streams', (transmitter, caller, request) => transmitter.update(caller, request.body))
  route('PUT', '/streams', (transmitter, caller, request) => transmitter.replace(caller, request.body))
  route('DELETE', '/streams', (transmitter, caller, request) => transmitter.remove(caller, streamId(request)))
  route('GET', '/status', (transmitter, caller, request) => transmitter.status(caller, streamId(request)))
  route('POST', '/status', (transmitter, caller, request) => transmitter.updateStatus(caller, request.body))
  route('POST', '/subjects/add', (transmitter, caller, request) => transmitter.addSubject(caller, request.body))
  route('POST', '/subjects/remove', (transmitter, caller, request) => transmitter.removeSubject(caller, request.body))
  route('POST', '/verify', (transmitter, caller, request) => transmitter.verify(caller, request.body))
  route('POST', '/poll/:stream', (transmitter, caller, request, gone) =>
    transmitter.poll(caller, (request.params as { stream: string }).stream, request.body, gone),
  )
  route('GET', '/snapshot', (transmitter, caller, request) => {
    const { only, since } = request.query as Record<string, string | string[] | undefined>
    return transmitter.snapshot(caller, streamId(request), { only: only?.toString(), since: since?.toString() })
  })

  // For caches and whoever knows the name: it is encrypted, and who may read it was given the key.
  app.get('/:tenant/ssf/segments/:digest', async (request, reply) => {
    const { tenant, digest } = request.params as { tenant: string; digest: string }
    const transmitter = await findTransmitter(tenant)
    if (!transmitter) return reply.code(404).send({ error: 'unknown_tenant', error_description: 'No such tenant.' })
    return send(reply, await transmitter.segment(digest, request.headers['if-none-match']))
  })

  // SSF 1.0 section 7: the well-known name stands between host and path of the issuer.
  app.get('/.well-known/ssf-configuration/:tenant/v2.0', async (request, reply) => {
    const transmitter = await findTransmitter((request.params as { tenant: string }).tenant)
    if (!transmitter) return reply.code(404).send({ error: 'unknown_tenant', error_description: 'No such tenant.' })
    const type = 'application/json; charset=utf-8'
    const text = JSON.stringify(transmitter.metadata())
    const { status, headers, body } = cacheable({ type, text, maxAge: METADATA_MAX_AGE, ifNoneMatch: request.headers['if-none-match'] })
    return reply.code(status).headers(headers).send(body)
  })
}

function send(reply: FastifyReply, { status, headers, body }: Answer): FastifyReply {
  reply.code(status).headers(headers)
  if (body === undefined) return reply.send()
  if (body instanceof Uint8Array) return reply.send(body)
  if (typeof body === 'object' && body !== null && Symbol.asyncIterator in body) return reply.send(Readable.from(body as AsyncIterable<string>))
  return reply.send(JSON.stringify(body))
}

/** Rule I5: all guards of an API are heard of, and at least one is there. A silent one may be a copy of the API that would not hear of a revocation. */
export function allLive(streams: readonly StreamRecord[], now: number, maxStaleness: number, epoch: string): boolean {
  const guards = streams.filter((stream) => stream.guard)
  return guards.length > 0 && guards.every((stream) => isLive(stream, now, maxStaleness, epoch))
}

/** What every guard of an API can tell of an address: a condition that one of them cannot look at is nobody's to look at. */
export function allEvaluate(streams: readonly StreamRecord[], what: 'ip' | 'country'): boolean {
  return streams.every(({ guard, evaluates }) => !guard || evaluates?.includes(what))
}
