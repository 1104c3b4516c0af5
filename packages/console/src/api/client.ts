/** What the admin API refuses, in its own words. */
export class ApiError extends Error {
  readonly status: number
  readonly code: string
  /** Each mistake by its JSON pointer. */
  readonly details: { target: string; message: string }[]

  constructor(status: number, code: string, message: string, details: { target: string; message: string }[] = []) {
    super(message)
    this.name = 'ApiError'
    this.status = status
    this.code = code
    this.details = details
  }
}

export interface Page<T> {
  value: T[]
  '@odata.nextLink'?: string
  '@odata.count'?: number
}

/** What came of a write, and by which txn its way can be followed; `null` where it needed no change. */
export interface Written<T> {
  body: T
  txn: string | undefined
}

export interface Api {
  /** Paths begin behind `/v1.0`; a whole `@odata.nextLink` is taken too. */
  get<T>(path: string, options?: { signal?: AbortSignal; eventual?: boolean }): Promise<T>
  send<T = unknown>(method: 'POST' | 'PATCH' | 'DELETE', path: string, body?: object, headers?: Record<string, string>): Promise<Written<T>>
  /** Opens an event stream. @throws ApiError */
  stream(path: string, options: { signal: AbortSignal; lastEventId?: string }): Promise<ReadableStream<Uint8Array>>
}

const BASE = '/v1.0'

/** Calls the admin API, and nothing else. @throws ApiError; TypeError where the server cannot be reached */
export function createApi(origin: string, send: typeof fetch): Api {
  async function call(method: string, path: string, init: RequestInit = {}): Promise<Response> {
    const url = path.startsWith(`${origin}${BASE}/`) ? path : `${origin}${BASE}${path}`
    const response = await send(url, { ...init, method, cache: 'no-store' })
    if (response.ok) return response
    throw await refusalOf(response)
  }
  return {
    async get(path, { signal, eventual } = {}) {
      const headers = { accept: 'application/json', ...(eventual ? { consistencylevel: 'eventual' } : {}) }
      return (await call('GET', path, { headers, ...(signal ? { signal } : {}) })).json()
    },
    async send(method, path, body, headers = {}) {
      const content = body === undefined ? {} : { body: JSON.stringify(body) }
      const response = await call(method, path, {
        headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
        ...content,
      })
      const text = await response.text()
      return { body: text === '' ? undefined : JSON.parse(text), txn: response.headers.get('caegis-txn') ?? undefined } as Written<never>
    },
    async stream(path, { signal, lastEventId }) {
      const headers = { accept: 'text/event-stream', ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }) }
      const response = await call('GET', path, { headers, signal })
      return response.body as ReadableStream<Uint8Array>
    },
  }
}

async function refusalOf(response: Response): Promise<ApiError> {
  const answer = (await response.json().catch(() => ({}))) as {
    error?: { code?: string; message?: string; details?: { target?: string; message?: string }[] } | string
    message?: string
  }
  // The guard in front of the API has a shorter form.
  if (typeof answer.error !== 'object') return new ApiError(response.status, String(answer.error ?? 'unknown'), answer.message ?? response.statusText)
  const { code = 'unknown', message = response.statusText, details = [] } = answer.error
  return new ApiError(
    response.status,
    code,
    message,
    details.map((one) => ({ target: one.target ?? '', message: one.message ?? '' })),
  )
}
