import { WATCHED } from '../change-positions.ts'

const next = (row: 'new' | 'old') => `update tenants set changes = changes + 1 where id = ${row}.tenant returning changes into place;`

/** A trigger and its function: `body` runs for each row, with `place` as the next position of its tenant. */
function trigger(name: string, on: string, row: 'new' | 'old', body: string): string[] {
  return [
    `create function ${name}() returns trigger language plpgsql as $$ declare place bigint; begin ${next(row)} ${body} return null; end $$`,
    `create trigger ${name} after ${on} execute function ${name}()`,
  ]
}

/** What the embedded database does in change-positions.ts, in this one's language: whoever edits a row moves the position with it. */
export function positionTriggers(): string[] {
  const statements: string[] = []
  for (const [table, kind] of [
    ['users', 'user'],
    ['groups', 'group'],
  ] as const) {
    const columns = Object.entries(WATCHED[table])
    const differs = columns.map(([column]) => `new.${column} is distinct from old.${column}`)
    const parts = columns.map(([, name], index) => `case when ${differs[index]} then jsonb_build_object('${name}', place) else '{}' end`)
    const removed = table === 'users' ? '(new.deleted_at is not null)::int' : '0'
    statements.push(
      ...trigger(
        `${table}_made`,
        `insert on ${table} for each row`,
        'new',
        `insert into changes values (new.tenant, '${kind}', new.id, '', place, 0, jsonb_build_object('_', place)::text);`,
      ),
      ...trigger(
        `${table}_changed`,
        `update of ${columns.map(([column]) => column).join(', ')} on ${table} for each row when (${differs.join(' or ')})`,
        'new',
        `update changes set position = place, removed = ${removed}, parts = (parts::jsonb || ${parts.join(' || ')})::text
           where tenant = new.tenant and kind = '${kind}' and id = new.id and member = '';`,
      ),
    )
  }
  statements.push(
    ...trigger(
      'groups_removed',
      'delete on groups for each row',
      'old',
      "update changes set position = place, removed = 1 where tenant = old.tenant and kind = 'group' and id = old.id and member = '';",
    ),
  )
  for (const [table, column, kind] of [
    ['members', 'user_id', 'user'],
    ['nested', 'member_id', 'group'],
  ] as const) {
    statements.push(
      ...trigger(
        `${table}_made`,
        `insert on ${table} for each row`,
        'new',
        `insert into changes values (new.tenant, 'member', new.group_id, new.${column}, place, 0, '${kind}')
           on conflict (tenant, kind, id, member) do update set position = excluded.position, removed = 0;`,
      ),
      ...trigger(
        `${table}_removed`,
        `delete on ${table} for each row`,
        'old',
        `update changes set position = place, removed = 1
           where tenant = old.tenant and kind = 'member' and id = old.group_id and member = old.${column};`,
      ),
    )
  }
  return statements
}
