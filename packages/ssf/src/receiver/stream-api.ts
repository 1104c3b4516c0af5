import { isIdentifier, isObject } from '@caegis/protocol'
import { isEndpoint, type TransmitterMetadata } from './discover.ts'
import { failure } from './errors.ts'
import { chunksOf, type Deadline, discard, type ExchangeOptions, exchange, open, startDeadline, within } from './exchange.ts'

/** A bearer token with `ssf.read` and `ssf.manage`; `fresh` asks past the cache, after the transmitter refused the cached one. */
export type TokenSource = (options: { fresh: boolean }) => Promise<string>

/** The stream as the transmitter made it (SSF 1.0 section 8.1.1). */
export interface StreamConfiguration {
  id: string
  iss: unknown
  audience: string[]
  pollUrl: string
  /** The `caegis` member; of a CAEgis transmitter only. */
  extension: unknown
}

export interface StreamApi {
  create(body: Record<string, unknown>): Promise<StreamConfiguration>
  /** Milliseconds for everything, the token included; failures are the caller's to ignore. */
  remove(streamId: string, timeout: number): Promise<void>
  poll(url: string, body: Record<string, unknown>, timeout: number): Promise<Record<string, unknown>>
  /** Streams the answer; the timeout is for each pause in it. */
  snapshot<T>(url: string, streamId: string, read: (body: AsyncIterable<Uint8Array>) => Promise<T>): Promise<T>
}

export interface StreamApiOptions {
  fetch: typeof globalThis.fetch
  token: TokenSource
  insecure: boolean
  /** Milliseconds for an exchange that is not held. */
  timeout: number
  /** Bytes of a poll's answer. */
  maxAnswer: number
  signal: AbortSignal
}

const MAX_CONFIGURATION = 65_536

/** The calls that a receiver makes, each with its token; a 401 is tried once more with a fresh one. */
export function createStreamApi(metadata: Pick<TransmitterMetadata, 'configurationEndpoint'>, options: StreamApiOptions): StreamApi {
  const { fetch, token, insecure, timeout, maxAnswer, signal } = options

  /** Within one deadline, the token included. */
  const authorized = async <T extends { status: number }>(deadline: Deadline, send: (headers: Record<string, string>) => Promise<T>): Promise<T> => {
    for (const fresh of [false, true]) {
      let bearer: string
      try {
        bearer = await within(token({ fresh }), deadline.signal)
      } catch (cause) {
        throw failure('unavailable', 'no access token', cause)
      }
      const answer = await send({ authorization: `Bearer ${bearer}` })
      if (answer.status !== 401) return answer
    }
    throw failure('unauthorized')
  }

  const call = async (url: string, init: Omit<ExchangeOptions, 'headers'>) => {
    const deadline = startDeadline(init.timeout, init.signal)
    try {
      return await authorized(deadline, (headers) => exchange(fetch, url, { ...init, headers, signal: deadline.signal }))
    } finally {
      deadline.end()
    }
  }

  return {
    async create(body) {
      const { status, body: made } = await call(metadata.configurationEndpoint, {
        method: 'POST',
        body,
        timeout,
        signal,
        maxBytes: MAX_CONFIGURATION,
      })
      if (status !== 201 && status !== 200) throw unexpected(status)
      if (!isObject(made) || !isIdentifier(made.stream_id, 256)) throw failure('stream_refused', 'stream_id')
      const audience = typeof made.aud === 'string' ? [made.aud] : made.aud
      if (!Array.isArray(audience) || audience.length === 0 || !audience.every((one) => isIdentifier(one))) throw failure('stream_refused', 'aud')
      const pollUrl = isObject(made.delivery) ? made.delivery.endpoint_url : undefined
      if (!isEndpoint(pollUrl, insecure)) throw failure('stream_refused', 'delivery')
      return { id: made.stream_id, iss: made.iss, audience, pollUrl, extension: made.caegis }
    },

    async remove(streamId, timeout) {
      // Not under the follower's own signal: this is said while it closes.
      await call(withStream(metadata.configurationEndpoint, streamId), { method: 'DELETE', timeout, maxBytes: 0 })
    },

    async poll(url, body, within) {
      const { status, body: answer } = await call(url, { method: 'POST', body, timeout: within, signal, maxBytes: maxAnswer })
      if (status === 404 || status === 410) throw failure('stream_gone')
      if (status !== 200) throw unexpected(status)
      if (!isObject(answer)) throw failure('answer_malformed', 'not an object')
      return answer
    },

    async snapshot(url, streamId, read) {
      const deadline = startDeadline(timeout, signal)
      try {
        const response = await authorized(deadline, async (headers) => {
          const answer = await open(fetch, withStream(url, streamId), { headers: { ...headers, accept: 'application/x-ndjson' } }, deadline.signal)
          if (answer.status !== 200) discard(answer)
          return answer
        })
        if (response.status === 404 || response.status === 410) throw failure('stream_gone')
        if (response.status !== 200) throw unexpected(response.status)
        return await read(extending(chunksOf(response, deadline.signal), deadline.extend))
      } finally {
        deadline.end()
      }
    },
  }
}

async function* extending(chunks: AsyncIterable<Uint8Array>, extend: () => void): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of chunks) {
    extend()
    yield chunk
  }
}

function withStream(endpoint: string, streamId: string): string {
  const url = new URL(endpoint)
  url.searchParams.set('stream_id', streamId)
  return url.href
}

function unexpected(status: number) {
  return failure(status >= 500 || status === 429 || status === 408 ? 'unavailable' : 'request_refused', `status ${status}`)
}
