import { unlessAborted } from './flight.ts'

/** Sends a request with an access token and a proof of the key that it is bound to, as openid-client's `fetchProtectedResource` does with a DPoP handle. */
export type ShowBound = (token: string, url: URL, method: string, body: ArrayBuffer | undefined, headers: Headers) => Promise<Response>

const SCHEME = 'Bearer '

/**
 * The `fetch` of {@link withClaimsChallenge} where tokens are bound to a key (DPoP, RFC 9449): what is sent with a token goes through `show`, which makes a new proof for
 * each request, and everything else through `fetch`. Bodies are read into memory, as a server that wants a nonce is asked twice. An answer that `show` throws
 * because of its challenge is an answer all the same.
 */
export function boundFetch(fetch: typeof globalThis.fetch, show: ShowBound): typeof globalThis.fetch {
  return async function fetchBound(input, init) {
    const request = new Request(input, init)
    const { headers, method, signal } = request
    const authorization = headers.get('Authorization')
    if (!authorization?.startsWith(SCHEME)) return fetch(request)
    signal.throwIfAborted()
    headers.delete('Authorization')
    const body = method === 'GET' || method === 'HEAD' ? undefined : await request.arrayBuffer()
    const sent = show(authorization.slice(SCHEME.length), new URL(request.url), method, body?.byteLength ? body : undefined, headers)
    return unlessAborted(
      sent.catch((error: unknown) => {
        const { response } = error as { response?: unknown }
        if (response instanceof Response && !response.bodyUsed) return response
        throw error
      }),
      signal,
    )
  }
}
