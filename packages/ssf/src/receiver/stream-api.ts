import { CaegisError, isObject } from '@caegis/protocol'
import type { TransmitterMetadata } from './discover.ts'
import { failure, reasonOf } from './errors.ts'
import { chunksOf, type Deadline, discard, type ExchangeOptions, exchange, open, startDeadline, within } from './exchange.ts'
import { readConfiguration, type StreamConfiguration } from './stream-configuration.ts'

/** A bearer token with `ssf.read` and `ssf.manage`; `fresh` asks past the cache, after the transmitter refused the cached one. */
export type TokenSource = (options: { fresh: boolean }) => Promise<string>

export type StreamStatusValue = 'enabled' | 'paused' | 'disabled'

export interface StreamApi {
  /** @param key asked again with the same one, it is the same stream, at a transmitter that knows `Idempotency-Key` */
  create(body: Record<string, unknown>, key?: string): Promise<StreamConfiguration>
  /** Every stream of ours; those that cannot be read are left out. */
  list(): Promise<StreamConfiguration[]>
  /** One stream of ours. */
  read(streamId: string): Promise<StreamConfiguration>
  /** Replaces the members given; undefined when the transmitter has accepted it but not done it yet. */
  update(body: Record<string, unknown>): Promise<StreamConfiguration | undefined>
  /** Replaces everything that a receiver may say; what is not given goes (SSF 1.0 section 8.1.1.4). */
  replace(body: Record<string, unknown>): Promise<StreamConfiguration | undefined>
  /** Undefined when the transmitter has no status endpoint; then it is only made sure that the stream exists. */
  status(streamId: string): Promise<StreamStatusValue | undefined>
  enable(streamId: string): Promise<StreamStatusValue | undefined>
  requestVerification(streamId: string, state: string): Promise<void>
  /** Milliseconds for everything, the token included; failures are the caller's to ignore. */
  remove(streamId: string, timeout: number): Promise<void>
  /** The last one is said while the receiver closes. */
  poll(url: string, body: Record<string, unknown>, timeout: number, last?: boolean): Promise<Record<string, unknown>>
  /** Streams the answer; the timeout is for each pause in it. */
  snapshot<T>(url: string, streamId: string, read: (body: AsyncIterable<Uint8Array>) => Promise<T>, query?: Record<string, string>): Promise<T>
}

export interface StreamApiOptions {
  fetch: typeof globalThis.fetch
  token: TokenSource
  /** Milliseconds for an exchange that is not held. */
  timeout: number
  /** Bytes of a poll's answer. */
  maxAnswer: number
  signal: AbortSignal
}

const MAX_CONFIGURATION = 65_536
const MAX_LIST = 1_048_576
const MAX_STREAMS = 256

