import { CaegisError } from '@caegis/protocol'
import { CLI_ERRORS } from './errors.ts'
import { sayNotFound } from './not-found.ts'

/** What the server refused with: the `detail` of `refused` and `not_found`. */
export interface Refusal {
  status: number
  /** Graph's code. */
  code: string
  /** Mistakes, by JSON pointer. */
  details: readonly { target: string; message: string }[]
}

/** A call of the admin API under its `/v1.0`. @throws CaegisError `refused` with the server's words; `not_found` with the name that the path holds */
export type AdminCall = (method: string, path: string, options?: { body?: object; headers?: Record<string, string> }) => Promise<Response>

export function createAdminCall(): AdminCall {
  let opened: { origin: string; send: typeof fetch } | undefined
  return async (method, path, { body, headers = {} } = {}) => {
    opened ??= await open()
    const { origin, send } = opened
    const response = await send(`${origin}/v1.0${path}`, {
      method,
      headers: { ...headers, ...(body ? { 'content-type': 'application/json' } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    if (response.ok) return response
    const answer = (await response.json().catch(() => ({}))) as { error?: { code?: string; message?: string; details?: Refusal['details'] } }
    const { code = '', message = CLI_ERRORS.refused, details = [] } = answer.error ?? {}
    const detail: Refusal = { status: response.status, code, details }
    const absent = response.status === 404 ? sayNotFound(path, body) : undefined
    if (absent !== undefined) throw new CaegisError('not_found', absent, { detail })
    throw new CaegisError('refused', `${message} (${response.status} ${code})`, { detail })
  }
}

/** MSAL is loaded when it is needed: help, and a mistake in the command line, do not wait for it. */
async function open(): Promise<{ origin: string; send: typeof fetch }> {
  const { adminFetch, readProfile } = await import('./session.ts')
  const profile = readProfile()
  return { origin: profile.origin, send: adminFetch(profile) }
}

/** Every entry of a list, page after page. */
export async function listAll<T>(call: AdminCall, path: string): Promise<T[]> {
  const all: T[] = []
  for (let next: string | undefined = path; next !== undefined; ) {
    const page = (await (await call('GET', next)).json()) as { value: T[]; '@odata.nextLink'?: string }
    all.push(...page.value)
    const link: string | undefined = page['@odata.nextLink']
    next = link === undefined ? undefined : link.slice(link.indexOf('/v1.0') + '/v1.0'.length)
  }
  return all
}
