/** Where a request goes, as `fetch` reads it. */
export function urlOf(input: RequestInfo | URL): URL {
  return input instanceof Request ? new URL(input.url) : new URL(String(input), globalThis.document?.baseURI)
}

/** A request that can be sent with one token and, if need be, once more with another. */
export interface Replay {
  method: string
  signal: AbortSignal | undefined
  send(fetch: typeof globalThis.fetch, token: string): Promise<Response>
  /** The second sending; absent where the body flows by only once. */
  sendAgain?(fetch: typeof globalThis.fetch, token: string): Promise<Response>
  /** There will be no second sending: what was kept for it is let go. */
  release(): void
}

/**
 * Takes a request apart as `fetch` would. Text, forms, blobs and buffers are sent twice as they are, and the body of a `Request`, which its maker had whole, is kept
 * by a clone until {@link Replay.release}. A stream is not kept: whoever sends one may have more of it than there is memory.
 * @param url what {@link urlOf} read, once: an object that names another URL when asked again must not get a token there
 */
export function createReplay(input: RequestInfo | URL, url: URL, init: RequestInit = {}): Replay {
  const request = input instanceof Request ? input : undefined
  const headers = new Headers(init.headers ?? request?.headers)
  const sender =
    (target: Request | string): Replay['send'] =>
    (fetch, token) => {
      const all = new Headers(headers)
      all.set('Authorization', `Bearer ${token}`)
      return fetch(target, { ...init, headers: all })
    }
  const common = { method: (init.method ?? request?.method ?? 'GET').toUpperCase(), signal: init.signal ?? request?.signal ?? undefined }
  if (request && (init.body ?? undefined) === undefined && request.body !== null) {
    // The clone goes first: a body that was read already throws here, as fetch itself would.
    const first = request.clone()
    return { ...common, send: sender(first), sendAgain: sender(request), release: () => drop(request) }
  }
  const send = sender(request ?? url.href)
  return { ...common, send, ...(flows(init.body) ? {} : { sendAgain: send }), release: () => {} }
}

/** Whether this body is used up by one sending: a stream, or (Node's fetch takes them too) an async iterable. */
function flows(body: RequestInit['body']): boolean {
  return typeof body === 'object' && body !== null && ('getReader' in body || Symbol.asyncIterator in body)
}

/** Its body is not wanted: the connection can go on. */
export function drop({ body }: Request | Response): void {
  body?.cancel().catch(() => {})
}
