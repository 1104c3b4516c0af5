import { randomUUID } from 'node:crypto'
import { CaegisError, EVENT, type EventPayload, event } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'
import type { Actor, ChangeContext, Committed, Proof } from '../store/change.ts'
import type { FactorRow } from '../store/schema.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'
import { refuseEmergency } from './break-glass.ts'
import { refuseApplication } from './from-outside.ts'

/** A public key credential (WebAuthn), its binary parts in base64url. */
export interface Passkey {
  credentialId: string
  publicKey: string
  /** As it was at the registration. */
  counter: number
  /** Part of the device, or something that is carried about. */
  attachment: 'platform' | 'cross-platform'
  transports: string[]
}

/** `from`: the last step whose code proves nothing, because it served to register the application. */
export type Factor = { id: string; name: string; createdAt: number; lastUsedAt: number | null } & (
  | { kind: 'totp'; secret: string; from: number }
  | { kind: 'recovery'; digests: string[] }
  | ({ kind: 'passkey' } & Passkey)
)

/** What an administrator may see of a factor. */
export type FactorSummary = Pick<Factor, 'id' | 'name' | 'kind' | 'createdAt' | 'lastUsedAt'>

type Kept<Kind> = Omit<Extract<Factor, { kind: Kind }>, 'id' | 'name' | 'createdAt' | 'lastUsedAt' | 'kind'>
type Kind = Factor['kind']

