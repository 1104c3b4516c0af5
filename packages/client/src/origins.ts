/** Names of this machine, on which plain http does not leave it (RFC 6761 section 6.3, RFC 8252 section 7.3). */
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/

/** `undefined` for what is no absolute URL. */
export function parseUrl(text: unknown): URL | undefined {
  return typeof text === 'string' && URL.canParse(text) ? new URL(text) : undefined
}

/**
 * Reads one configured origin. Anything beyond scheme, host and port is refused: whoever writes a path means a narrower limit than an origin is.
 * @throws TypeError
 */
export function parseOrigin(text: string): string {
  const url = parseUrl(text)
  if (!url || url.href !== `${url.origin}/`) throw new TypeError('An origin is scheme, host and port, such as https://api.example')
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && LOOPBACK.test(url.hostname))) {
    throw new TypeError(`${url.origin}: tokens travel over https, or http to this machine only`)
  }
  return url.origin
}

/** The origin that a request to this URL goes to; `undefined` where no network origin is meant (`blob:` and `data:` borrow or have none). */
export function originOf(url: URL): string | undefined {
  return /^https?:$/.test(url.protocol) ? url.origin : undefined
}
