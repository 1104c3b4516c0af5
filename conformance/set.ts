import { constants, createPublicKey, type JsonWebKey, verify } from 'node:crypto'
import type { Profile } from './config.ts'
import { isObject, type Json, parse } from './http.ts'
import type { Notes } from './notes.ts'

export interface Jws {
  header: Json
  claims: Json
  signed: string
  signature: Buffer
}

/** The parts of a compact JWS, unverified; undefined when it is none. */
export function decode(jwt: string): Jws | undefined {
  const parts = jwt.split('.')
  if (parts.length !== 3 || !parts.every((part) => /^[\w-]+$/.test(part))) return undefined
  const [header, claims] = parts.slice(0, 2).map((part) => parse(Buffer.from(part, 'base64url').toString('utf8')))
  if (!isObject(header) || !isObject(claims)) return undefined
  return { header, claims, signed: `${parts[0]}.${parts[1]}`, signature: Buffer.from(parts[2] as string, 'base64url') }
}

/** Node's names of the JWS algorithms with a key that can be published (RFC 7518 section 3.1). */
const HASH: Record<string, string> = { '256': 'sha256', '384': 'sha384', '512': 'sha512' }

/** @returns what is wrong with the signature, if anything is */
export function signatureProblem({ header, signed, signature }: Jws, keys: readonly Json[]): string | undefined {
  const { alg, kid } = header
  if (typeof alg !== 'string' || !/^(?:RS|PS|ES)(?:256|384|512)$|^EdDSA$/.test(alg)) return `alg ${String(alg)} has no public key`
  const candidates = keys.filter((key) => kid === undefined || key.kid === kid)
  if (candidates.length === 0) return 'no key of jwks_uri has its kid'
  const family = alg.slice(0, 2)
  const fits = candidates.some((jwk) => {
    if (jwk.alg !== undefined && jwk.alg !== alg) return false
    if (jwk.kty !== (family === 'ES' ? 'EC' : family === 'Ed' ? 'OKP' : 'RSA')) return false
    try {
      const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' })
      const more =
        family === 'ES'
          ? { dsaEncoding: 'ieee-p1363' as const }
          : family === 'PS'
            ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
            : {}
      return verify(family === 'Ed' ? null : HASH[alg.slice(2)], Buffer.from(signed), { key, ...more }, signature)
    } catch {
      return false
    }
  })
  return fits ? undefined : 'no key of jwks_uri verifies it'
}

export interface SetExpectation {
  issuer: string
  /** The stream's `aud`. */
  audience: unknown
  keys: readonly Json[]
  profile: Profile
  skew: number
}

/**
 * Checks what every SET of a stream must be like (RFC 8417, SSF 1.0 section 4).
 * @returns its claims; undefined when there is no reading it
 */
export function checkSet(notes: Notes, jwt: string, { issuer, audience, keys, profile, skew }: SetExpectation): Json | undefined {
  const jws = decode(jwt)
  if (!jws) {
    notes.must(false, 'RFC 8417 section 2', 'a SET is not a compact JWS with a JSON object in it')
    return undefined
  }
  const { header, claims } = jws
  const problem = signatureProblem(jws, keys)
  notes.must(problem === undefined, 'SSF 1.0 section 7.1', `the signature of a SET does not verify: ${problem}`)
  notes.must(header.typ === 'secevent+jwt', 'SSF 1.0 section 4.1.1', `typ of a SET is ${JSON.stringify(header.typ)}, not secevent+jwt`)
  if (profile === 'caep_interop') {
    notes.must(header.alg === 'RS256', 'CAEP Interop section 2.6', `alg of a SET is ${JSON.stringify(header.alg)}, not RS256`)
  }
  notes.must(claims.iss === issuer, 'SSF 1.0 section 4.1', 'iss of a SET is not the issuer')
  const { iat, aud, events } = claims
  notes.must(typeof iat === 'number', 'RFC 8417 section 2.2', 'iat of a SET is missing or no number')
  if (typeof iat === 'number') notes.must(iat * 1000 <= Date.now() + skew, 'RFC 8417 section 2.2', 'iat of a SET is in the future')
  notes.must(typeof claims.jti === 'string' && claims.jti !== '', 'RFC 8417 section 2.2', 'jti of a SET is missing')
  const readable = typeof aud === 'string' || (Array.isArray(aud) && aud.length > 0 && aud.every((one) => typeof one === 'string'))
  if (notes.must(readable, 'SSF 1.0 section 4.1', 'aud of a SET is neither a text nor a list of texts')) {
    const own = [audience].flat()
    notes.should(
      [aud].flat().every((one) => own.includes(one)),
      'SSF 1.0 section 8.1.1',
      'aud of a SET is not within the aud of its stream',
    )
  }
  notes.must(!('sub' in claims), 'SSF 1.0 section 4.1.2', 'a SET has the claim sub')
  notes.must(!('exp' in claims), 'SSF 1.0 section 4.1.7', 'a SET has the claim exp')
  const subject = claims.sub_id
  notes.must(isObject(subject) && typeof subject.format === 'string', 'SSF 1.0 section 3.1', 'sub_id of a SET is missing, or has no format')
  if (!notes.must(isObject(events), 'RFC 8417 section 2.2', 'events of a SET is no object')) return undefined
  const count = Object.keys(events as Json).length
  if (profile === 'caep_interop') notes.must(count === 1, 'CAEP Interop section 2.8.1', `a SET holds ${count} events`)
  else notes.should(count === 1, 'RFC 8417 section 2', `a SET holds ${count} events`)
  return claims
}

/** The payload of an event in a SET's claims; undefined when it is of another type. */
export function eventOf(claims: Json | undefined, uri: string): Json | undefined {
  const events = claims?.events
  const payload = isObject(events) ? events[uri] : undefined
  return isObject(payload) ? payload : undefined
}

/** A key set as RFC 7517 wants it, whose keys nobody can sign with. @returns what is wrong, if anything is */
export function keySetProblem(value: unknown): string | undefined {
  const keys = isObject(value) ? value.keys : undefined
  if (!Array.isArray(keys)) return 'it has no list of keys'
  if (keys.length === 0) return 'its list of keys is empty'
  for (const key of keys) {
    if (!isObject(key) || typeof key.kty !== 'string') return 'a key has no kty'
    if (key.kty === 'oct' || 'k' in key) return 'a key is symmetric'
    const found = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth'].find((member) => member in key)
    if (found) return `a key shows its private member ${found}`
    try {
      createPublicKey({ key: key as JsonWebKey, format: 'jwk' })
    } catch {
      return 'a key cannot be read'
    }
  }
  return undefined
}
