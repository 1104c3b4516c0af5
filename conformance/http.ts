import { Unreachable } from './notes.ts'

export interface Answer {
  status: number
  headers: Headers
  text: string
  /** The body as JSON; undefined when it is none. */
  json: unknown
}

export interface Sending {
  method?: string
  headers?: Record<string, string>
  /** As it goes out. */
  body?: string
  /** Milliseconds for everything. */
  timeout: number
}

const MAX_BYTES = 4 * 1024 * 1024

/**
 * One request, bounded in time and size, without following redirects.
 * @throws Unreachable
 */
export async function send(url: string, { method = 'GET', headers = {}, body, timeout }: Sending): Promise<Answer> {
  const what = `${method} ${shortened(url)}`
  try {
    const response = await fetch(url, {
      ...{ method, headers, redirect: 'manual', signal: AbortSignal.timeout(timeout) },
      ...(body === undefined ? {} : { body }),
    })
    const parts: Uint8Array[] = []
    let size = 0
    for await (const part of response.body ?? []) {
      size += part.length
      if (size > MAX_BYTES) throw new Unreachable(`${what}: the answer is longer than ${MAX_BYTES} bytes`)
      parts.push(part)
    }
    const text = Buffer.concat(parts).toString('utf8')
    return { status: response.status, headers: response.headers, text, json: parse(text) }
  } catch (error) {
    if (error instanceof Unreachable) throw error
    const timedOut = error instanceof Error && error.name === 'TimeoutError'
    const { cause } = error as { cause?: { code?: string; message?: string } }
    throw new Unreachable(`${what}: ${timedOut ? `no answer within ${timeout} ms` : (cause?.code ?? cause?.message ?? 'no answer')}`)
  }
}

export function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export type Json = Record<string, unknown>

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isHttps(value: unknown): value is string {
  return typeof value === 'string' && URL.parse(value)?.protocol === 'https:'
}

export function isJson({ headers }: Pick<Answer, 'headers'>): boolean {
  return /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(headers.get('content-type') ?? '')
}

/** A URL without its query: that may hold what nobody should read. */
function shortened(url: string): string {
  return url.split('?', 1)[0] as string
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}

/** What the promise brings, or the other answer when that takes too long. */
export async function within<T>(milliseconds: number, promise: Promise<T>, late: T): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<T>((resolve) => {
    timer = setTimeout(resolve, milliseconds, late)
  })
  return Promise.race([promise, over]).finally(() => clearTimeout(timer))
}

/** Asks until the answer is there or the time is over. */
export async function until<T>(milliseconds: number, every: number, ask: () => T | undefined | Promise<T | undefined>): Promise<T | undefined> {
  const end = performance.now() + milliseconds
  for (;;) {
    const found = await ask()
    if (found !== undefined || performance.now() >= end) return found
    await pause(every)
  }
}
