/** Where a request goes, as `fetch` reads it. */
export function urlOf(input: RequestInfo | URL): URL {
  return input instanceof Request ? new URL(input.url) : new URL(String(input), globalThis.document?.baseURI)
}

/** A request that can be sent with one token and, if need be, once more with another. */
export interface Replay {
  method: string
  signal: AbortSignal | undefined
  send(fetch: typeof globalThis.fetch, token: string): Promise<Response>
  /** The second sending. */
  sendAgain(fetch: typeof globalThis.fetch, token: string): Promise<Response>
  /** There will be no second sending: what was kept for it is let go. */
  release(): void
}

/**
 * @param url what {@link urlOf} read, once: an object that names another URL when asked again must not get a token there
 *
 * Takes a request apart as `fetch` would. Text, forms, blobs and buffers can be sent twice as they are; only what flows (a stream, or the body of a
 * `Request`) is split in two, and then the runtime keeps what has flowed until {@link Replay.release}.
 */
export function createReplay(input: RequestInfo | URL, url: URL, init: RequestInit = {}): Replay {
  const request = input instanceof Request ? input : undefined
  const headers = new Headers(init.headers ?? request?.headers)
  const withToken = (token: string) => {
    const all = new Headers(headers)
    all.set('Authorization', `Bearer ${token}`)
    return all
  }
  const common = { method: (init.method ?? request?.method ?? 'GET').toUpperCase(), signal: init.signal ?? request?.signal ?? undefined }

  if (request && (init.body ?? undefined) === undefined && request.body !== null) {
    // The clone goes first: a body that was read already throws here, as fetch itself would.
    const first = request.clone()
    return {
      ...common,
      send: (fetch, token) => fetch(first, { ...init, headers: withToken(token) }),
      sendAgain: (fetch, token) => fetch(request, { ...init, headers: withToken(token) }),
      release: () => void request.body?.cancel().catch(() => {}),
    }
  }
  const target = request ?? url.href
  const flowing = streamOf(init.body)
  if (!flowing) {
    const send: Replay['send'] = (fetch, token) => fetch(target, { ...init, headers: withToken(token) })
    return { ...common, send, sendAgain: send, release: () => {} }
  }
  const [first, second] = flowing.tee()
  return {
    ...common,
    send: (fetch, token) => fetch(target, { ...init, body: first, headers: withToken(token) }),
    sendAgain: (fetch, token) => fetch(target, { ...init, body: second, headers: withToken(token) }),
    release: () => void second.cancel().catch(() => {}),
  }
}

function streamOf(body: RequestInit['body']): ReadableStream | undefined {
  if (typeof body !== 'object' || body === null) return undefined
  if ('getReader' in body) return body as ReadableStream
  // Node's fetch also takes async iterables.
  if (Symbol.asyncIterator in body) return (ReadableStream as unknown as { from(source: unknown): ReadableStream }).from(body)
  return undefined
}
