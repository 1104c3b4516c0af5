import { type Cutoff, cutoffPlace, cutoffsOf, EVENT, type Head, mergeCutoffs, type SecurityEvent, trustOwn } from '@caegis/protocol'
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import { type Follower, type FollowOptions, follow } from '../src/receiver/index.ts'
import {
  type Answer,
  type Caller,
  createMemoryStore,
  createTransmitter,
  type NewEvent,
  type TransmitterLimits,
  type TransmitterOptions,
  type TransmitterStore,
} from '../src/transmitter/index.ts'

export const ISSUER = 'https://host.test/acme/v2.0'
export const BASE = 'https://host.test/acme/ssf'
export const AUDIENCE = 'api://files'
export const HORIZON = 100_800

export interface Key {
  private: CryptoKey
  jwk: JWK
}

export async function makeKey(alg: 'ES256' | 'RS256', kid: string): Promise<Key> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  return { private: privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } }
}

/** Generated once a file: an RSA key takes a while. */
export const es256 = await makeKey('ES256', 'es-1')
export const rs256 = await makeKey('RS256', 'rs-1')

export interface Request {
  path: string
  method: string
  query: URLSearchParams
  body: Record<string, unknown> | undefined
  headers: Headers
}

export type Intercept = (request: Request, next: () => Promise<Response>) => Promise<Response> | Response

