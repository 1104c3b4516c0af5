import type { ChangeContext } from '../../store/change.ts'
import { auditAssignment, auditMember } from '../audit-words.ts'
import type { Permission } from '../permissions.ts'
import { changeRights } from '../rights.ts'
import type { TenantFile } from '../tenant-file.ts'
import { differencesOf } from './differences.ts'
import { type Db, definePart } from './part.ts'

/** Who belongs to whom, as a file wants it: the groups of a user, the groups in a group, or who holds the roles of an application. */
interface Entry {
  of: 'user' | 'group' | 'application'
  name: string
  wanted: readonly Holder[]
}

interface Holder {
  kind: 'user' | 'group'
  name: string
  /** Of an application. */
  role: string
  /** The file makes it, if nobody has. */
  inFile: boolean
}

/** One side of a comparison: words, as people read them, and what each stands for. */
type Side = Map<string, { id: string; role: string; isGroup: boolean }>

const NEEDS: Record<Entry['of'], Permission> = {
  ...{ user: 'GroupMember.ReadWrite.All', group: 'GroupMember.ReadWrite.All' },
  application: 'AppRoleAssignment.ReadWrite.All',
}
const PROPERTY: Record<Entry['of'], string> = { user: 'groups', group: 'groups in it', application: 'appRoles' }

/** Memberships and the roles of applications; what a file does not list stays. Whoever gains or loses a right by it is cut off as by any other edit. */
export const MEMBERSHIPS = definePart<Entry>({
  entries: entriesOf,
  kindOf: () => 'membership',
  nameOf: ({ name }) => name,
  needs: ({ of }) => [NEEDS[of]],

  async compare({ db, tenant }, entries) {
    const sides = await sidesOf(db, tenant, entries)
    return entries.map((entry, at) => {
      const { known, wanted } = sides[at] as Sides
      const property = PROPERTY[entry.of]
      const changes = differencesOf({ [property]: [...known.keys()].sort() }, { [property]: [...wanted.keys()].sort() })
      return changes.length === 0 ? undefined : { operation: 'change', changes }
    })
  },

  async save(context, _place, entry) {
    const { owner, known, wanted } = (await sidesOf(context.db, context.tenant, [entry]))[0] as Sides
    const added = [...wanted].filter(([word]) => !known.has(word)).map(([, one]) => one)
    const removed = [...known].filter(([word]) => !wanted.has(word)).map(([, one]) => one)
    // What is in a group gains or loses by it; of a user and its groups, the user.
    const touched = entry.of === 'user' ? [owner] : [...added, ...removed].map(({ id }) => id)
    await changeRights(context, touched, async () => {
      for (const one of added) await turn(context, entry.of, owner, one, true)
      for (const one of removed) await turn(context, entry.of, owner, one, false)
    })
  },
})

function entriesOf({ users = [], groups = [], applications = [] }: TenantFile): Entry[] {
  const people = new Set(users.map((one) => one.userPrincipalName.toLowerCase()))
  const group = (name: string, role = ''): Holder => ({ kind: 'group', name, role, inFile: true })
  const user = (name: string, role: string): Holder => ({ kind: 'user', name: name.toLowerCase(), role, inFile: people.has(name.toLowerCase()) })
  return [
    ...users.flatMap((one): Entry[] =>
      one.groups ? [{ of: 'user', name: one.userPrincipalName, wanted: one.groups.map((name) => group(name)) }] : [],
    ),
    ...groups.flatMap((one): Entry[] => (one.groups ? [{ of: 'group', name: one.displayName, wanted: one.groups.map((name) => group(name)) }] : [])),
    ...applications.flatMap(({ appId, appRoles }): Entry[] => {
      const holders = appRoles?.flatMap(({ value, users: some = [], groups: many = [] }) => [
        ...some.map((name) => user(name, value)),
        ...many.map((name) => group(name, value)),
      ])
      return holders ? [{ of: 'application', name: appId, wanted: holders }] : []
    }),
  ]
}

interface Sides {
  /** Id of the user or group, or the client id; empty before it is made. */
  owner: string
  known: Side
  wanted: Side
}

const wordOf = ({ kind, name, role }: Pick<Holder, 'kind' | 'name' | 'role'>) => (role === '' ? name : `${role}: ${kind} ${name}`)

async function sidesOf(db: Db, tenant: string, entries: readonly Entry[]): Promise<Sides[]> {
  const namesOf = (of: Entry['of']) => entries.filter((one) => one.of === of).map(({ name }) => name)
  const held = entries.flatMap(({ wanted }) => wanted)
  const users = await usersBy(db, tenant, [
    ...namesOf('user').map((name) => name.toLowerCase()),
    ...held.filter(({ kind }) => kind === 'user').map(({ name }) => name),
  ])
  const groups = await groupsBy(db, tenant, [...namesOf('group'), ...held.filter(({ kind }) => kind === 'group').map(({ name }) => name)])
  const ownerOf = ({ of, name }: Entry) => (of === 'application' ? name : ((of === 'user' ? users.get(name.toLowerCase()) : groups.get(name)) ?? ''))
  const known = {
    user: await groupsOf(db, tenant, entries.filter(({ of }) => of === 'user').map(ownerOf)),
    group: await groupsIn(db, tenant, entries.filter(({ of }) => of === 'group').map(ownerOf)),
    application: await holdersOf(db, tenant, namesOf('application')),
  }
  return entries.map((entry) => {
    const owner = ownerOf(entry)
    const wanted = entry.wanted.flatMap((one) => {
      const id = (one.kind === 'user' ? users : groups).get(one.name)
      // Whom neither the file nor the directory knows is nobody, now and later.
      return id === undefined && !one.inFile ? [] : [[wordOf(one), { id: id ?? '', role: one.role, isGroup: one.kind === 'group' }] as const]
    })
    return { owner, known: known[entry.of].get(owner) ?? new Map(), wanted: new Map(wanted) }
  })
}

