import { createHash, timingSafeEqual } from 'node:crypto'
import { CaegisError, type SecurityEvent } from '@caegis/protocol'
import { NO_KEY_YET, type SetError, setErrorOf } from './set-errors.ts'
import { MAX_JWS } from './verify-jws.ts'

/** A request of any framework: node's and fetch's headers both do. */
export interface PushRequest {
  /** When given, anything but POST is refused. */
  method?: string | undefined
  headers: { get(name: string): string | null } | Record<string, string | string[] | undefined>
  /** As it came, not parsed. */
  body: string | Uint8Array
}

export interface PushAnswer {
  status: number
  headers: Record<string, string>
  body?: string
}

/** Takes a pushed SET (RFC 8935). Never rejects. */
export type PushHandler = (request: PushRequest) => Promise<PushAnswer>

/** Bytes of a push; one SET is no longer. */
export const MAX_PUSH = MAX_JWS

export type Accepted = 'accepted' | 'busy' | SetError

export interface PushOptions {
  /** The value of the `Authorization` header that the transmitter was told to send. */
  authorizationHeader: string | undefined
  /** Undefined until the receiver has its stream. */
  verify: () => ((jwt: string) => Promise<SecurityEvent>) | undefined
  /** Judges a verified event and puts it where it is safe. */
  accept(event: SecurityEvent): Promise<Accepted>
  refused(detail: unknown): void
}

/** Requests that are verified at once; more only wait for the same processor. */
const MAX_AT_ONCE = 256

/** 202 only after the event is in the queue; 503 says "send it again", 400 that this would be of no use. */
export function createPushHandler({ authorizationHeader, verify, accept, refused }: PushOptions): PushHandler {
  const expected = authorizationHeader === undefined ? undefined : digest(authorizationHeader)
  const scheme = authorizationHeader?.split(' ', 1)[0] ?? 'Bearer'
  let underway = 0

  const take = async ({ method = 'POST', headers, body }: PushRequest): Promise<PushAnswer> => {
    if (method !== 'POST') return plain(405, { allow: 'POST' })
    // Digests have one length, so the comparison says nothing about the header's, nor about how much of it was right.
    if (expected && !timingSafeEqual(digest(headerOf(headers, 'authorization') ?? ''), expected)) {
      refused('authorization')
      return plain(401, { 'www-authenticate': /^[\w-]+$/.test(scheme) ? scheme : 'Bearer' })
    }
    const type = headerOf(headers, 'content-type')?.split(';', 1)[0]?.trim().toLowerCase()
    if (type !== 'application/secevent+jwt') return plain(415, { accept: 'application/secevent+jwt' })
    if (body.length > MAX_PUSH) return plain(413)
    const known = verify()
    if (!known || underway >= MAX_AT_ONCE) return later()
    underway++
    try {
      const jwt = typeof body === 'string' ? body : Buffer.from(body).toString('latin1')
      const result = await accept(await known(jwt.trim()))
      return result === 'accepted' ? plain(202) : result === 'busy' ? later() : problem(result)
    } catch (error) {
      // The keys cannot be had, the store failed: nothing is known about the SET.
      if (!(error instanceof CaegisError) || error.code !== 'set_refused' || error.detail === NO_KEY_YET) return later()
      refused(error.detail)
      return problem(setErrorOf(error.detail))
    } finally {
      underway--
    }
  }
  return take
}

function plain(status: number, headers: Record<string, string> = {}): PushAnswer {
  return { status, headers: { 'cache-control': 'no-store', ...headers } }
}

function later(): PushAnswer {
  return plain(503, { 'retry-after': '1' })
}

/** RFC 8935 section 2.3: JSON, and the language of its text. */
function problem(error: SetError): PushAnswer {
  return { ...plain(400, { 'content-type': 'application/json', 'content-language': 'en' }), body: JSON.stringify(error) }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** Undefined for a header that came more than once, too. */
function headerOf(headers: PushRequest['headers'], name: string): string | undefined {
  if (typeof headers.get === 'function') return (headers as Headers).get(name) ?? undefined
  let found: string | undefined
  for (const [key, value] of Object.entries(headers as Record<string, unknown>)) {
    if (key.toLowerCase() !== name || value === undefined) continue
    if (found !== undefined || typeof value !== 'string') return undefined
    found = value
  }
  return found
}
