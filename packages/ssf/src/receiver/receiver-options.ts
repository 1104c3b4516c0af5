import type { SecurityEvent } from '@caegis/protocol'
import { type Log, SILENT } from '../log.ts'
import { type ClientCredentials, createClientToken, type FindTokenEndpointOptions, findTokenEndpoint } from './client-token.ts'
import { isEndpoint, metadataUrl } from './discover.ts'
import { createDispatch, eventUri, type Handler, type Handlers } from './handlers.ts'
import { createMemorySeen, type SeenStore } from './seen.ts'
import type { TokenSource } from './stream-api.ts'
import type { ReceiverTrust } from './trust.ts'
import { createMemoryQueue, type EventQueue } from './work-queue.ts'

/** Milliseconds. */
export interface ReceiverTiming {
  /** Each exchange that is not held; default 10,000. */
  timeout: number
  /** Added to the hold of a long poll; default 5000. */
  grace: number
  /** Between failures, first and longest; default 200 and 10,000. */
  backoff: readonly [number, number]
  /** Poll: between two looks at a stream that is paused or disabled; default 1000. */
  paused: number
  /** Poll: after a long poll that came back empty at once; default 1000. */
  idle: number
  /** How often the stream's status is looked at; default 60,000, or a third of the stream's inactivity timeout. */
  status: number
  /** Between two attempts to enable the stream; default 30,000. */
  reenable: number
  /** Between two fetches of keys because of an unknown one; default 1000. */
  refetchKeys: number
  /** Poll: how long a SET that no key verifies may wait for one before it is reported as invalid; default 60,000. */
  keyPatience: number
  /** Until a verification event must have come back; default 90,000. */
  verification: number
  /** For one run of a handler; default 30,000. */
  handler: number
  /** Push: between two runs for one event, first and longest; default 1000 and 60,000. */
  retry: readonly [number, number]
  /** For taking leave; default 5000. */
  close: number
}

export interface ReceiverOptions {
  /** Issuer URL of the transmitter: everything else is discovered from it. */
  transmitter: string
  credentials: ClientCredentials | { token: TokenSource }
  delivery: 'poll' | { push: { endpointUrl: string; authorizationHeader?: string } }
  /** When given, the stream must be for this audience. */
  audience?: string
  /** Events to ask for, by short name or URI; default: those that have a handler, or all when `*` has one. */
  events?: readonly string[]
  /** Tells this receiver's stream from others of the same client. */
  description?: string
  on: Handlers
  /** Members of complex subjects that the handlers look at; default session, application, device, user and tenant. */
  understands?: readonly string[]
  trust?: ReceiverTrust
  seen?: SeenStore
  /** Push: what was accepted and not acted on yet. */
  queue?: EventQueue
  /** Push: an event whose handler failed too often. */
  onFailed?: (event: SecurityEvent, error: unknown) => void | Promise<void>
  /** Push: runs of a handler for one event; default 8. */
  attempts?: number
  /** Push: handlers that run at once; default 4. */
  concurrency?: number
  /** Ask for a verification before `start()` resolves. */
  verifyAtStart?: boolean
  /** Enable the stream again when the transmitter has paused or disabled it. */
  reenable?: boolean
  /** Poll: longest hold of a long poll at a CAEgis transmitter, seconds; default 10. */
  waitSeconds?: number
  /** Poll: SETs asked for at once; default 100. */
  maxEvents?: number
  /** Bytes of a poll's answer; default 8 MiB. */
  maxAnswer?: number
  fetch?: typeof globalThis.fetch
  /** Milliseconds. */
  now?: () => number
  log?: Log
  /** Allows `http:`; for tests on one machine. */
  insecure?: boolean
  timing?: Partial<ReceiverTiming>
}

export interface ReceiverSettings
  extends Required<
    Pick<ReceiverOptions, 'seen' | 'queue' | 'attempts' | 'concurrency' | 'waitSeconds' | 'maxEvents' | 'maxAnswer' | 'fetch' | 'now' | 'log'>
  > {
  issuer: string
  token: TokenSource
  push: { endpointUrl: string; authorizationHeader?: string } | undefined
  audience: string | undefined
  /** URIs; undefined for all. */
  events: string[] | undefined
  description: string | undefined
  dispatch: (type: string) => Handler | undefined
  understands: ReadonlySet<string>
  trust: ReceiverTrust
  onFailed: (event: SecurityEvent, error: unknown) => void | Promise<void>
  verifyAtStart: boolean
  reenable: boolean
  insecure: boolean
  timing: ReceiverTiming
}

