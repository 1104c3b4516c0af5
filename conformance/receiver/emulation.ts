import type { Config, ReceiverUnderTest } from '../config.ts'
import { POLL, PUSH, STREAM_UPDATED, VERIFICATION } from '../events.ts'
import { isObject, type Json, pause, until } from '../http.ts'
import type { Notes } from '../notes.ts'
import { createAuthorization } from './authorization.ts'
import { createKey } from './keys.ts'
import { listen, type Reply, type Request } from './listener.ts'
import { createOutbox } from './outbox.ts'
import { createStreams, type StreamState } from './streams.ts'

export type Operation = 'create' | 'read' | 'update' | 'replace' | 'delete' | 'read-status' | 'update-status' | 'verify'

/** An SSF 1.0 transmitter with its authorization server, for one receiver and one module. */
export interface Emulation {
  issuer: string
  /** Whether the receiver has done it, and could, before the time was over. */
  did(operation: Operation, milliseconds?: number): Promise<boolean>
  stream(): StreamState | undefined
  /** Whether the receiver accepted the event of each verification that it asked for. */
  verified: Promise<boolean>[]
  /** Sends an event about the configured subject, or about the stream; whether the receiver accepted it. */
  send(type: string, payload: Json, of?: 'subject' | 'stream'): Promise<boolean>
  /** Pauses the stream on the transmitter's own account, and says so (section 8.1.5). */
  pause(): Promise<boolean>
  close(): Promise<void>
}

const key = createKey()
/** Not asked for by the interoperability profile (section 2.3.8.2), so a receiver must do without. */
const NOT_IN_PROFILE = ['PATCH /streams', 'PUT /streams', 'POST /status', 'POST /subjects/add', 'POST /subjects/remove']

