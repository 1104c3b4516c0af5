import { CaegisError, EVENT } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'
import type { Actor, ChangeContext, Committed, Seen } from '../store/change.ts'
import type { UserRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { refuseEmergency } from './break-glass.ts'
import { isFromOutside, refuseTakeover } from './from-outside.ts'
import { type Home, publishWithGuests } from './guests.ts'
import { aboutUser, changeUser, insertUser, removeUser } from './lifecycle.ts'
import { createListing } from './listing.ts'
import { createOrganization } from './organization.ts'
import { hashPassword, verifyPassword } from './password.ts'
import type { Naming, Profile } from './profile.ts'
import { createRoles, refuseLastAdmin } from './roles.ts'
import { createSessions } from './sessions.ts'

export type { Actor, Committed, Seen }

/** A user as the admin API and the pages see one. */
export interface User extends Profile {
  id: string
  userPrincipalName: string
  displayName: string
  /** The system that keeps the user; empty for this directory itself. */
  source: string
  accountEnabled: boolean
  roles: string[]
  type: 'member' | 'guest'
  createdAt: number
  lastPasswordChangeAt: number | null
  /** Second of the last cutoff of depth sign-in; 0 = never. */
  validFrom: number
  riskLevel: string
  /** It is the emergency account. */
  emergency: boolean
}

export interface NewUser extends Partial<Profile> {
  userPrincipalName: string
  displayName: string
  source?: string
  password?: string
  enabled?: boolean
  roles?: string[]
  type?: 'member' | 'guest'
  /** A guest's own account; once and for all. */
  home?: Home
  /** The password must be changed at the next sign-in. */
  passwordExpired?: boolean
}

export interface UserUpdate extends Naming {
  enabled?: boolean
  password?: string
  roles?: string[]
  type?: 'member' | 'guest'
  /** Whether the password must be changed at the next sign-in; a new one need not, unless this says so. */
  passwordExpired?: boolean
}

/**
 * The commands of one tenant's directory. Each is one change: what it edits, what it cuts off and what it publishes are one transaction.
 * What exists so far: disabled, enabled, deleted, password set, sessions revoked, role changed; the whole tenant stopped and resumed.
 */
export function createDirectory(store: Store, tenant: string, issuer: string, onSignedOut: (sids: string[]) => void = () => {}) {
  const about = (id: string) => aboutUser(issuer, id)

  const find = (db: Pick<ChangeContext['db'], 'selectFrom'>, idOrName: string) =>
    db
      .selectFrom('users')
      .selectAll()
      .where('tenant', '=', tenant)
      .where('deleted_at', 'is', null)
      .where((eb) => eb.or([eb('id', '=', idOrName), eb('upn_key', '=', idOrName.toLowerCase())]))
      .executeTakeFirst()

  /** Runs an edit of one existing user, with the row as it is inside the transaction. */
  const edit = <T>(actor: Actor, idOrName: string, work: (context: ChangeContext, user: UserRow) => Promise<T>): Promise<Committed<T>> =>
    store.commit({
      tenant,
      actor,
      async edit(context) {
        const user = await find(context.db, idOrName)
        if (!user) throw new CaegisError('user_not_found', SERVER_ERRORS.user_not_found)
        refuseEmergency(actor, user)
        return work(context, user)
      },
    })

  const sessions = createSessions(store, tenant, issuer, onSignedOut)

  /** Runs a command that may end sessions of a user, and names those that it did. */
  const sayingWhich = async <T>(idOrName: string, command: () => Promise<T>): Promise<T> => {
    const user = await find(store.db, idOrName)
    const before = user ? await sessions.sessions(user.id) : []
    const done = await command()
    if (!user || before.length === 0) return done
    const left = new Set((await sessions.sessions(user.id)).map(({ id }) => id))
    onSignedOut(before.map(({ id }) => id).filter((id) => !left.has(id)))
    return done
  }

  return {
    organization: createOrganization(store, tenant),
    ...createRoles(store, tenant, edit, about, toUser),
    ...sessions,
    sayingWhich,

    async user(idOrName: string): Promise<User | undefined> {
      const row = await find(store.db, idOrName)
      return row && toUser(row)
    },

    /** The user that another system keeps, by what that calls it. */
    async userOf(source: string, externalId: string): Promise<User | undefined> {
      const row = await store.db
        .selectFrom('users')
        .selectAll()
        .where('tenant', '=', tenant)
        .where('source', '=', source)
        .where('external_id', '=', externalId)
        .where('deleted_at', 'is', null)
        .executeTakeFirst()
      return row && toUser(row)
    },

    /** Whether that is the user's password. */
    async isPassword(id: string, password: string): Promise<boolean> {
      return verifyPassword(password, (await find(store.db, id))?.password ?? null)
    },

    users: createListing<UserRow, User>(store.db, tenant, 'users', true, toUser),

    createUser: (actor: Actor, given: NewUser): Promise<Committed<string>> =>
      hashIfGiven(given.password).then((password) => store.commit({ tenant, actor, edit: (context) => insertUser(context, given, password) })),

    /**
     * Edits any of the named properties in one change; each that matters to tokens publishes its event, all under one txn.
     * @param check throws when the user, as it is then, is not to be edited
     */
    update: async (actor: Actor, idOrName: string, given: UserUpdate, check: (user: User) => void = () => {}) => {
      // Hashing takes tens of milliseconds: never inside the transaction.
      const password = given.password === undefined ? undefined : await hashPassword(given.password)
      const run = () =>
        edit(actor, idOrName, async (context, user) => {
          check(toUser(user))
          await refuseTakeover(context, actor, user, given)
          await changeUser(context, issuer, user, given, password)
        })
      return given.enabled === false || password !== undefined ? sayingWhich(idOrName, run) : run()
    },

    remove: (actor: Actor, idOrName: string, check: (user: User) => void = () => {}) =>
      sayingWhich(idOrName, () =>
        edit(actor, idOrName, async (context, user) => {
          check(toUser(user))
          if (isFromOutside(actor)) await refuseLastAdmin(context, user)
          await removeUser(context, issuer, user)
        }),
      ),

    revokeSessions: (actor: Actor, idOrName: string) =>
      sayingWhich(idOrName, () =>
        edit(actor, idOrName, async (context, user) => {
          await publishWithGuests(context, issuer, user.id, about, { type: EVENT.sessionRevoked, reason: 'All sessions were revoked', ends: true })
        }),
      ),

    /** The same at the word of somebody outside, who has no say about the emergency account. */
    revokeEverything: (actor: Actor, id: string) =>
      sayingWhich(id, () =>
        edit(actor, id, async (context, user) => {
          if (user.break_glass === 1) throw new CaegisError('emergency_account', SERVER_ERRORS.emergency_account)
          const reason = 'Everything was revoked by a global token revocation'
          await publishWithGuests(context, issuer, user.id, about, { type: EVENT.sessionRevoked, reason, ends: true })
        }),
      ),
  }
}

export type Directory = ReturnType<typeof createDirectory>

const hashIfGiven = async (password: string | undefined) => (password === undefined ? null : hashPassword(password))

export function toUser(row: UserRow): User {
  return {
    id: row.id,
    userPrincipalName: row.upn,
    displayName: row.display_name,
    mail: row.mail,
    givenName: row.given_name,
    surname: row.surname,
    externalId: row.external_id,
    source: row.source,
    accountEnabled: row.enabled === 1,
    roles: JSON.parse(row.roles),
    type: row.type,
    createdAt: row.created_at,
    lastPasswordChangeAt: row.password_at,
    validFrom: row.valid_from,
    riskLevel: row.risk_level,
    emergency: row.break_glass === 1,
  }
}
