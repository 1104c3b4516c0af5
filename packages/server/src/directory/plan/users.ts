import type { UserRow } from '../../store/schema.ts'
import { refuseEmergency } from '../break-glass.ts'
import { isFromOutside, refuseTakeover } from '../from-outside.ts'
import { refuseHomeHere } from '../guests.ts'
import { changeUser, insertUser } from '../lifecycle.ts'
import { hashPassword } from '../password.ts'
import type { UserEntry } from '../tenant-file.ts'
import { differencesOf, given, secret } from './differences.ts'
import { type Db, definePart } from './part.ts'

const key = ({ userPrincipalName }: UserEntry) => userPrincipalName.toLowerCase()

/** People. A password is the initial one: it is set when the user is made and never afterwards, so that a file neither undoes a reset nor re-enables anybody. */
export const USERS = definePart<UserEntry>({
  entries: (file) => file.users ?? [],
  kindOf: () => 'user',
  nameOf: ({ userPrincipalName }) => userPrincipalName,
  needs: ({ roles }) => ['User.ReadWrite.All', ...(roles === undefined ? [] : (['RoleManagement.ReadWrite.Directory'] as const))],

  async compare({ db, tenant }, entries) {
    const rows = await rowsOf(db, tenant, entries.map(key))
    const held = await heldOf(db, tenant, [...rows.values()])
    return entries.map((entry) => {
      const row = rows.get(key(entry))
      const { displayName, enabled, roles, type } = entry
      if (!row) {
        const { userPrincipalName, password, forceChangePasswordNextSignIn, home } = entry
        const values = { displayName: displayName ?? userPrincipalName, enabled, roles, type, home, forceChangePasswordNextSignIn }
        return { operation: 'add', changes: [...given(values), ...(password === undefined ? [] : [secret('password')])] }
      }
      const before = { displayName: row.display_name, enabled: row.enabled === 1, roles: JSON.parse(row.roles), type: row.type }
      const changes = differencesOf(before, { displayName, enabled, roles, type })
      // Whoever says it here takes over from the transmitter that disabled the user.
      if (enabled !== undefined && held.has(row.id)) changes.push({ property: 'kept disabled by', old: 'upstream', new: 'tenant file' })
      if (changes.length === 0) return undefined
      return { operation: 'change', changes, ...(enabled === false && row.enabled === 1 ? { signsOut: true as const } : {}) }
    })
  },

  prepare: async ({ password }, { operation }) => (operation === 'add' && password !== undefined ? hashPassword(password) : null),

  async save(context, { issuer }, entry, { actor, draft, prepared }) {
    const { userPrincipalName, displayName, enabled, roles, type, home, forceChangePasswordNextSignIn: passwordExpired } = entry
    const values = {
      ...(displayName === undefined ? {} : { displayName }),
      ...(enabled === undefined ? {} : { enabled }),
      ...(roles === undefined ? {} : { roles }),
      ...(type === undefined ? {} : { type }),
    }
    if (draft.operation === 'add') {
      const more = { ...(home === undefined ? {} : { home }), ...(passwordExpired === undefined ? {} : { passwordExpired }) }
      if (home !== undefined && isFromOutside(actor)) await refuseHomeHere(context, home)
      return insertUser(context, { userPrincipalName, displayName: userPrincipalName, ...values, ...more }, prepared as string | null)
    }
    const row = (await rowsOf(context.db, context.tenant, [key(entry)])).get(key(entry)) as UserRow
    refuseEmergency(actor, row)
    await refuseTakeover(context, actor, row, values)
    return changeUser(context, issuer, row, values)
  },
})

async function rowsOf(db: Db, tenant: string, keys: readonly string[]): Promise<Map<string, UserRow>> {
  const rows = await db
    .selectFrom('users')
    .selectAll()
    .where('tenant', '=', tenant)
    .where('deleted_at', 'is', null)
    .where('upn_key', 'in', keys)
    .execute()
  return new Map(rows.map((row) => [row.upn_key, row as UserRow]))
}

/** Ids of those whom an upstream keeps disabled. */
async function heldOf(db: Db, tenant: string, rows: readonly UserRow[]): Promise<Set<string>> {
  if (rows.length === 0) return new Set()
  const ids = rows.map(({ id }) => id)
  const holds = db.selectFrom('upstream_holds').select('user_id').where('tenant', '=', tenant).where('user_id', 'in', ids)
  return new Set((await holds.execute()).map((row) => row.user_id))
}
