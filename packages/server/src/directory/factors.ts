import { randomUUID } from 'node:crypto'
import { CaegisError, EVENT, event } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'
import type { ChangeContext, Committed } from '../store/change.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'

/** `from`: the last step whose code proves nothing, because it served to register the application. */
export type Factor = { id: string; name: string; createdAt: number } & (
  | { kind: 'totp'; secret: string; from: number }
  | { kind: 'recovery'; digests: string[] }
)

type Kept<Kind> = Omit<Extract<Factor, { kind: Kind }>, 'id' | 'name' | 'createdAt' | 'kind'>

/** What a user proves besides the password, sealed. A user edits their own, and each edit is an event: access tokens are asked for again. */
export function createFactors(store: Store, secrets: Secrets, tenant: string, issuer: string) {
  const context = (user: string, id: string) => `factor:${tenant}:${user}:${id}`
  const digest = (user: string, id: string, code: string) => secrets.digest(`recovery:${tenant}:${user}:${id}`, code)

  const edit = (
    user: string,
    change: 'create' | 'update' | 'delete',
    name: string,
    reason: string,
    work: (context: ChangeContext) => Promise<void>,
  ) =>
    store.commit({
      tenant,
      actor: { kind: 'holder', user },
      async edit(context) {
        const row = await context.db
          .selectFrom('users')
          .select('enabled')
          .where('tenant', '=', tenant)
          .where('id', '=', user)
          .where('deleted_at', 'is', null)
          .executeTakeFirst()
        if (row?.enabled !== 1) throw new CaegisError('user_not_found', SERVER_ERRORS.user_not_found)
        await work(context)
        const about = { format: 'iss_sub', iss: issuer, sub: user } as const
        context.publish({
          ...event(EVENT.credentialChange, { credential_type: 'app', change_type: change, friendly_name: name }),
          subject: { simple: about, complex: { format: 'complex', user: about } },
          reason,
          cut: { kind: 'user', id: user, depth: 'access' },
        })
      },
    })

  const insert = async ({ db, now }: ChangeContext, user: string, id: string, kind: Factor['kind'], name: string, kept: object) => {
    const row = { tenant, user_id: user, id, kind, name, sealed: secrets.seal(context(user, id), kept), created_at: now, last_used_at: null }
    await db.insertInto('factors').values(row).execute()
  }
  const remove = ({ db }: ChangeContext, user: string, kinds: Factor['kind'][]) =>
    db.deleteFrom('factors').where('tenant', '=', tenant).where('user_id', '=', user).where('kind', 'in', kinds).execute()
  const insertCodes = (change: ChangeContext, user: string, codes: readonly string[]) => {
    const id = randomUUID()
    const kept: Kept<'recovery'> = { digests: codes.map((code) => digest(user, id, code)) }
    return insert(change, user, id, 'recovery', 'Recovery codes', kept)
  }

  return {
    async list(user: string): Promise<Factor[]> {
      const rows = await store.db.selectFrom('factors').selectAll().where('tenant', '=', tenant).where('user_id', '=', user).execute()
      return rows.map(
        ({ id, kind, name, sealed, created_at }) =>
          ({ id, kind, name, createdAt: created_at, ...(secrets.open(context(user, id), sealed) as object) }) as Factor,
      )
    },
    /** Which of the recovery codes this is; -1 when it is none. */
    indexOf: (user: string, { id, digests }: Extract<Factor, { kind: 'recovery' }>, code: string) => digests.indexOf(digest(user, id, code)),
    /** Takes the place of an application that was registered before, and of its recovery codes. */
    register: (user: string, kept: Kept<'totp'>, codes: readonly string[]): Promise<Committed<void>> =>
      edit(user, 'create', 'Authenticator app', 'An authenticator app was registered', async (change) => {
        await remove(change, user, ['totp', 'recovery'])
        await insert(change, user, randomUUID(), 'totp', 'Authenticator app', kept)
        await insertCodes(change, user, codes)
      }),
    unregister: (user: string): Promise<Committed<void>> =>
      edit(user, 'delete', 'Authenticator app', 'The authenticator app was removed', async (change) => {
        await remove(change, user, ['totp', 'recovery'])
      }),
    renewCodes: (user: string, codes: readonly string[]): Promise<Committed<void>> =>
      edit(user, 'update', 'Recovery codes', 'The recovery codes were renewed', async (change) => {
        await remove(change, user, ['recovery'])
        await insertCodes(change, user, codes)
      }),
  }
}

export type Factors = ReturnType<typeof createFactors>
