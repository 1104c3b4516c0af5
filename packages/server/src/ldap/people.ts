import { CaegisError } from '@caegis/protocol'
import type { Directory } from '../directory/directory.ts'
import { aboutUser, changeEnabled, insertUser, publishPassword, removeUser, setColumns } from '../directory/lifecycle.ts'
import { changeNaming } from '../directory/profile.ts'
import type { Actor, ChangeContext } from '../store/change.ts'
import type { LdapEntryRow, UserRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import type { Person } from './person.ts'

export interface PeopleOptions {
  store: Store
  /** Tenant id. */
  tenant: string
  issuer: string
  directory: Pick<Directory, 'sayingWhich'>
  /** `ldap:<name>` */
  source: string
}

/** What became of the people that were read, in numbers. */
export interface Tally {
  created: number
  /** Names or profile. */
  changed: number
  disabled: number
  enabled: number
  passwords: number
  /** Somebody else has the name. */
  conflicts: number
  deleted: number
}

/** What is known of somebody: the row of the sync, and the user, who may have been deleted here. */
interface Known {
  row: LdapEntryRow
  user?: UserRow
}

/** People whom one transaction makes or changes: nobody else can write meanwhile. */
const SLICE = 100

/** Makes users what an LDAP directory says of them. Who is as it says already costs a look, and no transaction. */
export function createPeople({ store, tenant, issuer, directory, source }: PeopleOptions) {
  const actor: Actor = { kind: 'system', reason: `sync with ${source}` }

  async function lookUp(db: Pick<ChangeContext['db'], 'selectFrom'>, ids: readonly string[]): Promise<Map<string, Known>> {
    if (ids.length === 0) return new Map()
    const rows = await db
      .selectFrom('ldap_entries')
      .selectAll()
      .where('tenant', '=', tenant)
      .where('source', '=', source)
      .where('external_id', 'in', ids)
      .execute()
    if (rows.length === 0) return new Map()
    const users = await db
      .selectFrom('users')
      .selectAll()
      .where('tenant', '=', tenant)
      .where('source', '=', source)
      .where('deleted_at', 'is', null)
      .where(
        'id',
        'in',
        rows.map((row) => row.user_id),
      )
      .execute()
    const byId = new Map(users.map((user) => [user.id, user]))
    return new Map(
      rows.map((row) => {
        const user = byId.get(row.user_id)
        return [row.external_id, { row, ...(user ? { user } : {}) }]
      }),
    )
  }

  const remember = ({ db }: ChangeContext, id: string, columns: Partial<Pick<LdapEntryRow, 'password' | 'held'>>) =>
    db.updateTable('ldap_entries').set(columns).where('tenant', '=', tenant).where('source', '=', source).where('external_id', '=', id).execute()

  async function create(context: ChangeContext, { externalId, naming, enabled, password }: Person, tally: Tally): Promise<void> {
    if (!naming || enabled === undefined) return
    const user = await unlessTaken(tally, () => insertUser(context, { ...naming, externalId, source, enabled }, null))
    if (user === undefined) return
    await context.db
      .insertInto('ldap_entries')
      .values({ tenant, source, external_id: externalId, user_id: user, password, held: enabled ? 0 : 1 })
      .execute()
    tally.created++
  }

  async function change(
    context: ChangeContext,
    person: Person,
    { row, user }: Required<Known>,
    since: number | undefined,
    tally: Tally,
  ): Promise<void> {
    const plan = planOf(person, { row, user }, since)
    const subject = aboutUser(issuer, user.id)
    const columns: Partial<UserRow> = {}
    if (plan.naming) {
      const given = plan.naming
      const named = await unlessTaken(tally, () => changeNaming(context, user, given, subject))
      if (named && Object.keys(named).length > 0) {
        Object.assign(columns, named)
        tally.changed++
      }
    }
    if (plan.password) {
      publishPassword(context, user, subject, `The password was changed in ${source}`)
      tally.passwords++
    }
    if (plan.enabled !== undefined) {
      Object.assign(columns, await changeEnabled(context, issuer, user, plan.enabled))
      tally[plan.enabled ? 'enabled' : 'disabled']++
    }
    if (Object.keys(columns).length > 0) await setColumns(context, user, columns)
    if (plan.remember) await remember(context, person.externalId, plan.remember)
  }

  /** One transaction for all of them; what is known is read anew inside it. */
  const commit = async (people: readonly Person[], since: number | undefined, tally: Tally) => {
    // What a transaction that failed has counted did not happen.
    const counted = { ...tally }
    await store.commit({
      tenant,
      actor,
      async edit(context) {
        const known = await lookUp(
          context.db,
          people.map((one) => one.externalId),
        )
        for (const person of people) {
          const found = known.get(person.externalId)
          if (!found) await create(context, person, counted)
          else if (found.user) await change(context, person, { row: found.row, user: found.user }, since, counted)
        }
      },
    })
    Object.assign(tally, counted)
  }

  return {
    /**
     * @param people with ids that all differ
     * @param since second of the directory's clock up to which everything was known before
     */
    async save(people: readonly Person[], since: number | undefined, tally: Tally): Promise<void> {
      const known = await lookUp(
        store.db,
        people.map((one) => one.externalId),
      )
      const together: Person[] = []
      for (const person of people) {
        const found = known.get(person.externalId)
        // Who was deleted here stays so: the directory does not bring anybody back.
        if (found && !found.user) continue
        const plan = found?.user && planOf(person, { row: found.row, user: found.user }, since)
        // What ends sessions is a change of its own, and clients hear which.
        if (found?.user && (plan?.password || plan?.enabled === false)) {
          await directory.sayingWhich(found.user.id, () => commit([person], since, tally))
        } else if (plan ? Object.keys(plan).length > 0 : person.naming && person.enabled !== undefined) together.push(person)
      }
      for (let from = 0; from < together.length; from += SLICE) await commit(together.slice(from, from + SLICE), since, tally)
    },

    /** Who came from the directory and has not been deleted here: how many, and those of them that it does not hold any more. */
    async missing(present: ReadonlySet<string>): Promise<{ known: number; gone: { externalId: string; user: string; enabled: boolean }[] }> {
      const rows = await store.db
        .selectFrom('ldap_entries')
        .innerJoin('users', (join) => join.onRef('users.tenant', '=', 'ldap_entries.tenant').onRef('users.id', '=', 'ldap_entries.user_id'))
        .select(['ldap_entries.external_id', 'users.id', 'users.enabled'])
        .where('ldap_entries.tenant', '=', tenant)
        .where('ldap_entries.source', '=', source)
        .where('users.source', '=', source)
        .where('users.deleted_at', 'is', null)
        .execute()
      const gone = rows.filter((row) => !present.has(row.external_id))
      return { known: rows.length, gone: gone.map((row) => ({ externalId: row.external_id, user: row.id, enabled: row.enabled === 1 })) }
    },

    /** What happens to somebody whom the directory does not hold any more. */
    async vanish({ externalId, user: id }: { externalId: string; user: string }, how: 'disable' | 'delete', tally: Tally): Promise<void> {
      const commitVanished = () =>
        store.commit({
          tenant,
          actor,
          async edit(context) {
            const found = (await lookUp(context.db, [externalId])).get(externalId)
            if (!found?.user) return false
            if (how === 'delete') {
              await removeUser(context, issuer, found.user)
              // The entry may come back one day: as somebody new.
              await context.db
                .deleteFrom('ldap_entries')
                .where('tenant', '=', tenant)
                .where('source', '=', source)
                .where('external_id', '=', externalId)
                .execute()
              return true
            }
            const columns = await changeEnabled(context, issuer, found.user, false)
            if (Object.keys(columns).length === 0) return false
            await setColumns(context, found.user, columns)
            await remember(context, externalId, { held: 1 })
            return true
          },
        })
      const { result } = await directory.sayingWhich(id, commitVanished)
      if (result) tally[how === 'delete' ? 'deleted' : 'disabled']++
    },
  }
}

export type People = ReturnType<typeof createPeople>

interface Plan {
  naming?: NonNullable<Person['naming']>
  password?: true
  enabled?: boolean
  remember?: Partial<Pick<LdapEntryRow, 'password' | 'held'>>
}

/** What is to be done about somebody who is known; nothing, mostly. */
function planOf(person: Person, { row, user }: Required<Known>, since: number | undefined): Plan {
  const { naming, enabled } = person
  const plan: Plan = {}
  const note = (columns: Plan['remember']) => {
    plan.remember = { ...plan.remember, ...columns }
  }
  if (
    naming &&
    (naming.userPrincipalName !== user.upn ||
      naming.displayName !== user.display_name ||
      naming.mail !== user.mail ||
      naming.givenName !== user.given_name ||
      naming.surname !== user.surname)
  )
    plan.naming = naming
  if (person.password !== null && person.password !== row.password) {
    if (isNewPassword(row.password, person, since)) plan.password = true
    note({ password: person.password })
  }
  if (enabled === false && user.enabled === 1) {
    plan.enabled = false
    note({ held: 1 })
  }
  // Whom an administrator disabled here, the directory does not enable.
  if (enabled === true && row.held === 1) {
    if (user.enabled === 0) plan.enabled = true
    note({ held: 0 })
  }
  return plan
}

/** What is seen for the first time (a right to read it was given, a setting changed) is news only when it is younger than the last look. */
function isNewPassword(before: string | null, { password, passwordAt }: Person, since: number | undefined): boolean {
  if (before !== null && before[0] === password?.[0]) return true
  return passwordAt !== undefined && since !== undefined && passwordAt >= since
}

async function unlessTaken<T>(tally: Tally, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof CaegisError) || error.code !== 'user_exists') throw error
    tally.conflicts++
    return undefined
  }
}