const UNDERSTOOD = ['session', 'application', 'device', 'user', 'tenant']
const TIMING: ReceiverTiming = {
  timeout: 10_000,
  grace: 5000,
  backoff: [200, 10_000],
  paused: 1000,
  idle: 1000,
  status: 60_000,
  reenable: 30_000,
  refetchKeys: 1000,
  keyPatience: 60_000,
  verification: 90_000,
  handler: 30_000,
  retry: [1000, 60_000],
  close: 5000,
}

/** @throws TypeError */
export function settleReceiver(options: ReceiverOptions): ReceiverSettings {
  const {
    transmitter: issuer,
    credentials,
    delivery,
    audience,
    description,
    on,
    insecure = false,
    now = Date.now,
    fetch = globalThis.fetch,
  } = options
  // Throws for an issuer that cannot be discovered.
  metadataUrl(issuer, insecure)
  const timing = { ...TIMING, ...options.timing }
  const push = delivery === 'poll' ? undefined : checkPush(delivery?.push, insecure)
  const { attempts = 8, concurrency = 4, maxEvents = 100, maxAnswer = 8_388_608, waitSeconds = 10 } = options
  for (const [name, value] of Object.entries({ attempts, concurrency, maxEvents, maxAnswer })) {
    if (!(Number.isSafeInteger(value) && value > 0)) throw new TypeError(`${name} must be a positive integer`)
  }
  if (!(waitSeconds >= 0)) throw new TypeError('waitSeconds must be a number')
  if (audience === '' || description === '') throw new TypeError('audience and description must not be empty')
  return {
    issuer,
    token: tokenOf(credentials, { issuer, fetch, now, insecure, timeout: timing.timeout }),
    push,
    audience,
    description,
    events: eventsOf(options.events, on),
    dispatch: createDispatch(on),
    understands: new Set(options.understands ?? UNDERSTOOD),
    trust: options.trust ?? {},
    seen: options.seen ?? createMemorySeen(),
    queue: options.queue ?? createMemoryQueue(),
    onFailed: options.onFailed ?? (() => {}),
    attempts,
    concurrency,
    verifyAtStart: options.verifyAtStart ?? false,
    reenable: options.reenable ?? false,
    waitSeconds,
    maxEvents,
    maxAnswer,
    fetch,
    now,
    log: options.log ?? SILENT,
    insecure,
    timing,
  }
}

function checkPush(push: { endpointUrl: string; authorizationHeader?: string } | undefined, insecure: boolean) {
  if (!push || !isEndpoint(push.endpointUrl, insecure)) throw new TypeError("delivery must be 'poll', or push with an https endpointUrl")
  const { authorizationHeader: header } = push
  // Compared as it arrives, so nothing that a server would trim or fold.
  if (header !== undefined && !/^[\x21-\x7e]([\x20-\x7e]{0,1022}[\x21-\x7e])?$/.test(header)) {
    throw new TypeError('authorizationHeader must be a header value')
  }
  return push
}

function tokenOf(
  credentials: ReceiverOptions['credentials'],
  { now, ...rest }: Omit<FindTokenEndpointOptions, 'tokenEndpoint' | 'authMethod'> & { now: () => number },
): TokenSource {
  if (credentials && 'token' in credentials) {
    if (typeof credentials.token !== 'function') throw new TypeError('credentials.token must be a function')
    return credentials.token
  }
  const { clientId, clientSecret, tokenEndpoint, authMethod } = credentials ?? {}
  if (!clientId || !clientSecret) throw new TypeError('credentials need clientId and clientSecret, or token')
  if (tokenEndpoint !== undefined && !isEndpoint(tokenEndpoint, rest.insecure)) throw new TypeError('tokenEndpoint must be an https URL')
  if (authMethod !== undefined && authMethod !== 'basic' && authMethod !== 'post') throw new TypeError('authMethod must be basic or post')
  return createClientToken({ ...credentials, ...rest, now, endpoint: findTokenEndpoint({ ...credentials, ...rest }) })
}

function eventsOf(events: readonly string[] | undefined, on: Handlers): string[] | undefined {
  if (events === undefined && '*' in on) return undefined
  const names = events ?? Object.keys(on).filter((name) => name !== 'stream-updated')
  const uris = names.map((name) => {
    const uri = eventUri(name)
    if (uri === undefined) throw new TypeError(`there is no event ${name}`)
    return uri
  })
  // Events about the stream come without being asked for.
  return uris.length === 0 ? undefined : [...new Set(uris)]
}
