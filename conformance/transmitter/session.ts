import { randomUUID } from 'node:crypto'
import type { Config, Mode, Profile, Timing, TransmitterUnderTest } from '../config.ts'
import { ALL_EVENTS, INTEROP_EVENTS, POLL, PUSH } from '../events.ts'
import { type Answer, isJson, isObject, type Json, pause, type Sending, send } from '../http.ts'
import { type Notes, type Result, runNoted } from '../notes.ts'
import { keySetProblem } from '../set.ts'
import { type Access, createAccess } from './access.ts'
import { type Endpoint, openEndpoint } from './endpoint.ts'

export interface TransmitterModule {
  name: string
  /** Only with this way of delivery. */
  mode?: Mode
  run(session: Session): Promise<void>
}

/** The transmitter under test, over all modules of a run. */
export interface Target {
  under: TransmitterUnderTest
  config: Config
  access(): Promise<Access>
}

/** What one module sees: the transmitter, its metadata, and the streams that it made, which are deleted behind it. */
export interface Session extends Target {
  notes: Notes
  timing: Timing
  mode: Mode
  profile: Profile
  metadata: Json
  /** The URL of an endpoint; the module ends without it. */
  url(name: string): string
  call(method: string, url: string, options?: Call): Promise<Answer>
  /** POST to the configuration endpoint. */
  post(options?: Call): Promise<Answer>
  /** A body that creates a stream of this mode. */
  body(): Promise<Json & { delivery: Json }>
  /** Makes a stream; the module ends without it. */
  create(body?: Json): Promise<Stream>
  /** Makes sure that a stream which was made in another way is deleted too. */
  adopt(stream: Stream): Stream
  /** A stream that was made and deleted. */
  gone(): Promise<Stream>
  remove(stream: Stream): Promise<Answer>
  /** Asks for a verification, no faster than the stream says. */
  verify(stream: Stream, state: string): Promise<void>
  keys(): Promise<Json[]>
  /** Push mode: where the transmitter sends to. */
  endpoint(): Promise<Endpoint>
}

export interface Call {
  /** Another token; `null` for none. */
  token?: string | null
  body?: unknown
  /** The body as it is, in place of JSON. */
  raw?: string
}

export interface Stream {
  id: string
  configuration: Json
}

export const BROKEN = ';{ broken'
/** No access token of anybody; the colon is not even allowed in one, and still it is 401 that must be answered. */
export const invalidToken = (): string => `invalid:${randomUUID()}`

/** What pushes of the module's streams must carry. */
export const AUTHORIZATION = `Bearer ${randomUUID()}`
const DESCRIPTION = 'conformance suite'

export function createTarget(config: Config): Target {
  const under = config.transmitter
  if (!under) throw new TypeError('the configuration names no transmitter')
  return { under, config, access: createAccess(under, config.timing) }
}

export function metadataUrl({ issuer, suffix, legacy }: TransmitterUnderTest): string {
  const { origin, pathname } = new URL(issuer)
  const path = suffix === undefined ? pathname : suffix === '' || suffix.startsWith('/') ? suffix : `/${suffix}`
  return `${origin}/.well-known/${legacy ? 'risc-configuration' : 'ssf-configuration'}${path.replace(/\/$/, '')}`
}

/** Runs one module against the transmitter and takes away what it made. */
export function runTransmitterModule(module: TransmitterModule, target: Target): Promise<Result> {
  const { config } = target
  return runNoted(module.name, async (notes) => {
    if (module.mode && module.mode !== config.mode) return notes.skip(`for ${module.mode} delivery`)
    const left = new Map<string, Stream>()
    let endpoint: Promise<Endpoint> | undefined
    const session = createSession(target, notes, left, () => {
      if (!config.listen) return notes.stop('configuration', 'push delivery needs `listen` with a certificate')
      endpoint ??= openEndpoint(config.listen)
      return endpoint
    })
    try {
      await discover(session)
      await module.run(session)
    } finally {
      for (const stream of left.values()) await session.remove(stream).catch(() => {})
      await (await endpoint)?.close()
    }
  })
}

