import { createPrivateKey, type JsonWebKey, type KeyObject, sign as signBytes } from 'node:crypto'
import { createStaticKeys, type KeySource } from '@caegis/guard'
import { HORIZON } from '../access/lifetime.ts'
import { createKeyRegistry, type KeyRegistry, type KeyState, openKey, type SigningAlg, statesOf } from '../directory/keys.ts'
import type { KeyRow } from '../store/schema.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'

export type { SigningAlg } from '../directory/keys.ts'

export interface SigningKeys extends KeyRegistry {
  /** Private JWKs, those that sign first, for the OpenID provider's own signatures. */
  readonly private: JsonWebKey[]
  /** What `/discovery/v2.0/keys` shows. */
  readonly public: JsonWebKey[]
  /** Another one as soon as another key signs or is published. */
  readonly version: string
  /** Signs any of our JWTs with the tenant's key of that algorithm: compact serialisation. */
  sign(payload: object, header: { typ: string; alg: SigningAlg }): string
  /** Reads the table again: another process, or the command line, may have changed it. */
  reload(): Promise<void>
  /**
   * Reads the table again if the tenant's row has another version than at the last look: a key that another process removed signs and vouches for nothing here, from the
   * first decision on that has read the row after it (threat E2).
   */
  follow(version: number): Promise<void>
  /** Milliseconds since what is known was true. */
  age(): number
  /** Rotates what is due and forgets what is over. */
  tend(): Promise<void>
}

interface KeyPair extends Pick<KeyRow, 'kid' | 'alg' | 'created_at' | 'active_from'> {
  jwk: JsonWebKey
  public: JsonWebKey
  key: KeyObject
}

interface Shown {
  pairs: KeyPair[]
  version: string
  /** The instants between which this is so. */
  since: number
  until: number
}

const ORDER: Record<KeyState, number> = { active: 0, next: 1, retired: 2 }
const DAYS_90 = 90 * 24 * 3600

/** Loads a tenant's keys, or makes them. Private keys are stored sealed. */
export async function loadKeys(store: Store, secrets: Secrets, tenant: string, rotation = DAYS_90): Promise<SigningKeys> {
  const registry = createKeyRegistry(store, secrets, tenant, { rotation, longest: HORIZON })
  let pairs: KeyPair[] = []
  let shown: Shown | undefined
  let followed: number | undefined
  /** When what is known was asked for; an answer may be overtaken by a later one. */
  let askedAt = Number.NEGATIVE_INFINITY

  async function reload(): Promise<void> {
    const asked = performance.now()
    let rows = await registry.read()
    if (rows.length === 0) rows = await registry.begin()
    if (asked < askedAt) return
    askedAt = asked
    pairs = rows.map((row) => {
      const { kid, alg, created_at, active_from } = row
      const known = pairs.find((one) => one.kid === kid)
      if (known) return { ...known, active_from }
      const jwk = openKey(secrets, row)
      return { kid, alg, created_at, active_from, jwk, public: JSON.parse(row.public), key: createPrivateKey({ key: jwk, format: 'jwk' }) }
    })
    shown = undefined
  }

  /** Who signs changes with time alone, so it is asked for at each use. */
  function current(): Shown {
    const now = Math.floor(store.clock())
    if (shown && shown.since <= now && now < shown.until) return shown
    const states = statesOf(pairs, now).sort((a, b) => ORDER[a.state] - ORDER[b.state])
    shown = {
      pairs: states.map(({ row }) => row),
      version: states.map(({ row }) => row.kid).join(' '),
      since: now,
      until: Math.min(...pairs.map((pair) => pair.active_from).filter((from) => from > now)),
    }
    return shown
  }

  await reload()
  return {
    list: registry.list,
    async rotate(actor) {
      const done = await registry.rotate(actor)
      await reload()
      return done
    },
    async remove(actor, kid) {
      const done = await registry.remove(actor, kid)
      await reload()
      return done
    },
    get private() {
      return current().pairs.map((pair) => pair.jwk)
    },
    get public() {
      return current().pairs.map((pair) => pair.public)
    },
    get version() {
      return current().version
    },
    sign(payload, { typ, alg }) {
      const pair = current().pairs.find((one) => one.alg === alg)
      if (!pair) throw new Error(`no signing key for ${alg}`)
      const input = `${encode({ alg, typ, kid: pair.kid })}.${encode(payload)}`
      const signature = signBytes('sha256', Buffer.from(input), alg === 'ES256' ? { key: pair.key, dsaEncoding: 'ieee-p1363' } : pair.key)
      return `${input}.${signature.toString('base64url')}`
    },
    reload,
    async follow(version) {
      if (version === followed) return
      await reload()
      followed = version
    },
    age: () => performance.now() - askedAt,
    async tend() {
      await registry.tend()
      await reload()
    },
  }
}

/** Milliseconds between two looks into the table because of a `kid` that is not known: anybody can invent one. */
const LOOK_EVERY = 1000

/** The same keys for the server's own guards, which hear of a removal from the log, wherever it was made. */
export function keySourceOf(issuer: string, keys: SigningKeys): KeySource {
  const ring = createStaticKeys({ [issuer]: { keys: keys.public } })
  let lookedAt = Number.NEGATIVE_INFINITY
  const follow = async () => {
    await keys.reload()
    ring.replace(issuer, { keys: keys.public })
  }
  return {
    ...ring,
    changed: follow,
    async learn(asked) {
      if (asked !== issuer) return
      const now = performance.now()
      if (now - lookedAt < LOOK_EVERY) return ring.replace(issuer, { keys: keys.public })
      lookedAt = now
      await follow()
    },
  }
}

const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
