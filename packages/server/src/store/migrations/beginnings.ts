import { type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'
import { DECISIVE } from './decisive.ts'

/** Loop, sign-in, groups, keys, consent and devices. Forward only: a migration that has been released is never edited. */
export const BEGINNINGS: Record<string, Migration> = {
  '0001-the-loop': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        `create table tenants (id text primary key, name text not null unique, display_name text not null, epoch text not null,
           seq integer not null default 0, created_at integer not null, ${DECISIVE})`,
        `create table users (tenant text not null, id text not null, upn text not null, upn_key text not null, display_name text not null,
           enabled integer not null, password text, password_at integer, roles text not null, created_at integer not null, deleted_at integer,
           ${DECISIVE}, primary key (tenant, id))`,
        'create unique index users_upn on users (tenant, upn_key) where deleted_at is null',
        'create index users_name on users (tenant, display_name)',
        'create table groups (tenant text not null, id text not null, display_name text not null, primary key (tenant, id), unique (tenant, display_name))',
        'create table members (tenant text not null, group_id text not null, user_id text not null, primary key (tenant, group_id, user_id))',
        'create index members_user on members (tenant, user_id)',
        `create table applications (tenant text not null, id text not null, app_id text not null, display_name text not null, type text not null,
           enabled integer not null, cae integer not null, secret text, redirect_uris text not null, identifier_uris text not null,
           scopes text not null, permissions text not null, ${DECISIVE}, primary key (tenant, id), unique (tenant, app_id))`,
        `create table sessions (tenant text not null, id text not null, user_id text not null, auth_time integer not null,
           created_at integer not null, ${DECISIVE}, primary key (tenant, id))`,
        'create index sessions_user on sessions (tenant, user_id)',
        `create table keys (tenant text not null, kid text not null, alg text not null, sealed blob not null, public text not null,
           created_at integer not null, primary key (tenant, kid))`,
        `create table artifacts (tenant text not null, model text not null, id text not null, sealed blob not null, grant_id text, uid text,
           user_code text, expires_at integer not null, version integer not null, primary key (tenant, model, id))`,
        'create index artifacts_grant on artifacts (tenant, grant_id) where grant_id is not null',
        'create index artifacts_uid on artifacts (tenant, model, uid) where uid is not null',
        'create index artifacts_code on artifacts (tenant, user_code) where user_code is not null',
        'create index artifacts_expiry on artifacts (expires_at)',
        `create table events (tenant text not null, seq integer not null, id text not null, txn text not null, type text not null,
           at integer not null, subject text not null, payload text not null, primary key (tenant, seq))`,
        'create unique index events_id on events (tenant, id)',
        'create index events_txn on events (tenant, txn)',
        `create table cutoffs (tenant text not null, kind text not null, id text not null, t integer not null, depth text not null,
           until integer not null, primary key (tenant, kind, id))`,
        'create index cutoffs_until on cutoffs (until)',
        `create table streams (tenant text not null, id text not null, receiver text not null, config text not null, progress text not null,
           primary key (tenant, id))`,
        'create index streams_receiver on streams (tenant, receiver)',
        `create table controls (tenant text not null, stream text not null, id text not null, event text not null,
           primary key (tenant, stream, id))`,
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0002-deliveries': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        `create table dead_letters (tenant text not null, stream text not null, id text not null, letter text not null, seq integer not null,
           primary key (tenant, stream, id))`,
        `create table deliveries (tenant text not null, stream text not null, seq integer not null, state text not null, jti text not null, txn text,
           at real not null, attempt integer not null, reason text, primary key (tenant, seq, stream, state))`,
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0003-emergency-stop': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        'alter table tenants add column stopped_at integer',
        'alter table tenants add column issuer text',
        'alter table users add column break_glass integer not null default 0',
        'create index users_break_glass on users (tenant) where break_glass = 1',
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0004-cutoffs-by-key': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        // A snapshot reads all of them in the order of their key: a million look-ups of rows that lie elsewhere took four times as long.
        `create table cutoffs_by_key (tenant text not null, kind text not null, id text not null, t integer not null, depth text not null,
           until integer not null, primary key (tenant, kind, id)) without rowid`,
        'insert into cutoffs_by_key select tenant, kind, id, t, depth, until from cutoffs',
        'drop table cutoffs',
        'alter table cutoffs_by_key rename to cutoffs',
        'create index cutoffs_until on cutoffs (until)',
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0010-signin': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        `create table throttles (tenant text not null, key text not null, failures integer not null, at integer not null, until integer not null,
           primary key (tenant, key)) without rowid`,
        `create table factors (tenant text not null, user_id text not null, id text not null, kind text not null, sealed blob not null, name text not null,
           created_at integer not null, last_used_at integer, primary key (tenant, user_id, id))`,
        'alter table users add column password_expired integer not null default 0',
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0011-grants': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        `create table revoked_tokens (tenant text not null, jti text not null, owner text not null, sid text, until integer not null,
           primary key (tenant, jti))`,
        'create index revoked_tokens_owner on revoked_tokens (tenant, owner)',
        'create index revoked_tokens_until on revoked_tokens (until)',
        `create table grants (tenant text not null, user_id text not null, app_id text not null, scopes text not null, created_at integer not null,
           ${DECISIVE}, primary key (tenant, user_id, app_id))`,
        'alter table applications add column logout_uri text',
        'alter table applications add column logout_session integer not null default 0',
        'alter table applications add column consent integer not null default 0',
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0012-directory': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        `create table credentials (tenant text not null, app_id text not null, id text not null, kind text not null, value text not null,
           display_name text not null, not_before integer not null, expires_at integer, primary key (tenant, app_id, id))`,
        `insert into credentials select tenant, app_id, 'file', 'secret', secret, 'tenant file', 0, null from applications where secret is not null`,
        'alter table applications add column confidential integer not null default 0',
        'update applications set confidential = 1 where secret is not null',
        'alter table applications drop column secret',
        `alter table applications add column optional_claims text not null default '[]'`,
        'create table nested (tenant text not null, group_id text not null, member_id text not null, primary key (tenant, group_id, member_id))',
        'create index nested_member on nested (tenant, member_id)',
        `create table assignments (tenant text not null, app_id text not null, role text not null, principal_id text not null,
           primary key (tenant, app_id, role, principal_id))`,
        'create index assignments_principal on assignments (tenant, principal_id)',
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0013-keys': {
    async up(db: Kysely<unknown>): Promise<void> {
      await sql.raw('alter table keys add column active_from integer not null default 0').execute(db)
      await sql.raw('update keys set active_from = created_at').execute(db)
    },
  },
  '0021-consent': {
    async up(db: Kysely<unknown>): Promise<void> {
      await sql.raw(`alter table grants add column consented text not null default '[]'`).execute(db)
    },
  },
  '0022-devices': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        `create table devices (tenant text not null, id text not null, display_name text not null, user_id text, enabled integer not null,
           compliant integer, trust_type text not null, public text not null, created_at integer not null, deleted_at integer,
           ${DECISIVE}, primary key (tenant, id))`,
        `create table device_users (tenant text not null, user_id text not null, device_id text not null, created_at integer not null,
           ${DECISIVE}, primary key (tenant, user_id, device_id))`,
        'create index device_users_device on device_users (tenant, device_id)',
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
}
