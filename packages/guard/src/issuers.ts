import { isObject } from '@caegis/protocol'
import { type GuardOptions, type GuardSettings, readOptions } from './options.ts'
import { MAX_TOKEN_LENGTH } from './token.ts'

/** What belongs to one issuer, and must not be taken for another's by mistake: above all its credentials. */
const OWN = ['issuer', 'clientId', 'clientSecret', 'authorizationUri', 'metadataUrl', 'events', 'store', 'source', 'keys'] as const
type Own = (typeof OWN)[number]

/** What belongs to the whole guard. */
const WHOLE = [
  ...(['fetch', 'now', 'monotonic', 'log', 'decisionLog', 'telemetry', 'maxTokens', 'trustedProxies', 'country'] as const),
  ...(['origin', 'nonceSecret', 'maxProofs', 'clientCertificateHeader', 'resource', 'scopes'] as const),
] as const

/** One of several issuers: what it does not say is taken from the guard's own options. */
export type IssuerOptions = Omit<GuardOptions, (typeof WHOLE)[number] | 'audience'> & Partial<Pick<GuardOptions, 'audience'>>

/** A guard for an API that takes tokens of several issuers. They share nothing: keys, cutoffs and staleness are each one's own. */
export interface SeveralIssuers extends Partial<Omit<GuardOptions, Own>> {
  issuers: readonly IssuerOptions[]
}

/** @throws TypeError when something is missing without which nothing could be protected, or when it is not clear whose it is */
export function readIssuers(options: GuardOptions | SeveralIssuers): readonly GuardSettings[] {
  if (!('issuers' in options)) return [readOptions(options)]
  const { issuers, ...shared } = options
  if (!Array.isArray(issuers) || issuers.length === 0 || !issuers.every(isObject)) throw new TypeError('issuers is a list of at least one issuer')
  const stray = OWN.find((name) => name in shared)
  if (stray !== undefined) throw new TypeError(`${stray} belongs to one of the issuers`)
  const all = options.issuers.map((own) => {
    const whole = WHOLE.find((name) => name in own)
    if (whole !== undefined) throw new TypeError(`${whole} belongs to the whole guard, not to one issuer`)
    const said = Object.entries(own).filter(([, value]) => value !== undefined)
    return readOptions({ ...shared, ...Object.fromEntries(said) } as GuardOptions)
  })
  if (new Set(all.map(({ issuer }) => issuer)).size < all.length) throw new TypeError('each issuer is named once')
  return all
}

/** The issuer that a token names, before anything of it is verified: it says where to look for a key, and nothing else. */
export function namedIssuer(token: string): unknown {
  if (token.length > MAX_TOKEN_LENGTH) return undefined
  const first = token.indexOf('.')
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.slice(first + 1, token.indexOf('.', first + 1)), 'base64url').toString('utf8'))
    return isObject(claims) ? claims.iss : undefined
  } catch {
    return undefined
  }
}