export async function startEmulation(notes: Notes, config: Config, under: ReceiverUnderTest): Promise<Emulation> {
  const { mode, timing, profile } = config
  if (!config.listen) return notes.stop('configuration', 'a receiver needs `listen` with a certificate')
  const interop = profile === 'caep_interop'
  const done = new Set<Operation>()
  const verified: Promise<boolean>[] = []
  const authorization = createAuthorization(notes, under)
  const { origin, close } = await listen(config.listen, answer)
  // A path in the issuer shows whether the well-known name is put before it.
  const path = '/t/conformance'
  const issuer = `${origin}${path}`
  const streams = createStreams({ notes, mode, interop, issuer, audience: under.audience })
  const outbox = createOutbox({ notes, mode, timing, key, issuer, audience: under.audience })

  /** Notes what the receiver did, if it was allowed to. */
  const did = (operation: Operation, reply: Reply): Reply => {
    if (reply.status < 300) done.add(operation)
    return reply
  }
  const about = (id: unknown, then: (stream: StreamState) => Reply | Promise<Reply>) => {
    const found = streams.find(id)
    return 'configuration' in found ? then(found) : found
  }
  const bodyOf = ({ json }: Request): Json => (isObject(json) ? json : {})
  const statusOf = ({ id, status }: StreamState): Reply => ({ status: 200, body: { stream_id: id, status } })

  const routes: Record<string, (request: Request, id: string | undefined) => Reply | Promise<Reply>> = {
    'POST /streams': ({ json }) => did('create', streams.create(json)),
    'PATCH /streams': ({ json }) => did('update', streams.change(json, 'update')),
    'PUT /streams': ({ json }) => did('replace', streams.change(json, 'replace')),
    'DELETE /streams': ({ query }) => did('delete', streams.remove(query.get('stream_id'))),
    'GET /streams': ({ query }) => {
      const stream = streams.current()
      if (!query.has('stream_id')) return { status: 200, body: stream ? [stream.configuration] : [] }
      return about(query.get('stream_id'), ({ configuration }) => did('read', { status: 200, body: configuration }))
    },
    'GET /status': ({ query }) => about(query.get('stream_id'), (stream) => did('read-status', statusOf(stream))),
    'POST /status': (request) => about(bodyOf(request).stream_id, (stream) => did('update-status', setStatus(stream, bodyOf(request).status))),
    'POST /verify': (request) => about(bodyOf(request).stream_id, (stream) => did('verify', verify(stream, bodyOf(request).state))),
    'POST /subjects/add': (request) => about(bodyOf(request).stream_id, () => ({ status: 200 })),
    'POST /subjects/remove': (request) => about(bodyOf(request).stream_id, () => ({ status: 204 })),
    'POST /poll': (request, id) => about(id, (stream) => outbox.poll(stream, request)),
  }

  const send: Emulation['send'] = async (type, payload, of = 'subject') => {
    const stream = streams.current()
    if (!stream) return false
    return outbox.deliver(stream, of === 'stream' ? { format: 'opaque', id: stream.id } : under.subject, type, payload)
  }

  return {
    ...{ issuer, verified, send, close },
    stream: streams.current,
    did: async (operation, milliseconds = timing.step) =>
      (await until(milliseconds, Math.min(timing.every, 100), () => done.has(operation) || undefined)) ?? false,
    async pause() {
      const stream = streams.current()
      // Its last words: from here on nothing else leaves.
      const told = send(STREAM_UPDATED, { status: 'paused', reason: 'conformance suite' }, 'stream')
      if (stream) stream.status = 'paused'
      return told
    },
  }

  function setStatus(stream: StreamState, status: unknown): Reply {
    const known = status === 'enabled' || status === 'paused' || status === 'disabled'
    if (!notes.must(known, 'SSF 1.0 section 8.1.2.2', 'the receiver sets a status that there is not')) return { status: 400 }
    // A strict transmitter: what is disabled stays so.
    if (stream.status === 'disabled' && status !== 'disabled') return { status: 400 }
    stream.status = status as StreamState['status']
    return statusOf(stream)
  }

  function verify(stream: StreamState, state: unknown): Reply {
    const spec = 'SSF 1.0 section 8.1.4.2'
    if (!notes.must(state === undefined || typeof state === 'string', spec, 'the state of a verification is no text')) return { status: 400 }
    if (stream.status !== 'enabled') return { status: 400 }
    // The answer first: 204 says only that an event will come.
    const sent = pause(20).then(() => send(VERIFICATION, state === undefined ? {} : { state }, 'stream'))
    verified.push(sent.catch(() => notes.must(false, 'RFC 8935 section 2', 'a verification event cannot be delivered')))
    return { status: 204 }
  }

  async function answer(request: Request): Promise<Reply> {
    const { method, path: asked } = request
    if (asked === `/.well-known/ssf-configuration${path}`) return { status: 200, body: metadata() }
    const oauth = [`/.well-known/oauth-authorization-server${path}`, `${path}/.well-known/openid-configuration`]
    if (oauth.includes(asked)) return { status: 200, body: authorization.metadata(issuer) }
    if (!asked.startsWith(`${path}/`)) return { status: 404 }
    const [, place = '', id] = asked.slice(path.length).split('/')
    if (place === 'jwks') return { status: 200, body: key.jwks }
    if (place === 'token') return authorization.token(request)
    const route = `${method} /${place}${place === 'subjects' ? `/${id}` : ''}`
    const handle = routes[route]
    if (!handle) return { status: 404 }
    const refused = authorization.refuse(request, method === 'GET' || place === 'poll' ? 'ssf.read' : 'ssf.manage')
    if (refused) return refused
    return interop && NOT_IN_PROFILE.includes(route) ? { status: 405 } : handle(request, id)
  }

  function metadata(): Json {
    return {
      ...{ spec_version: '1_0', issuer, jwks_uri: `${issuer}/jwks` },
      delivery_methods_supported: [PUSH, POLL],
      configuration_endpoint: `${issuer}/streams`,
      status_endpoint: `${issuer}/status`,
      verification_endpoint: `${issuer}/verify`,
      ...(!interop && { add_subject_endpoint: `${issuer}/subjects/add`, remove_subject_endpoint: `${issuer}/subjects/remove` }),
      authorization_schemes: [{ spec_urn: 'urn:ietf:rfc:6749' }],
      default_subjects: 'ALL',
    }
  }
}
