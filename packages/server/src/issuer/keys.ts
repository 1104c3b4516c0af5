import { createPrivateKey, generateKeyPairSync, type JsonWebKey, type KeyObject, randomBytes, sign as signBytes } from 'node:crypto'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'

export type SigningAlg = 'ES256' | 'RS256'

export interface SigningKeys {
  /** Private JWKs, for the OpenID provider's own signatures. */
  private: JsonWebKey[]
  /** What `/discovery/v2.0/keys` shows. */
  public: JsonWebKey[]
  /** Signs any of our JWTs with the tenant's key of that algorithm: compact serialisation. */
  sign(payload: object, header: { typ: string; alg: SigningAlg }): string
}

interface KeyPair {
  kid: string
  alg: SigningAlg
  jwk: JsonWebKey
  public: JsonWebKey
  key: KeyObject
}

/** Loads a tenant's keys, or makes them: ES256 for everything of ours, RS256 for peers that insist. Private keys are stored sealed. */
export async function loadKeys(store: Store, secrets: Secrets, tenant: string): Promise<SigningKeys> {
  let pairs = await read(store, secrets, tenant)
  if (pairs.length === 0) {
    for (const alg of ['ES256', 'RS256'] as const) {
      const { privateKey } =
        alg === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('rsa', { modulusLength: 2048 })
      const kid = randomBytes(12).toString('base64url')
      const jwk = { ...privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' }
      const { d, p, q, dp, dq, qi, ...open } = jwk as Record<string, unknown>
      await store.db
        .insertInto('keys')
        .values({
          tenant,
          kid,
          alg,
          sealed: secrets.seal(`key:${tenant}:${kid}`, jwk),
          public: JSON.stringify(open),
          created_at: Math.floor(store.clock()),
        })
        .execute()
    }
    pairs = await read(store, secrets, tenant)
  }
  return {
    private: pairs.map((pair) => pair.jwk),
    public: pairs.map((pair) => pair.public),
    sign(payload, { typ, alg }) {
      const pair = pairs.find((one) => one.alg === alg)
      if (!pair) throw new Error(`no signing key for ${alg}`)
      const input = `${encode({ alg, typ, kid: pair.kid })}.${encode(payload)}`
      const signature = signBytes('sha256', Buffer.from(input), alg === 'ES256' ? { key: pair.key, dsaEncoding: 'ieee-p1363' } : pair.key)
      return `${input}.${signature.toString('base64url')}`
    },
  }
}

async function read(store: Store, secrets: Secrets, tenant: string): Promise<KeyPair[]> {
  const rows = await store.db.selectFrom('keys').selectAll().where('tenant', '=', tenant).orderBy('created_at', 'desc').execute()
  return rows.map((row) => {
    const jwk = secrets.open(`key:${tenant}:${row.kid}`, row.sealed) as JsonWebKey
    return { kid: row.kid, alg: row.alg as SigningAlg, jwk, public: JSON.parse(row.public), key: createPrivateKey({ key: jwk, format: 'jwk' }) }
  })
}

const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
