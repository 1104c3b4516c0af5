import type { Guard } from '../guard.ts'
import { metadataUrlOf } from '../metadata.ts'

/** What an API says of itself (RFC 9728), ready to be served. */
export interface Description {
  readonly headers: Readonly<Record<string, string>>
  /** The body of the answer to this request (empty for HEAD), or `undefined` where something else is asked. @param url whole, or a path with its query */
  bodyFor(method: string | undefined, url: string | undefined): string | undefined
}

/** @throws TypeError for a guard that was made without `resource` */
export function createDescription(guard: Pick<Guard, 'metadata'>): Description {
  const about = guard.metadata()
  const { pathname } = new URL(metadataUrlOf(about.resource))
  const body = JSON.stringify(about)
  // Nothing in it is about anybody, so every page may read it.
  const headers = { 'Content-Type': 'application/json', 'Cache-Control': 'public, max-age=3600', 'Access-Control-Allow-Origin': '*' }
  return {
    headers,
    bodyFor(method, url = '') {
      if (method !== 'GET' && method !== 'HEAD') return undefined
      const path = (url.startsWith('/') ? url : url.replace(/^[a-z]+:\/\/[^/]*/, '')).split('?', 1)[0]
      if (path !== pathname) return undefined
      return method === 'HEAD' ? '' : body
    },
  }
}
