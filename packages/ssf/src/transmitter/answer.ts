/** What the host sends: a value, so that any framework can carry it. */
export interface Answer {
  status: number
  headers: Record<string, string>
  /** An object goes out as JSON, bytes as they are, an iterable as it is produced (when it throws, the connection must break off); none with 204 and 304. */
  body?: unknown | Uint8Array | AsyncIterable<string>
}

/** Who asks, as the host authenticated it. */
export interface Caller {
  /** Client id. */
  receiver: string
  /** From the registered application, never from the request: a receiver must not choose another's audience. */
  audience: string
  scopes: ReadonlySet<string>
}

/** Every refusal: its HTTP status and the text for the peer. */
export const PROBLEMS = {
  invalid_request: [400, 'The request is malformed.'],
  unsupported_delivery_method: [400, 'This way of delivery is not supported here.'],
  invalid_extension: [400, 'The caegis member asks for something unknown.'],
  fixed_property: [400, 'A property that the transmitter sets was given another value.'],
  not_a_poll_stream: [400, 'The stream is delivered by push.'],
  stream_not_enabled: [400, 'The stream is not enabled.'],
  insufficient_scope: [403, 'The access token lacks the scope for this.'],
  // 403 is the code of SSF 1.0 section 8.1.1.1 for "may not create a stream"; 409 there means that one stream exists and only one is allowed.
  too_many_streams: [403, 'The receiver has as many streams as it may have; delete one first.'],
  status_fixed: [403, 'The transmitter has stopped this stream; only it can start it again.'],
  not_a_guard_stream: [403, 'Only a guard stream may read the snapshot.'],
  subject_fixed: [403, 'This subject cannot be removed from this stream.'],
  unknown_segment: [404, 'There is no such segment.'],
  unknown_stream: [404, 'The receiver has no such stream.'],
  too_many_requests: [429, 'Verification is asked for too often.'],
  too_many_subjects: [429, 'The stream names as many subjects as it may.'],
  too_many_polls: [429, 'Too many polls of this stream are open.'],
} as const satisfies Record<string, readonly [number, string]>

export type Problem = keyof typeof PROBLEMS

const NO_STORE = { 'cache-control': 'no-store' }

export function json(status: number, body: unknown): Answer {
  return { status, headers: { ...NO_STORE, 'content-type': 'application/json' }, body }
}

export function noContent(): Answer {
  return { status: 204, headers: { ...NO_STORE } }
}

export function streamed(contentType: string, body: AsyncIterable<string>): Answer {
  return { status: 200, headers: { ...NO_STORE, 'content-type': contentType }, body }
}

/** What never changes under its name: whoever keeps it need not ask again, and who asks all the same is told so. */
export function immutable(name: string, body: Uint8Array, ifNoneMatch: string | undefined): Answer {
  const etag = `"${name}"`
  const headers = { 'cache-control': 'public, max-age=86400, immutable', etag }
  if (ifNoneMatch?.split(',').some((one) => one.trim().replace(/^W\//, '') === etag)) return { status: 304, headers }
  return { status: 200, headers: { ...headers, 'content-type': 'application/octet-stream', 'x-content-type-options': 'nosniff' }, body }
}

export function refuse(problem: Problem, options: { detail?: string; headers?: Record<string, string> } = {}): Answer {
  const [status, text] = PROBLEMS[problem]
  const answer = json(status, { error: problem, error_description: options.detail ? `${text} (${options.detail})` : text })
  return { ...answer, headers: { ...answer.headers, ...options.headers } }
}

/** `ssf.manage` implies `ssf.read`. Undefined when the caller may. */
export function refuseScope(caller: Caller, scope: 'ssf.read' | 'ssf.manage'): Answer | undefined {
  if (caller.scopes.has('ssf.manage') || caller.scopes.has(scope)) return undefined
  return refuse('insufficient_scope', { headers: { 'www-authenticate': `Bearer error="insufficient_scope", scope="${scope}"` } })
}
