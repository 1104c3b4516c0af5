import { unlessAborted } from './flight.ts'
import { drop } from './replay.ts'

/** What the caller has said of the request besides, or `fetch` takes for granted (`redirect: 'follow'`). Goes into a `fetch` as it is. */
export type BoundInit = Pick<Request, 'signal' | 'redirect' | 'credentials' | 'cache'>

/** Sends a request with an access token and a proof of the key that it is bound to, as openid-client's `fetchProtectedResource` does with a DPoP handle. */
export type ShowBound = (
  token: string,
  url: URL,
  method: string,
  body: ArrayBuffer | undefined,
  headers: Headers,
  init: BoundInit,
) => Promise<Response>

const SCHEME = 'Bearer '

/**
 * The `fetch` of {@link withClaimsChallenge} where tokens are bound to a key (DPoP, RFC 9449): what is sent with a token goes through `show`, which makes a new proof for
 * each request, and everything else through `fetch`. Bodies are read into memory, as a server that wants a nonce is asked twice. An answer that `show` throws
 * because of its challenge is an answer all the same. Who aborts leaves at once, and the answer that comes then is not read; the sending itself ends if `show` listens to `init.signal`.
 * Not handed on: `mode`, `keepalive`, `integrity`, `referrer`, `referrerPolicy`, `priority`, and what a runtime adds.
 */
export function boundFetch(fetch: typeof globalThis.fetch, show: ShowBound): typeof globalThis.fetch {
  return async function fetchBound(input, init) {
    const request = new Request(input, init)
    const { headers, method, redirect, credentials, cache } = request
    const authorization = headers.get('Authorization')
    if (!authorization?.startsWith(SCHEME)) return fetch(request)
    headers.delete('Authorization')
    const body = method === 'GET' || method === 'HEAD' ? undefined : await unlessAborted(request.arrayBuffer(), request.signal)
    request.signal.throwIfAborted()
    // The caller's own signal, where there is one: a request's follows it only as long as somebody holds the request.
    const said = { signal: init?.signal ?? request.signal, redirect, credentials, cache }
    const shown = show(authorization.slice(SCHEME.length), new URL(request.url), method, body?.byteLength ? body : undefined, headers, said)
    const sent = shown.catch((error: unknown) => {
      const { response } = error as { response?: unknown }
      if (response instanceof Response && !response.bodyUsed) return response
      throw error
    })
    try {
      return await unlessAborted(sent, request.signal)
    } catch (error) {
      if (request.signal.aborted) sent.then(drop, () => {})
      throw error
    }
  }
}