async function discover(session: Session): Promise<void> {
  const { notes, under, timing, mode } = session
  const spec = 'SSF 1.0 section 7.2'
  const answer = await send(metadataUrl(under), { timeout: timing.request })
  if (answer.status !== 200) return notes.stop(spec, `the metadata is answered ${answer.status}, not 200`)
  notes.must(isJson(answer), spec, 'the metadata is not application/json')
  if (!isObject(answer.json)) return notes.stop(spec, 'the metadata is no JSON object')
  Object.assign(session.metadata, answer.json)
  const methods = session.metadata.delivery_methods_supported
  if (Array.isArray(methods) && !methods.includes(mode === 'push' ? PUSH : POLL))
    return notes.stop('SSF 1.0 section 7.1', `${mode} delivery is not offered`)
}

function createSession(target: Target, notes: Notes, left: Map<string, Stream>, endpoint: () => Promise<Endpoint>): Session {
  const { config, access } = target
  const { timing, mode, profile } = config
  const metadata: Json = {}
  const verified = new Map<string, number>()

  const session: Session = {
    ...{ ...target, notes, timing, mode, profile, metadata, endpoint },
    url(name) {
      const value = metadata[name]
      if (typeof value !== 'string' || !URL.canParse(value)) return notes.stop('SSF 1.0 section 7.1', `the metadata names no ${name}`)
      return value
    },
    async call(method, url, { token, body, raw } = {}) {
      const bearer = token === undefined ? (await access()).token : token
      const text = raw ?? (body === undefined ? undefined : JSON.stringify(body))
      const sending: Sending = {
        method,
        timeout: timing.request,
        headers: {
          accept: 'application/json',
          ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }),
          ...(text === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(text === undefined ? {} : { body: text }),
      }
      return send(url, sending)
    },
    post: (options = {}) => session.call('POST', session.url('configuration_endpoint'), options),
    body: async () => ({
      delivery: mode === 'poll' ? { method: POLL } : { method: PUSH, endpoint_url: (await endpoint()).url, authorization_header: AUTHORIZATION },
      events_requested: profile === 'caep_interop' ? INTEROP_EVENTS : ALL_EVENTS,
      description: DESCRIPTION,
    }),
    async create(body) {
      const answer = await session.post({ body: body ?? (await session.body()) })
      const stream = streamOf(answer)
      if (!stream || answer.status >= 300) {
        const more = answer.status === 409 ? ': the client has a stream already; delete it, or take a client of its own' : ''
        return notes.stop('SSF 1.0 section 8.1.1.1', `a stream cannot be created: ${answer.status}${more}`)
      }
      return session.adopt(stream)
    },
    adopt(stream) {
      left.set(stream.id, stream)
      return stream
    },
    async gone() {
      const stream = await session.create()
      const { status } = await session.remove(stream)
      if (status !== 204) return notes.stop('SSF 1.0 section 8.1.1.5', `a stream cannot be deleted: ${status}`)
      return stream
    },
    async remove(stream) {
      const answer = await session.call('DELETE', withStream(session.url('configuration_endpoint'), stream.id))
      if (answer.status < 300) left.delete(stream.id)
      return answer
    },
    async verify({ id, configuration }, state) {
      const interval = Number(configuration.min_verification_interval ?? 0)
      const last = verified.get(id)
      // Timers may fire early by a millisecond.
      if (last !== undefined && interval > 0) await pause(Math.min(last + interval * 1000 + 20 - Date.now(), timing.verification))
      const { status } = await session.call('POST', session.url('verification_endpoint'), { body: { stream_id: id, state } })
      verified.set(id, Date.now())
      if (status !== 204) return notes.stop('SSF 1.0 section 8.1.4.2', `a verification request is answered ${status}, not 204`)
    },
    async keys() {
      const uri = metadata.jwks_uri
      if (typeof uri !== 'string') return []
      const { json } = await send(uri, { timeout: timing.request })
      const problem = keySetProblem(json)
      if (problem) return notes.stop('SSF 1.0 section 7.1', `jwks_uri: ${problem}`)
      return (json as { keys: Json[] }).keys
    },
  }
  return session
}

export function withStream(endpoint: string, id: string): string {
  const url = new URL(endpoint)
  url.searchParams.set('stream_id', id)
  return url.href
}

export function streamOf({ json }: Answer): Stream | undefined {
  if (!isObject(json) || typeof json.stream_id !== 'string' || json.stream_id === '') return undefined
  return { id: json.stream_id, configuration: json }
}
