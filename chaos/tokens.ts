import { createPrivateKey, type JsonWebKey, randomBytes, sign } from 'node:crypto'
import { AUDIENCE, KID, nameOf } from './issuer.ts'
import type { Shown } from './model.ts'

/** A token, and what the model has to know of it. */
export interface Held extends Shown {
  text: string
  /** It was shown before. */
  seen: boolean
}

/** Signs the tokens of a soak, as the issuer would. @returns a function of whose and from when to when */
export function createMint(issuer: string, jwk: JsonWebKey): (person: number, iat: number, exp: number) => Held {
  const key = createPrivateKey({ key: jwk, format: 'jwk' })
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
  const header = encode({ alg: 'ES256', typ: 'at+jwt', kid: KID })
  return (person, iat, exp) => {
    const id = () => randomBytes(16).toString('hex')
    const user = nameOf(person)
    const claims = {
      ...{
        iss: issuer,
        aud: AUDIENCE,
        iat,
        nbf: iat,
        exp,
        jti: id(),
        sub: user,
        oid: user,
        sid: id(),
        client_id: 'files-native',
        azp: 'files-native',
      },
      ...{ scp: 'Files.Read', auth_time: iat - 60, amr: ['pwd', 'mfa'], acr: '1', xms_cc: ['cp1'] },
    }
    const input = `${header}.${encode(claims)}`
    const text = `${input}.${sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
    return { person, iat, exp, text, seen: false }
  }
}