/** Names in one query: SQLite bounds the parameters. */
const BATCH = 500

async function inBatches<T>(names: readonly string[], read: (some: readonly string[]) => Promise<T[]>): Promise<T[]> {
  const unique = [...new Set(names)]
  const found: T[] = []
  for (let from = 0; from < unique.length; from += BATCH) found.push(...(await read(unique.slice(from, from + BATCH))))
  return found
}

async function usersBy(db: Db, tenant: string, names: readonly string[]): Promise<Map<string, string>> {
  const living = db.selectFrom('users').select(['id', 'upn_key']).where('tenant', '=', tenant).where('deleted_at', 'is', null)
  return new Map((await inBatches(names, (some) => living.where('upn_key', 'in', some).execute())).map((row) => [row.upn_key, row.id]))
}

async function groupsBy(db: Db, tenant: string, names: readonly string[]): Promise<Map<string, string>> {
  const rows = db.selectFrom('groups').select(['id', 'display_name']).where('tenant', '=', tenant)
  return new Map((await inBatches(names, (some) => rows.where('display_name', 'in', some).execute())).map((row) => [row.display_name, row.id]))
}

/** Rows by whom they are of. */
function sides(rows: readonly { owner: string; id: string; name: string; role?: string; isGroup?: boolean }[]): Map<string, Side> {
  const found = new Map<string, Side>()
  for (const { owner, id, name, role = '', isGroup = true } of rows) {
    const side = found.get(owner) ?? new Map()
    found.set(owner, side.set(wordOf({ kind: isGroup ? 'group' : 'user', name, role }), { id, role, isGroup }))
  }
  return found
}

async function groupsOf(db: Db, tenant: string, owners: readonly string[]): Promise<Map<string, Side>> {
  const rows = db
    .selectFrom('members as m')
    .crossJoin('groups as g')
    .whereRef('g.tenant', '=', 'm.tenant')
    .whereRef('g.id', '=', 'm.group_id')
    .select(['m.user_id as owner', 'g.id as id', 'g.display_name as name'])
    .where('m.tenant', '=', tenant)
  return sides(await inBatches(owners, (some) => rows.where('m.user_id', 'in', some).execute()))
}

async function groupsIn(db: Db, tenant: string, owners: readonly string[]): Promise<Map<string, Side>> {
  const rows = db
    .selectFrom('nested as n')
    .crossJoin('groups as g')
    .whereRef('g.tenant', '=', 'n.tenant')
    .whereRef('g.id', '=', 'n.member_id')
    .select(['n.group_id as owner', 'g.id as id', 'g.display_name as name'])
    .where('n.tenant', '=', tenant)
  return sides(await inBatches(owners, (some) => rows.where('n.group_id', 'in', some).execute()))
}

async function holdersOf(db: Db, tenant: string, apps: readonly string[]): Promise<Map<string, Side>> {
  const rows = db
    .selectFrom('assignments as a')
    .leftJoin('groups as g', (join) => join.onRef('g.tenant', '=', 'a.tenant').onRef('g.id', '=', 'a.principal_id'))
    .leftJoin('users as u', (join) => join.onRef('u.tenant', '=', 'a.tenant').onRef('u.id', '=', 'a.principal_id'))
    .select(['a.app_id as owner', 'a.principal_id as id', 'a.role as role', 'g.display_name as group', 'u.upn_key as user'])
    .where('a.tenant', '=', tenant)
  const found = await inBatches(apps, (some) => rows.where('a.app_id', 'in', some).execute())
  return sides(found.map(({ owner, id, role, group, user }) => ({ owner, id, role, name: group ?? user ?? id, isGroup: group !== null })))
}

/** Puts somebody in, or takes them out. */
async function turn(
  context: ChangeContext,
  of: Entry['of'],
  owner: string,
  { id, role, isGroup }: { id: string; role: string; isGroup: boolean },
  isIn: boolean,
) {
  const { db, tenant } = context
  const [table, values, say] =
    of === 'application'
      ? ([
          'assignments',
          { tenant, app_id: owner, role, principal_id: id },
          () => auditAssignment(context, owner, role, { id, isGroup }, isIn),
        ] as const)
      : of === 'group'
        ? (['nested', { tenant, group_id: owner, member_id: id }, () => auditMember(context, owner, { id, isGroup: true }, isIn)] as const)
        : (['members', { tenant, group_id: id, user_id: owner }, () => auditMember(context, id, { id: owner, isGroup: false }, isIn)] as const)
  if (isIn)
    await db
      .insertInto(table)
      .values(values as never)
      .execute()
  else {
    let rows = db.deleteFrom(table)
    for (const [column, value] of Object.entries(values)) rows = rows.where(column as never, '=', value as never)
    await rows.execute()
  }
  say()
}
