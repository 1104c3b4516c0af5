/** Columns of a table whose change is a change of the object, and the names that the admin API has for them. */
export const WATCHED = {
  users: {
    ...{
      upn: 'userPrincipalName',
      display_name: 'displayName',
      enabled: 'accountEnabled',
      mail: 'mail',
      given_name: 'givenName',
      surname: 'surname',
    },
    ...{ type: 'userType', password_at: 'lastPasswordChangeDateTime', valid_from: 'signInSessionsValidFromDateTime', deleted_at: '_deleted' },
  },
  groups: { display_name: 'displayName', description: 'description' },
}

const next = (row: 'new' | 'old') => `update tenants set changes = changes + 1 where id = ${row}.tenant`
const here = (row: 'new' | 'old') => `(select changes from tenants where id = ${row}.tenant)`

/**
 * Why triggers: whoever edits a row, in whatever transaction, moves the position with it; none can forget it, and none is without the other. The counter is the
 * tenant's own, so that two changes never share a position and a later commit never has an earlier one.
 */
export function changePositions(): string[] {
  const statements = [
    'alter table tenants add column changes integer not null default 0',
    `create table changes (tenant text not null, kind text not null, id text not null, member text not null, position integer not null,
       removed integer not null, parts text not null, primary key (tenant, kind, id, member)) without rowid`,
    'create index changes_position on changes (tenant, position)',
    `insert into changes select tenant, kind, id, member, row_number() over (partition by tenant order by kind, id, member), removed, parts from (
       select tenant, 'user' as kind, id, '' as member, deleted_at is not null as removed, '{}' as parts from users
       union all select tenant, 'group', id, '', 0, '{}' from groups
       union all select tenant, 'member', group_id, user_id, 0, 'user' from members
       union all select tenant, 'member', group_id, member_id, 0, 'group' from nested)`,
    'update tenants set changes = coalesce((select max(position) from changes where changes.tenant = tenants.id), 0)',
  ]
  for (const [table, kind] of [
    ['users', 'user'],
    ['groups', 'group'],
  ] as const) {
    const columns = Object.entries(WATCHED[table])
    const parts = columns.map(([column, name]) => `case when new.${column} is not old.${column} then '$.${name}' else '$.x' end, ${here('new')}`)
    statements.push(
      `create trigger ${table}_made after insert on ${table} begin
         ${next('new')};
         insert into changes select new.tenant, '${kind}', new.id, '', changes, 0, json_object('_', changes) from tenants where id = new.tenant;
       end`,
      `create trigger ${table}_changed after update of ${columns.map(([column]) => column).join(', ')} on ${table}
       when ${columns.map(([column]) => `new.${column} is not old.${column}`).join(' or ')} begin
         ${next('new')};
         update changes set position = ${here('new')}, removed = ${table === 'users' ? 'new.deleted_at is not null' : '0'}, parts = json_set(parts, ${parts.join(', ')})
           where tenant = new.tenant and kind = '${kind}' and id = new.id and member = '';
       end`,
    )
  }
  statements.push(`create trigger groups_removed after delete on groups begin
    ${next('old')};
    update changes set position = ${here('old')}, removed = 1 where tenant = old.tenant and kind = 'group' and id = old.id and member = '';
  end`)
  for (const [table, column, kind] of [
    ['members', 'user_id', 'user'],
    ['nested', 'member_id', 'group'],
  ] as const) {
    statements.push(
      `create trigger ${table}_made after insert on ${table} begin
         ${next('new')};
         insert into changes select new.tenant, 'member', new.group_id, new.${column}, changes, 0, '${kind}' from tenants where id = new.tenant
           on conflict (tenant, kind, id, member) do update set position = excluded.position, removed = 0;
       end`,
      `create trigger ${table}_removed after delete on ${table} begin
         ${next('old')};
         update changes set position = ${here('old')}, removed = 1
           where tenant = old.tenant and kind = 'member' and id = old.group_id and member = old.${column};
       end`,
    )
  }
  return statements
}

/** What lists are filtered and ordered by; each serves one kind of query. */
export const LIST_INDEXES = [
  'create index users_listed_name on users (tenant, lower(display_name), id) where deleted_at is null',
  'create index users_listed_upn on users (tenant, upn_key, id) where deleted_at is null',
  'create index users_listed_made on users (tenant, created_at, id) where deleted_at is null',
  'create index users_listed_mail on users (tenant, lower(mail)) where deleted_at is null',
  'create index users_listed_given on users (tenant, lower(given_name)) where deleted_at is null',
  'create index users_listed_surname on users (tenant, lower(surname)) where deleted_at is null',
  'create index users_living on users (tenant, id) where deleted_at is null',
  'create index groups_listed_name on groups (tenant, lower(display_name), id)',
]
