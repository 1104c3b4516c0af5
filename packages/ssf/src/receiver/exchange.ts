import { networkReason } from '@caegis/protocol'
import { failure } from './errors.ts'

/** A signal that fires when the parent does or when the time is over; `end()` must be called. */
export interface Deadline {
  signal: AbortSignal
  /** Starts the time anew. */
  extend(): void
  end(): void
}

export function startDeadline(milliseconds: number, parent?: AbortSignal): Deadline {
  const controller = new AbortController()
  const abort = () => controller.abort()
  let timer = setTimeout(abort, milliseconds)
  parent?.addEventListener('abort', abort, { once: true })
  if (parent?.aborted) abort()
  return {
    signal: controller.signal,
    extend() {
      clearTimeout(timer)
      timer = setTimeout(abort, milliseconds)
    },
    end() {
      clearTimeout(timer)
      parent?.removeEventListener('abort', abort)
    },
  }
}

/** What a promise brings, or a rejection when the signal fires first: not every `fetch` that is handed in, and no token source, listens to signals. */
export function within<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = () => reject(failure('unavailable', 'no answer in time'))
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

export interface ExchangeOptions {
  method?: string
  headers?: Record<string, string>
  /** Goes out as JSON, parameters as a form. */
  body?: unknown
  /** Milliseconds for the whole exchange. */
  timeout: number
  signal?: AbortSignal | undefined
  /** Bytes of the answer. */
  maxBytes: number
}

/**
 * One request and its JSON answer, bounded in time and size. The body is read for 200 and 201 only.
 * @throws CaegisError `unavailable`, `answer_malformed`, `answer_too_large`
 */
export async function exchange(fetch: typeof globalThis.fetch, url: string, options: ExchangeOptions): Promise<{ status: number; body: unknown }> {
  const deadline = startDeadline(options.timeout, options.signal)
  try {
    const response = await open(fetch, url, options, deadline.signal)
    if (response.status !== 200 && response.status !== 201) {
      discard(response)
      return { status: response.status, body: undefined }
    }
    const decoder = new TextDecoder()
    let text = ''
    let size = 0
    for await (const chunk of chunksOf(response, deadline.signal)) {
      size += chunk.byteLength
      if (size > options.maxBytes) throw failure('answer_too_large')
      text += decoder.decode(chunk, { stream: true })
    }
    try {
      return { status: response.status, body: JSON.parse(text + decoder.decode()) }
    } catch {
      throw failure('answer_malformed', 'not JSON')
    }
  } finally {
    deadline.end()
  }
}

/**
 * Sends a request. Redirects are not followed: they would carry a bearer token to where nobody configured it.
 * @throws CaegisError `unavailable`
 */
export async function open(
  fetch: typeof globalThis.fetch,
  url: string,
  { method = 'GET', headers = {}, body }: Pick<ExchangeOptions, 'method' | 'headers' | 'body'>,
  signal: AbortSignal,
): Promise<Response> {
  // A form names its type itself.
  const type = body === undefined || body instanceof URLSearchParams ? {} : { 'content-type': 'application/json' }
  try {
    const response = fetch(url, {
      method,
      headers: { accept: 'application/json', ...type, ...headers },
      ...(body === undefined ? {} : { body: body instanceof URLSearchParams ? body : JSON.stringify(body) }),
      redirect: 'error',
      signal,
    })
    return await within(response, signal)
  } catch (cause) {
    throw failure('unavailable', signal.aborted ? 'no answer in time' : networkReason(cause), cause)
  }
}

/** The body as it arrives, also from a response that ignores its request's signal. */
export async function* chunksOf(response: Response, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = response.body?.getReader()
  if (!reader) return
  const abort = () => void reader.cancel().catch(() => {})
  signal.addEventListener('abort', abort, { once: true })
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((cause) => {
        throw failure('unavailable', 'the answer broke off', cause)
      })
      if (signal.aborted) throw failure('unavailable', 'no answer in time')
      if (done) return
      yield value
    }
  } finally {
    signal.removeEventListener('abort', abort)
    abort()
  }
}

/** Lets go of a body that nobody reads, so that its connection can be used again. */
export function discard(response: Response): void {
  response.body?.cancel().catch(() => {})
}
