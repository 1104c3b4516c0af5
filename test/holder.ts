import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto'

/** Whoever has a key, and can prove it (RFC 9449); every part of a proof can be made wrong. */
export interface Holder {
  jkt: string
  proof(method: string, url: string, claims?: { token?: string } & Record<string, unknown>): string
}

export function createHolder(): Holder {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { crv, kty, x, y } = publicKey.export({ format: 'jwk' })
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
  const sha = (text: string) => createHash('sha256').update(text).digest('base64url')
  return {
    jkt: sha(JSON.stringify({ crv, kty, x, y })),
    proof(htm, htu, { token, ...more } = {}) {
      const claims = { jti: randomUUID(), htm, htu, iat: Math.floor(Date.now() / 1000), ...(token === undefined ? {} : { ath: sha(token) }), ...more }
      const input = `${encode({ typ: 'dpop+jwt', alg: 'ES256', jwk: { crv, kty, x, y } })}.${encode(claims)}`
      return `${input}.${sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
    },
  }
}
