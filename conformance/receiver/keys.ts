import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import type { Json } from '../http.ts'

/** The key of an emulated transmitter, and what it publishes of it. */
export interface SigningKey {
  jwks: { keys: Json[] }
  sign(claims: Json): string
}

/** RS256 with 2048 bits, as the interoperability profile wants it (section 2.6). */
export function createKey(): SigningKey {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const jwk = publicKey.export({ format: 'jwk' }) as Json
  const kid = createHash('sha256').update(String(jwk.n)).digest('base64url').slice(0, 16)
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return {
    jwks: { keys: [{ ...jwk, kid, alg: 'RS256', use: 'sig' }] },
    sign(claims) {
      const text = `${part({ typ: 'secevent+jwt', alg: 'RS256', kid })}.${part(claims)}`
      return `${text}.${sign('sha256', Buffer.from(text), privateKey).toString('base64url')}`
    },
  }
}
