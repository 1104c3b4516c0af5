import type { Dialer } from './dialer.ts'

export interface DialFetchOptions {
  /** Bytes of an answer. */
  maxBody: number
  /** Milliseconds until the head of an answer is there: a poll is held. Whoever fetches has a deadline of its own. */
  patience: number
}

const NO_BODY = [204, 205, 304]

/** The dialer as the `fetch` of a machine: the same rules, bounds and redirects that are answers like any other. */
export function dialFetch(dialer: Dialer, { maxBody, patience }: DialFetchOptions): typeof fetch {
  return async (input, init = {}) => {
    const { method = 'GET', body, headers, signal } = init
    const form = body instanceof URLSearchParams
    if (body != null && typeof body !== 'string' && !form) throw new TypeError('a body must be a text or a form')
    const answer = await dialer.send({
      url: String(input),
      method: method as 'GET',
      headers: { ...Object.fromEntries(new Headers(headers)), ...(form ? { 'content-type': 'application/x-www-form-urlencoded' } : {}) },
      ...(body == null ? {} : { body: String(body) }),
      ...{ maxBody, patience },
      signal: signal ?? AbortSignal.timeout(patience),
    })
    return new Response(NO_BODY.includes(answer.status) ? null : answer.body, { status: answer.status })
  }
}
