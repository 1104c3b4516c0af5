import { sql } from 'kysely'
import type { UserRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { toUser, type User } from './directory.ts'
import { type Group, toGroup } from './group-commands.ts'

/** Where the changes of a tenant's objects stand. */
export interface ChangeHead {
  position: number
  /** Renewed when positions may mean other changes than before. */
  epoch: string
  /** Seconds, by the store's clock. */
  now: number
}

/** One object as it is now, at the position of its last change. */
export interface ObjectChange<T> {
  id: string
  position: number
  /** Absent: there is none any more. */
  object?: T
  /** The positions at which its properties last changed; `_`: at which it was made. */
  parts: Record<string, number>
}

/** One membership, at the position at which it came or went. */
export interface MemberChange {
  group: string
  id: string
  position: number
  kind: 'user' | 'group'
  removed: boolean
}

interface Row {
  kind: string
  id: string
  member: string
  position: number
  removed: number
  parts: string
}

/**
 * What changed since a position. Every edit of an object writes its position in the edit's own transaction (triggers of the migration 0036-graph), and writers take turns:
 * a position never appears behind one that was read.
 */
export function createDeltas(store: Store, tenant: string) {
  const rowsOf = (kinds: readonly string[], after: number, limit: number, ids?: readonly string[]) => {
    const changes = store.db.selectFrom('changes').selectAll().where('tenant', '=', tenant).where('kind', 'in', kinds).where('position', '>', after)
    return (ids ? changes.where('id', 'in', ids) : changes).orderBy('position').limit(limit).execute()
  }

  return {
    async head(): Promise<ChangeHead> {
      const { changes, epoch } = await store.db.selectFrom('tenants').select(['changes', 'epoch']).where('id', '=', tenant).executeTakeFirstOrThrow()
      return { position: changes, epoch, now: store.clock() }
    },

    /** In the order of positions. */
    async users(after: number, limit: number, ids?: readonly string[]): Promise<ObjectChange<User>[]> {
      const rows = await rowsOf(['user'], after, limit, ids)
      const living = store.db.selectFrom('users').selectAll().where('tenant', '=', tenant).where('deleted_at', 'is', null)
      const found = await living.where(sql<boolean>`id in (${sql.join(['', ...rows.map(({ id }) => id)])})`).execute()
      return changesOf(rows, new Map(found.map((row) => [row.id, toUser(row as UserRow)])))
    },

    /** Groups and memberships, in the order of positions. */
    async groups(after: number, limit: number, members: boolean, ids?: readonly string[]): Promise<(ObjectChange<Group> | MemberChange)[]> {
      const rows = await rowsOf(members ? ['group', 'member'] : ['group'], after, limit, ids)
      const some = sql.join(['', ...rows.map(({ id }) => id)])
      const found = await store.db.selectFrom('groups').selectAll().where('tenant', '=', tenant).where(sql<boolean>`id in (${some})`).execute()
      const groups = new Map(found.map((row) => [row.id, toGroup(row)]))
      return rows.flatMap((row): (ObjectChange<Group> | MemberChange)[] =>
        row.kind === 'group'
          ? changesOf([row], groups)
          : [{ group: row.id, id: row.member, position: row.position, kind: row.parts as MemberChange['kind'], removed: row.removed === 1 }],
      )
    },
  }
}

export type Deltas = ReturnType<typeof createDeltas>

function changesOf<T>(rows: readonly Row[], objects: ReadonlyMap<string, T>): ObjectChange<T>[] {
  return rows.map(({ id, position, parts }) => {
    const object = objects.get(id)
    return { id, position, parts: JSON.parse(parts), ...(object ? { object } : {}) }
  })
}
