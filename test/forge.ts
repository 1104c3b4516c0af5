import { createHash, createPrivateKey, type JsonWebKey, type KeyObject, sign as signBytes } from 'node:crypto'
import { request } from 'node:https'
import { loadKeys, type SigningAlg } from '../packages/server/src/issuer/keys.ts'
import { createSecrets } from '../packages/server/src/store/secrets.ts'
import { claimsOf, type Loop } from './loop.ts'

/** What an attacker could never have: the server's own signing keys, so that in a forged token only the property under test is wrong. */
export interface Forge {
  kid: string
  /** The public key as it is published. */
  publicJwk: JsonWebKey
  /** A copy of a good token with other claims or header members (`undefined` removes one), signed with the tenant's own ES256 key. */
  like(token: string, claims: Record<string, unknown>, header?: Record<string, unknown>): string
  sign(header: Record<string, unknown>, claims: Record<string, unknown>, key?: KeyObject): string
}

export async function createForge(loop: Loop, tenant = loop.tenant): Promise<Forge> {
  const { store } = loop.server
  const keys = await loadKeys(store, createSecrets(loop.settings.keySecret.value), tenant)
  const own = keys.private.find((one) => one.alg === ('ES256' satisfies SigningAlg)) as JsonWebKey & { kid: string }
  const publicJwk = keys.public.find((one) => one.kid === own.kid) as JsonWebKey
  const ownKey = createPrivateKey({ key: own, format: 'jwk' })
  const sign: Forge['sign'] = (header, claims, key = ownKey) => {
    const input = `${part(header)}.${part(claims)}`
    return `${input}.${signBytes('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }
  return {
    kid: own.kid,
    publicJwk,
    sign,
    like: (token, claims, header = {}) => sign({ ...headerOf(token), ...header }, { ...claimsOf(token), ...claims }),
  }
}

export const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

export function headerOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[0] as string, 'base64url').toString())
}

export interface RawAnswer {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: string
}

/** A request as it stands, header lines in turn: `fetch` would join two lines of one name, and tidy the path. */
export function raw(
  origin: string,
  path: string,
  { method = 'GET', headers = [], body = '' }: { method?: string; headers?: string[]; body?: string } = {},
) {
  const { hostname, port } = new URL(origin)
  return new Promise<RawAnswer>((resolve, reject) => {
    const lines = [...headers, 'host', `${hostname}:${port}`, ...(body === '' ? [] : ['content-length', String(Buffer.byteLength(body))])]
    const outgoing = request({ hostname, port, path, method, headers: lines as never, agent: false }, (incoming) => {
      let text = ''
      incoming.on('data', (chunk) => {
        text += chunk
      })
      incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: text }))
      incoming.on('error', reject)
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

/** Any twelve characters of the secret that stand in the text. */
export function leaked(secret: string, text: string): string | undefined {
  for (let at = 0; at + 12 <= secret.length; at++) {
    const piece = secret.slice(at, at + 12)
    if (text.includes(piece)) return piece
  }
  return undefined
}

export const s256 = (verifier: string) => createHash('sha256').update(verifier).digest('base64url')
