import { randomUUID } from 'node:crypto'
import { auditGroup } from '../audit-words.ts'
import type { TenantFile } from '../tenant-file.ts'
import { given } from './differences.ts'
import { definePart } from './part.ts'

/** Groups, by their names. Who is in them comes later, when everybody is there. */
export const GROUPS = definePart<NonNullable<TenantFile['groups']>[number]>({
  entries: (file) => file.groups ?? [],
  kindOf: () => 'group',
  nameOf: ({ displayName }) => displayName,
  needs: () => ['Group.ReadWrite.All'],

  async compare({ db, tenant }, entries) {
    const names = entries.map(({ displayName }) => displayName)
    const rows = await db.selectFrom('groups').select('display_name').where('tenant', '=', tenant).where('display_name', 'in', names).execute()
    const known = new Set(rows.map((row) => row.display_name))
    return entries.map(({ displayName }) => (known.has(displayName) ? undefined : { operation: 'add', changes: given({ displayName }) }))
  },

  async save(context, { tenant }, { displayName: display_name }) {
    const id = randomUUID()
    await context.db.insertInto('groups').values({ tenant, id, display_name, created_at: context.now }).execute()
    auditGroup(context, 'Add', { id, display_name })
  },
})
