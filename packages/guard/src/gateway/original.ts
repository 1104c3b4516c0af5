import type { IncomingMessage } from 'node:http'

/** The request that a proxy asks about. */
export interface Original {
  proxy: Proxy
  method: string
  /** Path and query as the client sent them. */
  target: string
  /** As an absolute URL, which is what a proof of possession names. */
  url: string
}

/** Where each proxy says what it was asked. A proxy asks under its own path, so that what its client wrote into the headers of another family is never looked at. */
const FAMILIES = {
  /** `auth_request`: whatever its `proxy_set_header` says. Knows 2xx, 401 and 403; everything else becomes a 500. */
  nginx: { method: 'x-original-method', target: 'x-original-uri', host: 'x-original-host', few: true },
  /** A hook of mod_lua that asks in the same way. */
  apache: { method: 'x-original-method', target: 'x-original-uri', host: 'x-original-host', few: true },
  caddy: { method: 'x-forwarded-method', target: 'x-forwarded-uri', host: 'x-forwarded-host', few: false },
  traefik: { method: 'x-forwarded-method', target: 'x-forwarded-uri', host: 'x-forwarded-host', few: false },
  /** ext_authz over HTTP: the request's own method and host, its path behind `path_prefix`. */
  envoy: undefined,
} as const

export type Proxy = keyof typeof FAMILIES

const PREFIX = '/auth/'
/** RFC 9110 section 9.1: a token; longer ones than any that is registered are nobody's. */
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}$/
const HOST = /^(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/

/** Which proxy asks, by the path that it was given; `undefined` for any other path. */
export function proxyOf(url: string): Proxy | undefined {
  if (!url.startsWith(PREFIX)) return undefined
  const rest = url.slice(PREFIX.length)
  if (rest.startsWith('envoy/')) return 'envoy'
  // Caddy leaves the query of the client's request where it is.
  const [name = ''] = rest.split('?', 1)
  return Object.hasOwn(FAMILIES, name) && name !== 'envoy' ? (name as Proxy) : undefined
}

/** Whether the proxy takes any answer but 2xx, 401 and 403 for a fault of its own. */
export function knowsFew(proxy: Proxy): boolean {
  return FAMILIES[proxy]?.few === true
}

/** Reads what the proxy was asked; `undefined` where it does not say, or says it twice. */
export function readOriginal(request: IncomingMessage, proxy: Proxy): Original | undefined {
  const family = FAMILIES[proxy]
  const { headers, url = '' } = request
  // Lines of the same name are joined by a comma and a blank, which none of these can hold.
  const method = family ? headers[family.method] : request.method
  const target = family ? headers[family.target] : url.slice(PREFIX.length + 'envoy'.length)
  const host = family ? headers[family.host] : headers.host
  if (typeof method !== 'string' || typeof target !== 'string' || typeof host !== 'string') return undefined
  if (!METHOD.test(method) || !HOST.test(host) || target[0] !== '/' || target.includes(' ')) return undefined
  const scheme = headers['x-forwarded-proto'] === 'http' ? 'http' : 'https'
  const absolute = `${scheme}://${host}${target}`
  // A port may be too high.
  return URL.canParse(absolute) ? { proxy, method, target, url: absolute } : undefined
}
