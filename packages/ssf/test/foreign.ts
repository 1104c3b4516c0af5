import { EVENT } from '@caegis/protocol'
import { SignJWT } from 'jose'
import { createMemoryQueue, createReceiver, type PushAnswer, type ReceivedEvent, type Receiver, type ReceiverOptions } from '../src/receiver/index.ts'
import { es256, type Key, rs256 } from './loop.ts'

export const THEM = 'https://them.test/t/acme'
export const US = 'https://us.test/ssf'
export const HEADER = 'Bearer in-91-secret'
export const PUSH = { push: { endpointUrl: 'https://us.test/ssf/in', authorizationHeader: HEADER } }

type Body = Record<string, any>
export interface Asked {
  method: string
  path: string
  query: URLSearchParams
  headers: Headers
  body: Body | undefined
}

export interface Foreign {
  made: number
  key: Key
  jwks: unknown[]
  metadata: Body
  streams: Map<string, Body>
  statuses: Map<string, string>
  /** Waiting to be polled, by jti. */
  waiting: Map<string, string>
  acked: string[]
  errors: Body
  languages: (string | null)[]
  asked: Asked[]
  logged: unknown[]
  /** Answers instead. */
  intercept: ((asked: Asked) => Promise<Response | undefined> | Response | undefined) | undefined
  /** Where the events of a push stream go. */
  receiver: Receiver | undefined
  claims(change?: Body): Body
  sign(payload: Body, header?: Body, key?: Key): Promise<string>
  /** Makes a SET and queues it for the next poll. */
  send(change?: Body, header?: Body): Promise<string>
  /** The same, about the stream. */
  about(type: string, payload: Body, change?: Body): Promise<string>
  /** Pushes a SET as RFC 8935 says. */
  push(change?: Body, headers?: Record<string, string>): Promise<PushAnswer>
  pushJwt(body: string, headers?: Record<string, string>): Promise<PushAnswer>
  fetch: typeof fetch
}