/** Transmitter and an in-process `fetch` that reaches it, with a place to interfere. */
export function createLoop(
  options: {
    now?: () => number
    limits?: Partial<TransmitterLimits>
    maxStaleness?: number
    wrap?: (store: TransmitterStore) => TransmitterStore
    transmitter?: Partial<TransmitterOptions>
  } = {},
) {
  const now = options.now ?? Date.now
  const store = createMemoryStore({ issuer: ISSUER, now, horizon: HORIZON })
  const keys = { ES256: es256, RS256: rs256 }
  const loop = {
    store,
    keys,
    jwks: [es256.jwk, rs256.jwk] as JWK[],
    signed: 0,
    logged: [] as { message: string; fields?: Record<string, unknown> | undefined }[],
    requests: [] as Request[],
    intercept: undefined as Intercept | undefined,
    /** Looks at every answer as it goes out, that of a poll held since long ago too. */
    alter: undefined as ((request: Request, response: Response) => Promise<Response> | Response) | undefined,
    /** Changes the claims of what is signed. */
    tamper: undefined as ((payload: Record<string, unknown>) => Record<string, unknown>) | undefined,
    sign: (payload: Record<string, unknown>, { typ, alg }: { typ: string; alg: 'ES256' | 'RS256' }) => {
      loop.signed++
      const key = keys[alg]
      return new SignJWT(loop.tamper ? loop.tamper(payload) : payload).setProtectedHeader({ alg, typ, kid: key.jwk.kid as string }).sign(key.private)
    },
    transmitter: undefined as unknown as ReturnType<typeof createTransmitter>,
    fetch: undefined as unknown as typeof fetch,
  }
  const note = (message: string, fields?: Record<string, unknown>) => void loop.logged.push({ message, fields })
  loop.transmitter = createTransmitter({
    issuer: ISSUER,
    base: BASE,
    jwksUri: 'https://host.test/acme/keys',
    store: options.wrap?.(store) ?? store,
    sign: (payload, header) => loop.sign(payload, header),
    now,
    log: { debug: note, info: note, warn: note, error: note },
    ...(options.limits && { limits: options.limits }),
    ...(options.maxStaleness && { maxStaleness: options.maxStaleness }),
    ...options.transmitter,
  })

  loop.fetch = async (input, init) => {
    const url = new URL(String(input))
    const headers = new Headers(init?.headers)
    const signal = init?.signal ?? new AbortController().signal
    signal.throwIfAborted()
    const request: Request = {
      path: url.pathname,
      method: init?.method ?? 'GET',
      query: url.searchParams,
      body: typeof init?.body === 'string' ? JSON.parse(init.body) : undefined,
      headers,
    }
    loop.requests.push(request)
    const next = () => respond(request, headers.get('authorization'), signal)
    const response = await (loop.intercept?.(request, next) ?? next())
    signal.throwIfAborted()
    return loop.alter?.(request, response) ?? response
  }

  async function respond({ path, method, query, body, headers }: Request, authorization: string | null, signal: AbortSignal): Promise<Response> {
    const { transmitter } = loop
    if (path === '/.well-known/ssf-configuration/acme/v2.0') return Response.json(transmitter.metadata())
    if (path === '/acme/keys') return Response.json({ keys: loop.jwks })
    if (path.startsWith('/acme/ssf/segments/')) return toResponse(await transmitter.segment(path.slice('/acme/ssf/segments/'.length)))
    const who = /^Bearer good(?::(.+))?$/.exec(authorization ?? '')
    if (!who) return new Response(null, { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' } })
    const caller = callerOf(who[1])
    const id = query.get('stream_id') ?? undefined
    const rest = path.slice('/acme/ssf/'.length)
    if (rest === 'streams' && method === 'POST')
      return toResponse(await transmitter.create(caller, body, headers.get('idempotency-key') ?? undefined))
    if (rest === 'streams' && method === 'GET') return toResponse(await transmitter.read(caller, id))
    if (rest === 'streams' && method === 'DELETE') return toResponse(await transmitter.remove(caller, id))
    if (rest === 'streams' && method === 'PATCH') return toResponse(await transmitter.update(caller, body))
    if (rest === 'streams' && method === 'PUT') return toResponse(await transmitter.replace(caller, body))
    if (rest === 'status' && method === 'POST') return toResponse(await transmitter.updateStatus(caller, body))
    if (rest === 'subjects/add') return toResponse(await transmitter.addSubject(caller, body))
    if (rest === 'subjects/remove') return toResponse(await transmitter.removeSubject(caller, body))
    if (rest === 'status') return toResponse(await transmitter.status(caller, id))
    if (rest === 'verify') return toResponse(await transmitter.verify(caller, body))
    if (rest === 'snapshot')
      return toResponse(await transmitter.snapshot(caller, id, { only: query.get('only') ?? undefined, since: query.get('since') ?? undefined }))
    if (rest.startsWith('poll/')) return toResponse(await transmitter.poll(caller, rest.slice(5), body, signal))
    return new Response(null, { status: 404 })
  }
  return loop
}

export type Loop = ReturnType<typeof createLoop>

export function callerOf(receiver = 'files-api', scopes = ['ssf.read', 'ssf.manage'], audience = AUDIENCE): Caller {
  return { receiver, audience, scopes: new Set(scopes) }
}

export function toResponse({ status, headers, body }: Answer): Response {
  if (body === undefined) return new Response(null, { status, headers })
  if (body instanceof Uint8Array) return new Response(body as Uint8Array<ArrayBuffer>, { status, headers })
  if (typeof body === 'object' && body !== null && Symbol.asyncIterator in body) {
    const text = (body as AsyncIterable<string>)[Symbol.asyncIterator]()
    const encoder = new TextEncoder()
    const stream = new ReadableStream({
      async pull(controller) {
        const { done, value } = await text.next()
        if (done) controller.close()
        else controller.enqueue(encoder.encode(value))
      },
    })
    return new Response(stream, { status, headers })
  }
  return new Response(JSON.stringify(body), { status, headers })
}

/** An event about a user, or about one of its sessions. */
export function revoke(user: string, options: { session?: string; t?: number; type?: string; until?: number } = {}): NewEvent {
  const subject = { format: 'iss_sub' as const, iss: ISSUER, sub: user }
  const { session, t, until } = options
  return {
    type: options.type ?? EVENT.sessionRevoked,
    subject: session
      ? { complex: { format: 'complex', user: subject, session: { format: 'opaque', id: session } } }
      : { simple: subject, complex: { format: 'complex', user: subject } },
    payload: {
      ...(t !== undefined && { event_timestamp: t }),
      ...(until !== undefined && { caegis_until: until }),
      initiating_entity: 'admin',
      reason_admin: { en: 'test' },
    },
  }
}

export type Table = Map<string, Cutoff>

export function merge(table: Table, cutoff: Cutoff): void {
  const key = cutoffPlace(cutoff)
  const known = table.get(key)
  table.set(key, known ? mergeCutoffs(known, cutoff) : cutoff)
}

export function mergeEvent(table: Table, set: SecurityEvent): void {
  const meaning = cutoffsOf(set, trustOwn(ISSUER), HORIZON)
  if (meaning.outcome === 'cutoffs') for (const cutoff of meaning.cutoffs) merge(table, cutoff)
}

/** What one that missed nothing would know. */
export async function truth(store: Pick<TransmitterStore, 'cutoffs'>): Promise<Table> {
  const table: Table = new Map()
  for await (const batch of store.cutoffs()) for (const cutoff of batch) merge(table, cutoff)
  return table
}

export const FAST = { timeout: 2000, grace: 2000, backoff: [1, 8] as const, paused: 5, idle: 5, refetchKeys: 0, close: 500 }

/** A guard's follower with a table, and a record of what it was told. */
export function startGuard(loop: Loop, options: Partial<FollowOptions> = {}) {
  const guard = {
    table: new Map() as Table,
    events: [] as SecurityEvent[],
    heads: [] as Head[],
    reasons: [] as string[],
    told: [] as string[],
    tokens: [] as boolean[],
    onEvent: undefined as ((set: SecurityEvent) => void) | undefined,
    follower: undefined as unknown as Follower,
  }
  guard.follower = follow({
    issuer: ISSUER,
    token: async ({ fresh }) => {
      guard.tokens.push(fresh)
      return 'good'
    },
    fetch: loop.fetch,
    stream: { subjects: 'complex', alg: 'ES256', guard: true },
    waitSeconds: 0.2,
    timing: FAST,
    on: {
      snapshot(cutoffs) {
        guard.told.push('snapshot')
        for (const cutoff of cutoffs) merge(guard.table, cutoff)
      },
      event(set) {
        guard.onEvent?.(set)
        guard.told.push('event')
        guard.events.push(set)
        mergeEvent(guard.table, set)
      },
      synced(head) {
        guard.told.push('synced')
        guard.heads.push(head)
      },
      outOfSync(reason) {
        guard.told.push(`out of sync: ${reason}`)
        guard.reasons.push(reason)
      },
    },
    ...options,
  })
  return guard
}

/** A snapshot as a new stream is given it. */
export async function snapshotOf({ transmitter }: Pick<Loop, 'transmitter'>): Promise<string> {
  const { body } = await transmitter.create(callerOf(), { caegis: { subjects: 'complex', alg: 'ES256', guard: true } })
  const id = (body as { stream_id: string }).stream_id
  let text = ''
  for await (const line of (await transmitter.snapshot(callerOf(), id)).body as AsyncIterable<string>) text += line
  await transmitter.remove(callerOf(), id)
  return text
}

/** Waits for a condition, without saying how long it may take. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 2000; i++) {
    if (await condition()) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error(`never came true: ${condition}`)
}
