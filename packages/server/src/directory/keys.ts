import { generateKeyPair, type JsonWebKey, type KeyObject, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { CaegisError, EVENT } from '@caegis/protocol'
import type { Transaction } from 'kysely'
import { SERVER_ERRORS } from '../errors.ts'
import { type Actor, type Committed, EXPIRY_LEEWAY } from '../store/change.ts'
import type { KeyRow, Schema } from '../store/schema.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'

export type SigningAlg = 'ES256' | 'RS256'

/** ES256 for everything of ours, RS256 for peers that insist. */
export const ALGORITHMS: readonly SigningAlg[] = ['ES256', 'RS256']

/** `next` is published and signs nothing yet; `retired` signs nothing any more, and vouches for what it signed until that has expired. */
export type KeyState = 'next' | 'active' | 'retired'

export interface KeyInfo {
  kid: string
  alg: SigningAlg
  state: KeyState
  createdAt: number
  /** Second from which it signs. */
  activeFrom: number
  /** Second at which its successor took over. */
  retiredAt: number | null
}

/** A tenant's signing keys, as its administrators see them. */
export interface KeyRegistry {
  list(): Promise<KeyInfo[]>
  /** Publishes a successor for each algorithm; it signs once everybody had time to fetch it. What has one already is left as it is. */
  rotate(actor: Actor): Promise<Committed<string[]>>
  /** Takes a key away at once, and with it everything that it signed. @throws CaegisError `key_not_found` */
  remove(actor: Actor, kid: string): Promise<Committed<KeyInfo>>
}

/** Seconds for which anybody may keep the published keys. */
export const JWKS_MAX_AGE = 600

/** Seconds from a key's publication to its first signature: longer than any cache keeps the keys from before (threat E2). */
export const KEY_LEAD = 2 * JWKS_MAX_AGE

/** The states follow from the instants alone, so that all processes that share the table agree on who signs, and nobody has to switch. */
export function statesOf<T extends Pick<KeyRow, 'kid' | 'alg' | 'created_at' | 'active_from'>>(rows: readonly T[], now: number) {
  return ALGORITHMS.flatMap((alg) => {
    const line = rows
      .filter((row) => row.alg === alg)
      .sort((a, b) => a.active_from - b.active_from || a.created_at - b.created_at || (a.kid < b.kid ? -1 : 1))
    // A clock that was set back must not leave a tenant without a key.
    const active = Math.max(
      0,
      line.findLastIndex((row) => row.active_from <= now),
    )
    return line.map((row, at) => ({
      row,
      state: (at < active ? 'retired' : at === active ? 'active' : 'next') as KeyState,
      retiredAt: at < active ? (line[at + 1] as T).active_from : null,
    }))
  })
}

export interface KeyTimes {
  /** Seconds after which a key is replaced by itself. */
  rotation: number
  /** Seconds for which a token may live: a retired key is published for that long. */
  longest: number
}

const contextOf = ({ tenant, kid }: Pick<KeyRow, 'tenant' | 'kid'>) => `key:${tenant}:${kid}`

/** Throws when it was sealed under another secret. */
export function openKey(secrets: Secrets, row: Pick<KeyRow, 'tenant' | 'kid' | 'sealed'>): JsonWebKey {
  return secrets.open(contextOf(row), row.sealed) as JsonWebKey
}

/**
 * Before anything is served from keys that come from elsewhere: with another secret, nobody could be given a token, and nobody would know why.
 * @throws CaegisError `wrong_key_secret`
 */
export function checkKey(secrets: Secrets, row: Parameters<typeof openKey>[1]): void {
  try {
    openKey(secrets, row)
  } catch {
    throw new CaegisError('wrong_key_secret', SERVER_ERRORS.wrong_key_secret)
  }
}

export function createKeyRegistry(store: Store, secrets: Secrets, tenant: string, { rotation, longest }: KeyTimes) {
  const now = () => Math.floor(store.clock())
  const read = (db: Pick<Transaction<Schema>, 'selectFrom'> = store.db) => db.selectFrom('keys').selectAll().where('tenant', '=', tenant).execute()

  async function make(alg: SigningAlg, activeFrom: number): Promise<KeyRow> {
    const key = await generate(alg)
    const kid = randomBytes(12).toString('base64url')
    const jwk: Record<string, unknown> = { ...key.export({ format: 'jwk' }), kid, alg, use: 'sig' }
    const { d, p, q, dp, dq, qi, ...open } = jwk
    const sealed = secrets.seal(contextOf({ tenant, kid }), jwk)
    return { tenant, kid, alg, sealed, public: JSON.stringify(open), created_at: now(), active_from: activeFrom }
  }

  async function addSuccessors(actor: Actor, wanted: readonly SigningAlg[]): Promise<Committed<string[]>> {
    // Made outside of the transaction, in which nobody else could write meanwhile.
    const made = await Promise.all(wanted.map((alg) => make(alg, now() + KEY_LEAD)))
    return store.commit({
      tenant,
      actor,
      async edit({ db, now, audit }) {
        const states = statesOf(await read(db), now)
        const missing = made.filter(({ alg }) => !states.some(({ row, state }) => row.alg === alg && state === 'next'))
        for (const row of missing)
          await db
            .insertInto('keys')
            .values({ ...row, created_at: now, active_from: now + KEY_LEAD })
            .execute()
        if (missing.length > 0) {
          const targets = missing.map(({ kid }) => ({ type: 'Key' as const, id: kid }))
          audit({ activity: 'Rotate signing keys', operation: 'Add', category: 'DirectoryManagement', targets })
        }
        return missing.map(({ kid }) => kid)
      },
    })
  }

  const registry: KeyRegistry = {
    list: async () => statesOf(await read(), now()).map(toInfo),
    rotate: (actor) => addSuccessors(actor, ALGORITHMS),
    async remove(actor, kid) {
      const known = statesOf(await read(), now()).find(({ row }) => row.kid === kid)
      if (!known) throw new CaegisError('key_not_found', SERVER_ERRORS.key_not_found)
      const heir = await make(known.row.alg as SigningAlg, now())
      return store.commit({
        tenant,
        actor,
        async edit({ db, now, publish, audit }) {
          const states = statesOf(await read(db), now)
          const gone = states.find(({ row }) => row.kid === kid)
          if (!gone) throw new CaegisError('key_not_found', SERVER_ERRORS.key_not_found)
          await db.deleteFrom('keys').where('tenant', '=', tenant).where('kid', '=', kid).execute()
          if (gone.state === 'active') {
            // The one that was to follow is known to everybody already; one that is made now is fetched because of this very event.
            const next = states.find(({ row, state }) => row.alg === gone.row.alg && state === 'next')
            if (next) await db.updateTable('keys').set({ active_from: now }).where('tenant', '=', tenant).where('kid', '=', next.row.kid).execute()
            else
              await db
                .insertInto('keys')
                .values({ ...heir, created_at: now, active_from: now })
                .execute()
          }
          // The version moves, so that what is being signed with it meanwhile does not pass the fence.
          await db
            .updateTable('tenants')
            .set((eb) => ({ version: eb('version', '+', 1) }))
            .where('id', '=', tenant)
            .execute()
          audit({ activity: 'Remove signing key', operation: 'Delete', category: 'DirectoryManagement', targets: [{ type: 'Key', id: kid }] })
          publish({
            type: EVENT.keysChanged,
            subject: { complex: { format: 'complex', tenant: { format: 'opaque', id: tenant } } },
            reason: 'A signing key was removed',
          })
          return toInfo(gone)
        },
      })
    },
  }

  return {
    ...registry,
    read,
    /** Makes the first keys of a tenant: they sign at once, because nobody holds any others. */
    async begin(): Promise<KeyRow[]> {
      const first = await Promise.all(ALGORITHMS.map((alg) => make(alg, now())))
      return store.transaction({ tenant }, async (db) => {
        const rows = await read(db)
        if (rows.length > 0) return rows
        await db.insertInto('keys').values(first).execute()
        return first
      })
    },
    /** Successors for keys whose time is over, and the end of those that can vouch for nothing any more. */
    async tend(): Promise<void> {
      const states = statesOf(await read(), now())
      const due = ALGORITHMS.filter((alg) => {
        const own = states.filter(({ row }) => row.alg === alg)
        return own.every(({ row, state }) => state !== 'next' && (state !== 'active' || row.active_from + rotation - KEY_LEAD <= now()))
      })
      if (due.length > 0) await addSuccessors({ kind: 'system', reason: 'key rotation' }, due)
      const over = states.filter(({ retiredAt }) => retiredAt !== null && retiredAt + longest + EXPIRY_LEEWAY <= now()).map(({ row }) => row.kid)
      if (over.length > 0) await store.db.deleteFrom('keys').where('tenant', '=', tenant).where('kid', 'in', over).execute()
    },
  }
}

function toInfo({ row, state, retiredAt }: ReturnType<typeof statesOf<KeyRow>>[number]): KeyInfo {
  return { kid: row.kid, alg: row.alg as SigningAlg, state, createdAt: row.created_at, activeFrom: row.active_from, retiredAt }
}

const pairOf = promisify(generateKeyPair)

async function generate(alg: SigningAlg): Promise<KeyObject> {
  const { privateKey } = await (alg === 'ES256' ? pairOf('ec', { namedCurve: 'P-256' }) : pairOf('rsa', { modulusLength: 2048 }))
  return privateKey
}