/** Somebody else's transmitter: SSF 1.0 and nothing more, as plain as the text allows, with a place to misbehave. */
export function createForeign(options: { one?: boolean; hold?: number } = {}): Foreign {
  const claims = (change: Body = {}): Body => ({
    iss: THEM,
    jti: `set-${++foreign.made}`,
    iat: Math.floor(Date.now() / 1000),
    aud: US,
    sub_id: { format: 'iss_sub', iss: THEM, sub: 'u-204' },
    events: { [EVENT.sessionRevoked]: { reason_admin: { en: 'test' } } },
    ...change,
  })
  const foreign: Foreign = {
    made: 0,
    key: es256,
    jwks: [es256.jwk, rs256.jwk],
    metadata: {
      spec_version: '1_0',
      issuer: THEM,
      jwks_uri: 'https://them.test/keys',
      delivery_methods_supported: ['urn:ietf:rfc:8935', 'urn:ietf:rfc:8936'],
      configuration_endpoint: 'https://them.test/streams',
      status_endpoint: 'https://them.test/status',
      verification_endpoint: 'https://them.test/verify',
      critical_subject_members: ['session'],
    },
    streams: new Map(),
    statuses: new Map(),
    waiting: new Map(),
    acked: [],
    errors: {},
    languages: [],
    asked: [],
    logged: [],
    intercept: undefined,
    receiver: undefined,
    claims,
    sign: (payload: Body, header: Body = {}, key: Key = foreign.key): Promise<string> =>
      new SignJWT(payload)
        .setProtectedHeader({ alg: key.jwk.alg as string, typ: 'secevent+jwt', kid: key.jwk.kid as string, ...header })
        .sign(key.private),
    async send(change: Body = {}, header: Body = {}): Promise<string> {
      const payload = claims(change)
      foreign.waiting.set(payload.jti, await foreign.sign(payload, header))
      return payload.jti
    },
    async about(type: string, payload: Body, change: Body = {}): Promise<string> {
      return foreign.send({ sub_id: { format: 'opaque', id: [...foreign.streams.keys()][0] }, events: { [type]: payload }, ...change })
    },
    async push(change: Body = {}, headers: Record<string, string> = {}): Promise<PushAnswer> {
      return foreign.pushJwt(await foreign.sign(claims(change)), headers)
    },
    pushJwt: (body: string, headers: Record<string, string> = {}): Promise<PushAnswer> =>
      (foreign.receiver as Receiver).handler({
        method: 'POST',
        headers: { 'content-type': 'application/secevent+jwt', authorization: HEADER, ...headers },
        body,
      }),
    fetch: (async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
      const url = new URL(String(input))
      const text = typeof init?.body === 'string' ? init.body : undefined
      const asked: Asked = {
        method: init?.method ?? 'GET',
        path: url.pathname,
        query: url.searchParams,
        headers: new Headers(init?.headers),
        body: text === undefined ? (init?.body instanceof URLSearchParams ? Object.fromEntries(init.body) : undefined) : JSON.parse(text),
      }
      foreign.asked.push(asked)
      init?.signal?.throwIfAborted()
      return (await foreign.intercept?.(asked)) ?? (await respond(asked))
    }) as typeof fetch,
  }

  async function respond({ method, path, query, headers, body = {} }: Asked): Promise<Response> {
    if (path === '/.well-known/ssf-configuration/t/acme') return Response.json(foreign.metadata)
    if (path === '/keys') return Response.json({ keys: foreign.jwks })
    if (headers.get('authorization') !== 'Bearer good') return empty(401)
    const id = query.get('stream_id') ?? body.stream_id ?? path.split('/poll/')[1]
    const stream = foreign.streams.get(id)
    if (path === '/streams' && method === 'GET' && !query.has('stream_id')) return Response.json([...foreign.streams.values()])
    if (path === '/streams' && method === 'POST') {
      if (options.one && foreign.streams.size > 0) return empty(409)
      const made = `st_${++foreign.made}`
      const push = body.delivery?.method === 'urn:ietf:rfc:8935'
      foreign.streams.set(made, {
        stream_id: made,
        iss: THEM,
        aud: US,
        delivery: push
          ? { method: body.delivery.method, endpoint_url: body.delivery.endpoint_url }
          : { method: 'urn:ietf:rfc:8936', endpoint_url: `https://them.test/poll/${made}` },
        events_supported: Object.values(EVENT),
        ...(body.events_requested && { events_requested: body.events_requested }),
        events_delivered: body.events_requested ?? Object.values(EVENT),
        ...(body.description && { description: body.description }),
      })
      foreign.statuses.set(made, 'enabled')
      return Response.json(foreign.streams.get(made), { status: 201 })
    }
    if (!stream) return empty(404)
    if (path === '/streams' && method === 'GET') return Response.json(stream)
    if (path === '/streams' && method === 'DELETE') {
      foreign.streams.delete(id)
      return empty(204)
    }
    if (path === '/streams' && method === 'PATCH') {
      const { delivery, events_requested: events, description } = body
      if (events) Object.assign(stream, { events_requested: events, events_delivered: events })
      if (description) stream.description = description
      if (delivery) stream.delivery = { method: delivery.method, endpoint_url: delivery.endpoint_url ?? `https://them.test/poll/${id}` }
      return Response.json(stream)
    }
    if (path === '/status') {
      if (method === 'POST') foreign.statuses.set(id, body.status)
      return Response.json({ stream_id: id, status: foreign.statuses.get(id) })
    }
    if (path === '/verify') {
      const event = { sub_id: { format: 'opaque', id }, events: { [EVENT.verification]: { ...(body.state && { state: body.state }) } } }
      if (stream.delivery.method === 'urn:ietf:rfc:8935') setTimeout(() => void foreign.push(event), 1)
      else await foreign.send(event)
      return empty(204)
    }
    if (path.startsWith('/poll/')) {
      for (const jti of body.ack ?? []) {
        foreign.acked.push(jti)
        foreign.waiting.delete(jti)
      }
      for (const [jti, error] of Object.entries(body.setErrs ?? {})) {
        foreign.languages.push(headers.get('content-language'))
        foreign.errors[jti] = error
        foreign.waiting.delete(jti)
      }
      if (foreign.waiting.size === 0 && !body.returnImmediately) await new Promise((resolve) => setTimeout(resolve, options.hold ?? 5))
      return Response.json({ sets: body.maxEvents === 0 ? {} : Object.fromEntries(foreign.waiting) })
    }
    return empty(404)
  }
  return foreign
}

function empty(status: number): Response {
  return new Response(null, { status })
}

export const QUICK = {
  timeout: 1000,
  grace: 1000,
  backoff: [1, 8] as const,
  paused: 2,
  idle: 2,
  status: 5,
  reenable: 0,
  refetchKeys: 0,
  keyPatience: 0,
  verification: 1000,
  handler: 500,
  retry: [1, 4] as const,
  close: 200,
}

/** A receiver of that transmitter which writes down what it was handed. */
export function receive(foreign: Foreign, options: Partial<ReceiverOptions> = {}) {
  const events: ReceivedEvent[] = []
  const note = (message: string, fields?: unknown) => void foreign.logged.push({ message, fields })
  const receiver = createReceiver({
    transmitter: THEM,
    credentials: { token: async () => 'good' },
    delivery: 'poll',
    audience: US,
    on: { 'session-revoked': (event) => void events.push(event) },
    queue: createMemoryQueue(100),
    fetch: foreign.fetch,
    log: { debug: note, info: note, warn: note, error: note },
    ...options,
    timing: { ...QUICK, ...options.timing },
  })
  foreign.receiver = receiver
  return { receiver, events }
}