/** What a user proves besides the password, sealed. Each edit is an event: access tokens are asked for again. */
export function createFactors(store: Store, secrets: Secrets, tenant: string, issuer: string) {
  const context = (user: string, id: string) => `factor:${tenant}:${user}:${id}`
  const digest = (user: string, id: string, code: string) => secrets.digest(`recovery:${tenant}:${user}:${id}`, code)

  const edit = <T>(actor: Actor, user: string, work: (context: ChangeContext) => Promise<T>): Promise<Committed<T>> =>
    store.commit({
      tenant,
      actor,
      async edit(context) {
        const row = await context.db
          .selectFrom('users')
          .select(['break_glass', 'roles'])
          .where('tenant', '=', tenant)
          .where('id', '=', user)
          .where('deleted_at', 'is', null)
          .executeTakeFirst()
        if (!row) throw new CaegisError('user_not_found', SERVER_ERRORS.user_not_found)
        refuseEmergency(actor, row)
        refuseApplication(actor, row)
        return work(context)
      },
    })

  const tell = (
    { publish }: ChangeContext,
    user: string,
    payload: EventPayload & { credential_type: string; change_type: string },
    reason: string,
  ) => {
    const about = { format: 'iss_sub', iss: issuer, sub: user } as const
    publish({
      ...event(EVENT.credentialChange, payload as never),
      subject: { simple: about, complex: { format: 'complex', user: about } },
      reason,
      cut: { kind: 'user', id: user, depth: 'access' },
    })
  }

  const insert = async ({ db, now }: ChangeContext, user: string, id: string, kind: Kind, name: string, kept: object) => {
    const row = { tenant, user_id: user, id, kind, name, sealed: secrets.seal(context(user, id), kept), created_at: now, last_used_at: null }
    await db.insertInto('factors').values(row).execute()
  }
  const drop = ({ db }: ChangeContext, user: string, kinds: Kind[]) =>
    db.deleteFrom('factors').where('tenant', '=', tenant).where('user_id', '=', user).where('kind', 'in', kinds).execute()
  const insertCodes = (change: ChangeContext, user: string, codes: readonly string[]) => {
    const id = randomUUID()
    const kept: Kept<'recovery'> = { digests: codes.map((code) => digest(user, id, code)) }
    return insert(change, user, id, 'recovery', 'Recovery codes', kept)
  }

  const open = ({ user_id: user, id, kind, name, sealed, created_at: createdAt, last_used_at: lastUsedAt }: FactorRow) =>
    ({ id, kind, name, createdAt, lastUsedAt, ...(secrets.open(context(user, id), sealed) as object) }) as Factor

  const select = (db: Pick<Store['db'], 'selectFrom'>, user: string) =>
    db.selectFrom('factors').selectAll().where('tenant', '=', tenant).where('user_id', '=', user).orderBy('created_at').orderBy('id')

  const self = (user: string, proof: Proof): Actor => ({ kind: 'holder', user, proof })

  return {
    list: async (user: string): Promise<Factor[]> => (await select(store.db, user).execute()).map(open),
    /** Which of the recovery codes this is; -1 when it is none. */
    indexOf: (user: string, { id, digests }: Extract<Factor, { kind: 'recovery' }>, code: string) => digests.indexOf(digest(user, id, code)),
    /** Notes that it was used just now; only for people to see. */
    async touch(user: string, id: string): Promise<void> {
      const last_used_at = Math.floor(store.clock())
      await store.db
        .updateTable('factors')
        .set({ last_used_at })
        .where('tenant', '=', tenant)
        .where('user_id', '=', user)
        .where('id', '=', id)
        .execute()
    },
    /** Takes the place of an application that was registered before, and of the recovery codes. */
    register: (user: string, proof: Proof, kept: Kept<'totp'>, codes: readonly string[]): Promise<Committed<void>> =>
      edit(self(user, proof), user, async (change) => {
        await drop(change, user, ['totp', 'recovery'])
        await insert(change, user, randomUUID(), 'totp', 'Authenticator app', kept)
        await insertCodes(change, user, codes)
        tell(
          change,
          user,
          { credential_type: 'app', change_type: 'create', friendly_name: 'Authenticator app' },
          'An authenticator app was registered',
        )
      }),
    /**
     * @param codes for who has no recovery codes yet
     * @returns whether the codes were taken, so that they have to be shown; `undefined` when the passkey is registered already
     */
    addPasskey: (user: string, proof: Proof, name: string, kept: Passkey, codes: readonly string[]): Promise<Committed<boolean | undefined>> =>
      edit(self(user, proof), user, async (change) => {
        const known = (await select(change.db, user).execute()).map(open)
        if (known.some((one) => one.kind === 'passkey' && one.credentialId === kept.credentialId)) return undefined
        const isFirst = !known.some(({ kind }) => kind === 'recovery')
        await insert(change, user, randomUUID(), 'passkey', name, kept)
        if (isFirst) await insertCodes(change, user, codes)
        tell(change, user, { credential_type: typeOf(kept), change_type: 'create', friendly_name: name }, 'A passkey was registered')
        return isFirst
      }),
    renewCodes: (user: string, proof: Proof, codes: readonly string[]): Promise<Committed<void>> =>
      edit(self(user, proof), user, async (change) => {
        await drop(change, user, ['recovery'])
        await insertCodes(change, user, codes)
        tell(change, user, { credential_type: 'app', change_type: 'update', friendly_name: 'Recovery codes' }, 'The recovery codes were renewed')
      }),
    /**
     * Removes one; with the last application or passkey go the recovery codes, which stand in for them.
     * @returns whether there was one of that id, and of that kind where one is named
     */
    remove: (actor: Actor, user: string, id: string, kind?: Kind): Promise<Committed<boolean>> =>
      edit(actor, user, async (change) => {
        const all = (await select(change.db, user).execute()).map(open)
        const one = all.find((factor) => factor.id === id && (kind === undefined || factor.kind === kind))
        if (!one) return false
        await change.db.deleteFrom('factors').where('tenant', '=', tenant).where('user_id', '=', user).where('id', '=', id).execute()
        if (!all.some((factor) => factor.id !== id && factor.kind !== 'recovery')) await drop(change, user, ['recovery'])
        const payload = { credential_type: one.kind === 'passkey' ? typeOf(one) : 'app', change_type: 'delete', friendly_name: one.name }
        tell(
          change,
          user,
          payload,
          `${one.kind === 'passkey' ? 'A passkey was' : one.kind === 'totp' ? 'The authenticator app was' : 'The recovery codes were'} removed`,
        )
        return true
      }),
  }
}

export type Factors = ReturnType<typeof createFactors>

/** CAEP 1.0 section 3.3's name of the credential. */
const typeOf = ({ attachment }: Passkey) => (attachment === 'platform' ? 'fido2-platform' : 'fido2-roaming')
