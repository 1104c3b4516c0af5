import { type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'

/** What administrators look at: figures, settings, lists. Forward only: a migration that has been released is never edited. */
export const OVERVIEW: Record<string, Migration> = {
  '0060-commit-milliseconds': {
    async up(db: Kysely<unknown>): Promise<void> {
      await sql.raw('alter table events add column ms integer not null default 0').execute(db)
    },
  },
  '0061-tenant-settings': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        "alter table tenants add column token_lifetimes text not null default '{}'",
        'alter table tenants add column log_retention integer',
        // Whom an event is about, for who looks for it; what is about nobody in particular is not in it.
        `create index events_user on events (tenant, subject ->> '$.complex.user.sub', seq) where subject ->> '$.complex.user.sub' is not null`,
        // Who came from elsewhere, to be counted.
        "create index users_source on users (tenant, source) where source <> '' and deleted_at is null",
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0062-activity': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        // One word for each decision, and how many it stands for: what a chart counts, out of the index alone.
        "alter table sign_ins add column outcome text not null default 'failed'",
        'alter table sign_ins add column times integer not null default 1',
        `update sign_ins set times = coalesce(record ->> 'count', 1), outcome = case when code = 0 then 'allowed'
           when code in (50057, 53000, 53001, 53002, 53003, 135011, 5000224) then 'blocked'
           when code in (50055, 50058, 50074, 50076, 50079, 50133, 50135, 50173, 65001, 70043, 70044) then 'challenged' else 'failed' end`,
        'create index sign_ins_outcome on sign_ins (tenant, outcome, id, times)',
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0063-delivery-counts': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        `create table delivery_counts (tenant text not null, stream text not null, hour integer not null, acked integer not null, applied integer not null,
           failed integer not null, primary key (tenant, stream, hour)) without rowid`,
        'create index delivery_counts_hour on delivery_counts (hour)',
        // First refusals are few among what was delivered, and the proof of a change looks for them among all of its events.
        "create index deliveries_refused on deliveries (tenant, seq, stream) where state = 'refused'",
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0064-device-lists': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        'create index devices_name on devices (tenant, lower(display_name)) where deleted_at is null',
        'create index devices_used on devices (tenant, last_iat) where deleted_at is null',
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0065-few-users': {
    async up(db: Kysely<unknown>): Promise<void> {
      // Few among many, whom people who administer a directory look for.
      for (const statement of [
        'create index users_disabled on users (tenant, lower(display_name), id) where enabled = 0 and deleted_at is null',
        "create index users_guests on users (tenant, lower(display_name), id) where type = 'guest' and deleted_at is null",
        "create index users_at_risk on users (tenant, lower(display_name), id) where risk_level <> 'none' and deleted_at is null",
        "create index users_with_roles on users (tenant, id) where roles <> '[]' and deleted_at is null",
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0066-rights-by-member': {
    async up(db: Kysely<unknown>): Promise<void> {
      // With all of their columns: without statistics, SQLite takes any index that it need not look behind before one that fits better.
      for (const statement of [
        'drop index members_user',
        'create index members_user on members (tenant, user_id, group_id)',
        'drop index nested_member',
        'create index nested_member on nested (tenant, member_id, group_id)',
        'drop index assignments_principal',
        'create index assignments_principal on assignments (tenant, principal_id, app_id, role)',
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0068-plain-columns': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        // What was an expression of SQLite's own.
        'alter table events add column user_id text',
        `update events set user_id = coalesce(subject ->> '$.complex.user.sub', subject ->> '$.complex.user.id')`,
        'drop index events_user',
        'create index events_user on events (tenant, user_id, seq) where user_id is not null',
        // Jobs of one second have an order too; those that are running stand in that of their rows.
        'alter table reevaluations add column asked real not null default 0',
        'update reevaluations set asked = created_at + rowid / 1e6',
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
}