/** The calls that a receiver makes, each with its token; a 401 is tried once more with a fresh one. */
export function createStreamApi(metadata: TransmitterMetadata, options: StreamApiOptions): StreamApi {
  const { fetch, token, timeout, maxAnswer, signal } = options
  const { configurationEndpoint, statusEndpoint, verificationEndpoint } = metadata

  /** Within one deadline, the token included. */
  const authorized = async <T extends { status: number }>(deadline: Deadline, send: (headers: Record<string, string>) => Promise<T>): Promise<T> => {
    for (const fresh of [false, true]) {
      let bearer: string
      try {
        bearer = await within(token({ fresh }), deadline.signal)
      } catch (cause) {
        // Our own token source knows what cannot get better by waiting.
        if (cause instanceof CaegisError && ['token_refused', 'unauthorized', 'metadata_refused'].includes(cause.code)) throw cause
        throw failure('unavailable', `no access token (${reasonOf(cause)})`, cause)
      }
      const answer = await send({ authorization: `Bearer ${bearer}` })
      if (answer.status !== 401) return answer
    }
    throw failure('unauthorized')
  }

  const call = async (url: string, init: ExchangeOptions) => {
    const deadline = startDeadline(init.timeout, init.signal)
    try {
      return await authorized(deadline, (headers) =>
        exchange(fetch, url, { ...init, headers: { ...init.headers, ...headers }, signal: deadline.signal }),
      )
    } finally {
      deadline.end()
    }
  }

  const manage = (url: string, init: Partial<ExchangeOptions>) => call(url, { timeout, signal, maxBytes: MAX_CONFIGURATION, ...init })

  const write = async (method: 'PATCH' | 'PUT', body: Record<string, unknown>) => {
    const { status, body: made } = await manage(configurationEndpoint, { method, body })
    if (status === 202) return undefined
    if (status !== 200) throw unexpected(status)
    return readConfiguration(made)
  }

  return {
    async create(body, key) {
      const headers = key === undefined ? {} : { 'idempotency-key': `"${key}"` }
      const { status, body: made } = await manage(configurationEndpoint, { method: 'POST', headers, body })
      if (status !== 201 && status !== 200) throw unexpected(status)
      return readConfiguration(made)
    },

    async list() {
      const { status, body: all } = await manage(configurationEndpoint, { maxBytes: MAX_LIST })
      if (status !== 200) throw unexpected(status)
      // A transmitter that allows one stream only may forget that the answer is a list.
      return (Array.isArray(all) ? all.slice(0, MAX_STREAMS) : [all]).flatMap((one) => {
        try {
          return [readConfiguration(one)]
        } catch {
          return []
        }
      })
    },

    async read(streamId) {
      const { status, body } = await manage(withStream(configurationEndpoint, streamId), {})
      if (status === 404 || status === 410) throw failure('stream_gone')
      if (status !== 200) throw unexpected(status)
      return readConfiguration(body)
    },

    update: (body) => write('PATCH', body),
    replace: (body) => write('PUT', body),

    async status(streamId) {
      const { status, body } = await manage(withStream(statusEndpoint ?? configurationEndpoint, streamId), {})
      if (status === 404 || status === 410) throw failure('stream_gone')
      if (status !== 200) throw unexpected(status)
      return statusEndpoint === undefined ? undefined : statusOf(body)
    },

    async enable(streamId) {
      if (statusEndpoint === undefined) return undefined
      const { status, body } = await manage(statusEndpoint, { method: 'POST', body: { stream_id: streamId, status: 'enabled' } })
      if (status === 404 || status === 410) throw failure('stream_gone')
      if (status === 202) return undefined
      if (status !== 200) throw unexpected(status)
      return statusOf(body)
    },

    async requestVerification(streamId, state) {
      if (verificationEndpoint === undefined) throw failure('verification_failed', 'the transmitter has no verification endpoint')
      const { status } = await manage(verificationEndpoint, { method: 'POST', body: { stream_id: streamId, state } })
      if (status === 404 || status === 410) throw failure('stream_gone')
      // 204 is the code of section 8.1.4.2; the others that say "done" are no reason to fail.
      if (status !== 204 && status !== 200 && status !== 202) throw unexpected(status)
    },

    async remove(streamId, timeout) {
      // Not under the follower's own signal: this is said while it closes.
      await call(withStream(configurationEndpoint, streamId), { method: 'DELETE', timeout, maxBytes: 0 })
    },

    async poll(url, body, within, last = false) {
      const { status, body: answer } = await call(url, {
        method: 'POST',
        body,
        // RFC 8936 section 2.2: whoever reports errors says in which language.
        ...('setErrs' in body && { headers: { 'content-language': 'en' } }),
        timeout: within,
        ...(!last && { signal }),
        maxBytes: maxAnswer,
      })
      if (status === 404 || status === 410) throw failure('stream_gone')
      if (status !== 200) throw unexpected(status)
      if (!isObject(answer)) throw failure('answer_malformed', 'not an object')
      return answer
    },

    async snapshot(url, streamId, read, query = {}) {
      const deadline = startDeadline(timeout, signal)
      try {
        const response = await authorized(deadline, async (headers) => {
          const answer = await open(
            fetch,
            withStream(url, streamId, query),
            { headers: { ...headers, accept: 'application/x-ndjson' } },
            deadline.signal,
          )
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

function withStream(endpoint: string, streamId: string, more: Record<string, string> = {}): string {
  const url = new URL(endpoint)
  for (const [name, value] of Object.entries({ stream_id: streamId, ...more })) url.searchParams.set(name, value)
  return url.href
}

function unexpected(status: number) {
  return failure(status >= 500 || status === 429 || status === 408 ? 'unavailable' : 'request_refused', `status ${status}`)
}

/** Whether an error is the transmitter's answer with one of these HTTP codes. */
export function hasStatus(error: unknown, ...codes: number[]): boolean {
  return error instanceof CaegisError && codes.some((code) => error.detail === `status ${code}`)
}

function statusOf(body: unknown): StreamStatusValue | undefined {
  const status = isObject(body) ? body.status : undefined
  return status === 'enabled' || status === 'paused' || status === 'disabled' ? status : undefined
}
