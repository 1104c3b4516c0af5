import type { Policy } from '@caegis/policy'
import type { Kysely, Transaction } from 'kysely'
import type { Schema } from '../store/schema.ts'
import { ADMIN_API } from './application.ts'
import { isDirectoryRole } from './roles.ts'

export type ReferenceKind = 'user' | 'group' | 'role' | 'application' | 'servicePrincipal' | 'location' | 'context'

/** A policy's naming of something else of the directory. */
export interface Reference {
  kind: ReferenceKind
  /** JSON pointer of the list that it stands in. */
  list: string
  at: number
  name: string
}

/** Names that are no names of objects. */
const WORDS: Record<ReferenceKind, readonly string[]> = {
  user: ['All', 'None', 'GuestsOrExternalUsers'],
  group: [],
  role: [],
  application: ['All', 'None', ADMIN_API],
  servicePrincipal: ['ServicePrincipalsInMyTenant', 'None'],
  location: ['All', 'AllTrusted'],
  context: [],
}

/** Where policies name what, under their `conditions`. */
const LISTS: readonly (readonly [parent: string, lists: readonly string[], kind: ReferenceKind])[] = [
  ['users', ['includeUsers', 'excludeUsers'], 'user'],
  ['users', ['includeGroups', 'excludeGroups'], 'group'],
  ['users', ['includeRoles', 'excludeRoles'], 'role'],
  ['applications', ['includeApplications', 'excludeApplications'], 'application'],
  ['applications', ['includeAuthenticationContextClassReferences'], 'context'],
  ['clientApplications', ['includeServicePrincipals', 'excludeServicePrincipals'], 'servicePrincipal'],
  ['locations', ['includeLocations', 'excludeLocations'], 'location'],
]

type Lists = Record<string, Record<string, readonly string[]> | null | undefined>

/** Everything else of the directory that a policy names. */
export function referencesOf({ conditions }: Pick<Policy, 'conditions'>): Reference[] {
  return LISTS.flatMap(([parent, lists, kind]) =>
    lists.flatMap((list) =>
      ((conditions as unknown as Lists)[parent]?.[list] ?? []).flatMap((name, at) =>
        WORDS[kind].includes(name) ? [] : [{ kind, name, at, list: `/conditions/${parent}/${list}` }],
      ),
    ),
  )
}

/** The same policy with what it names under other names. */
export function renamed(policy: Policy, nameOf: (reference: Reference) => string): Policy {
  const conditions = structuredClone(policy.conditions) as unknown as Record<string, Record<string, string[]>>
  for (const reference of referencesOf(policy)) {
    const [, , parent = '', list = ''] = reference.list.split('/')
    const names = conditions[parent]?.[list]
    if (names) names[reference.at] = nameOf(reference)
  }
  return { ...policy, conditions: conditions as unknown as Policy['conditions'] }
}

export function pointerOf({ list, at }: Reference): string {
  return `${list}/${at}`
}

type Db = Kysely<Schema> | Transaction<Schema>

/** Names in one query: SQLite bounds the parameters. */
const BATCH = 500

/** Those that name nothing that lives. */
export async function missingAmong(db: Db, tenant: string, references: readonly Reference[]): Promise<Reference[]> {
  const missing: Reference[] = []
  for (const [kind, some] of Map.groupBy(references, (one) => one.kind)) {
    const names = [...new Set(some.map((one) => one.name))]
    const known = new Set<string>()
    for (let from = 0; from < names.length; from += BATCH)
      for (const id of await living(db, tenant, kind, names.slice(from, from + BATCH))) known.add(id)
    missing.push(...some.filter((one) => !known.has(one.name)))
  }
  return missing
}

async function living(db: Db, tenant: string, kind: ReferenceKind, names: readonly string[]): Promise<string[]> {
  switch (kind) {
    case 'role':
      return names.filter(isDirectoryRole)
    case 'application': {
      const rows = db.selectFrom('applications').select('app_id').where('tenant', '=', tenant).where('deleted_at', 'is', null)
      return (await rows.where('app_id', 'in', names).execute()).map((row) => row.app_id)
    }
    case 'servicePrincipal': {
      const rows = db.selectFrom('applications').select(['id', 'app_id']).where('tenant', '=', tenant).where('deleted_at', 'is', null)
      const named = rows.where((eb) => eb.or([eb('id', 'in', names), eb('app_id', 'in', names)]))
      return (await named.execute()).flatMap((row) => [row.id, row.app_id])
    }
    case 'group':
    case 'context': {
      const table = kind === 'group' ? 'groups' : 'contexts'
      return (await db.selectFrom(table).select('id').where('tenant', '=', tenant).where('id', 'in', names).execute()).map((row) => row.id)
    }
    default: {
      const table = kind === 'user' ? 'users' : 'locations'
      const rows = db.selectFrom(table).select('id').where('tenant', '=', tenant).where('deleted_at', 'is', null)
      return (await rows.where('id', 'in', names).execute()).map((row) => row.id)
    }
  }
}
