import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { clientOf, type JsonObject, scopesOf } from '@caegis/protocol'

/** Every header that tells an application who asks. A proxy must set all of them, always: what is left out could come from the client. */
export const IDENTITY_HEADERS = [
  'caegis-user',
  'caegis-name',
  'caegis-tenant',
  'caegis-scopes',
  'caegis-roles',
  'caegis-app',
  'caegis-session',
  'caegis-acrs',
  'caegis-assertion',
] as const

export type IdentityHeaders = Readonly<Record<(typeof IDENTITY_HEADERS)[number], string>>

/** Nobody is asked who they are: all of them, all empty. */
export const NOBODY: IdentityHeaders = Object.freeze(Object.fromEntries(IDENTITY_HEADERS.map((name) => [name, ''])) as IdentityHeaders)

/** Seconds. */
const LIFE = 60
/** RFC 8725 section 3.11: no other kind of JWT is of this type. */
export const ASSERTION_TYPE = 'caegis-assertion+jwt'
const CARRIED = [
  'sub',
  'oid',
  'tid',
  'sid',
  'name',
  'preferred_username',
  'scp',
  'scope',
  'roles',
  'acrs',
  'acr',
  'auth_time',
  'client_id',
  'azp',
  'appid',
  'cid',
] as const

export interface IdentityOptions {
  /** Who signs, `iss` of the assertion. */
  issuer: string
  /** For which application, `aud` of the assertion. */
  audience: string
  /** A P-256 private key; made anew without one. Gateways that stand side by side share one. */
  key?: KeyObject | undefined
  /** Milliseconds. */
  now: () => number
}

export interface Identity {
  /** The headers for the claims of a verified token; claims are told apart by identity, as a guard hands out the same object for the same token. */
  of(claims: Readonly<JsonObject>): IdentityHeaders
  /** RFC 7517. */
  jwks: { keys: JsonObject[] }
}

/** Tells an application who asks: in plain headers, and in a JWT of ours that it can verify by itself. @throws TypeError for a key of another kind */
export function createIdentity({ issuer, audience, key, now }: IdentityOptions): Identity {
  const privateKey = key ?? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  if (privateKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new TypeError('The key of the gateway is a P-256 private key')
  const { kty, crv, x, y } = createPublicKey(privateKey).export({ format: 'jwk' })
  // RFC 7638: members in this order.
  const kid = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url')
  const head = encode({ alg: 'ES256', typ: ASSERTION_TYPE, kid })
  const signed = new WeakMap<object, { headers: IdentityHeaders; until: number }>()

  return {
    jwks: { keys: [{ kty, crv, x, y, kid, alg: 'ES256', use: 'sig' } as JsonObject] },
    of(claims) {
      const seconds = Math.floor(now() / 1000)
      const known = signed.get(claims)
      // Half of its life is left to whatever the request goes through.
      if (known !== undefined && seconds < known.until && seconds >= known.until - LIFE) return known.headers
      const headers = headersOf(claims, assertionOf(claims, seconds))
      signed.set(claims, { headers, until: seconds + LIFE / 2 })
      return headers
    },
  }

  function assertionOf(claims: Readonly<JsonObject>, iat: number): string {
    const carried = Object.fromEntries(CARRIED.filter((name) => claims[name] !== undefined).map((name) => [name, claims[name]]))
    const input = `${head}.${encode({ ...carried, iss: issuer, aud: audience, iat, exp: iat + LIFE })}`
    return `${input}.${sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }
}

function headersOf(claims: Readonly<JsonObject>, assertion: string): IdentityHeaders {
  return Object.freeze({
    'caegis-user': textOf(claims.oid ?? claims.sub),
    'caegis-name': textOf(claims.name ?? claims.preferred_username),
    'caegis-tenant': textOf(claims.tid),
    'caegis-scopes': listOf(scopesOf(claims)),
    'caegis-roles': listOf(claims.roles),
    'caegis-app': textOf(clientOf(claims)),
    'caegis-session': textOf(claims.sid),
    'caegis-acrs': listOf(claims.acrs),
    'caegis-assertion': assertion,
  })
}

/** Blanks between, and none within. */
function listOf(value: unknown): string {
  const list = Array.isArray(value) ? value : value === undefined ? [] : [value]
  return list.map(textOf).filter(Boolean).join(' ')
}

/** Visible ASCII but `%`, `,` and `;` as it is, everything else percent-encoded UTF-8: a header holds nothing else safely. */
function textOf(value: unknown): string {
  if (typeof value !== 'string') return ''
  return value
    .toWellFormed()
    .replace(/[^\x21-\x7e]|[%,;]/gu, (sign) => (sign.length === 1 && sign < '\x7f' ? escaped(sign) : encodeURIComponent(sign)))
}

/** Also for what `encodeURIComponent` would leave. */
const escaped = (sign: string) => `%${sign.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`

const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
