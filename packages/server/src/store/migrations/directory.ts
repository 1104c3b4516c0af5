import { type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'
import { changePositions, LIST_INDEXES } from '../change-positions.ts'

/** Profiles, guests, LDAP, upstreams, logs and applications. Forward only: a migration that has been released is never edited. */
export const DIRECTORY: Record<string, Migration> = {
  '0030-profiles': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        'alter table users add column mail text',
        'alter table users add column given_name text',
        'alter table users add column surname text',
        `alter table users add column source text not null default ''`,
        'alter table users add column external_id text',
        'create unique index users_external on users (tenant, source, external_id) where external_id is not null and deleted_at is null',
        `alter table groups add column source text not null default ''`,
        'alter table groups add column external_id text',
        'alter table groups add column description text',
        'alter table groups add column created_at integer not null default 0',
        'create unique index groups_external on groups (tenant, source, external_id) where external_id is not null',
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0031-guests': {
    async up(db: Kysely<unknown>): Promise<void> {
      await sql.raw(`alter table users add column type text not null default 'member'`).execute(db)
      await sql.raw('alter table users add column home text').execute(db)
      await sql.raw('create index users_home on users (home) where home is not null').execute(db)
    },
  },
  '0033-ldap': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        'create table ldap_sources (tenant text not null, source text not null, state text not null, primary key (tenant, source))',
        `create table ldap_entries (tenant text not null, source text not null, external_id text not null, user_id text not null, password text,
           held integer not null, primary key (tenant, source, external_id)) without rowid`,
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0035-upstream': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        'alter table events add column origin text',
        'create index users_mail on users (tenant, lower(mail)) where mail is not null and deleted_at is null',
        `create table upstreams (tenant text not null, id text not null, issuer text not null, config text not null, sealed blob not null,
           enabled integer not null, created_at integer not null, state text not null default '{}', primary key (tenant, id), unique (tenant, issuer))`,
        `create table upstream_sets (tenant text not null, upstream text not null, iss text not null, jti text not null, at real not null, event text,
           primary key (tenant, upstream, iss, jti))`,
        'create index upstream_sets_at on upstream_sets (at)',
        `create table upstream_acts (tenant text not null, txn text not null, type text not null, user_id text not null, upstream text not null,
           at integer not null, primary key (tenant, txn, type, user_id))`,
        'create index upstream_acts_at on upstream_acts (at)',
        'create table upstream_holds (tenant text not null, user_id text not null, upstream text not null, primary key (tenant, user_id, upstream))',
        `create table upstream_outcomes (tenant text not null, upstream text not null, outcome text not null, type text not null,
           count integer not null, at integer not null, subject text not null, primary key (tenant, upstream, outcome, type))`,
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0036-graph': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [...changePositions(), ...LIST_INDEXES]) await sql.raw(statement).execute(db)
    },
  },
  '0034-logs': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        // Ids sort by time: the key is the order of the log, and the end of every index on what somebody looks for.
        `create table sign_ins (tenant text not null, id text not null, user_id text, user_name text, app_id text, code integer not null, denied integer not null,
           address text not null, correlation text not null, interactive integer not null, policies text not null, record text not null,
           primary key (tenant, id))`,
        'create index sign_ins_user on sign_ins (tenant, user_id, id) where user_id is not null',
        'create index sign_ins_app on sign_ins (tenant, app_id, id) where app_id is not null',
        'create index sign_ins_correlation on sign_ins (tenant, correlation, id)',
        'create index sign_ins_denied on sign_ins (tenant, denied, id) where denied = 1',
        `create table audits (tenant text not null, id text not null, txn text not null, activity text not null, category text not null,
           result text not null, by_user text, by_app text, record text not null, primary key (tenant, id))`,
        'create index audits_txn on audits (tenant, txn, id)',
        'create index audits_user on audits (tenant, by_user, id) where by_user is not null',
        'create index audits_app on audits (tenant, by_app, id) where by_app is not null',
        'create table audit_targets (tenant text not null, target text not null, id text not null, primary key (tenant, target, id)) without rowid',
        'create index audit_targets_id on audit_targets (tenant, id)',
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0037-applications': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        'alter table applications add column deleted_at integer',
        'create index applications_list on applications (tenant, id) where deleted_at is null',
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0038-claims-depth': {
    async up(db: Kysely<unknown>): Promise<void> {
      const tables = ['tenants', 'users', 'sessions', 'grants', 'devices', 'device_users', 'applications']
      for (const statement of [
        ...tables.map((table) => `alter table ${table} add column claims_from integer not null default 0`),
        `create table cutoffs_by_place (tenant text not null, kind text not null, spares integer not null default 0, id text not null, t integer not null,
           depth text not null, until integer not null, primary key (tenant, kind, spares, id)) without rowid`,
        'insert into cutoffs_by_place select tenant, kind, 0, id, t, depth, until from cutoffs',
        'drop table cutoffs',
        'alter table cutoffs_by_place rename to cutoffs',
        'create index cutoffs_until on cutoffs (until)',
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
}
