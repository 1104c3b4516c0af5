import { type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'

/** Conditional Access, DPoP and risk. Forward only: a migration that has been released is never edited. */
export const ACCESS: Record<string, Migration> = {
  '0040-access': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        'alter table tenants add column policies_version integer not null default 0',
        `create table policies (tenant text not null, id text not null, name text not null, state text not null, body text not null, version integer not null,
           created_at integer not null, changed_at integer, deleted_at integer, primary key (tenant, id))`,
        'create index policies_name on policies (tenant, name) where deleted_at is null',
        `create table locations (tenant text not null, id text not null, name text not null, kind text not null, trusted integer not null, body text not null,
           ranges text not null default '', version integer not null, created_at integer not null, changed_at integer, deleted_at integer,
           primary key (tenant, id))`,
        'create index locations_name on locations (tenant, name) where deleted_at is null',
        `create table contexts (tenant text not null, id text not null, display_name text not null, description text, available integer not null,
           primary key (tenant, id))`,
        `create table decisions (tenant text not null, id text not null, user_id text, sid text, app_id text not null, resource text not null, device_id text,
           capable integer not null, version integer not null, tokens_until integer not null, outcome text not null, fingerprint text not null,
           signals text not null, primary key (tenant, id)) without rowid`,
        'create index decisions_version on decisions (tenant, version, tokens_until)',
        'create index decisions_user on decisions (tenant, user_id, version) where user_id is not null',
        'create index decisions_until on decisions (tokens_until)',
        `create table reevaluations (tenant text not null, id text not null, reason text not null, t integer not null, version integer not null, scope text,
           state text not null, total integer not null default 0, done integer not null default 0, changed integer not null default 0,
           created_at integer not null, ended_at integer, primary key (tenant, id))`,
        "create index reevaluations_running on reevaluations (tenant, version) where state = 'running'",
        // What detections and administrators think of a user: see directory/risk.ts.
        "alter table users add column risk_level text not null default 'none'",
        "alter table users add column risk_state text not null default 'none'",
        'alter table users add column risk_detail text',
        'alter table users add column risk_at integer',
        'create index users_risk on users (tenant, risk_at, id) where risk_at is not null',
        "alter table applications add column risk_level text not null default 'none'",
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0041-reevaluation': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        'alter table decisions add column job text',
        'create index decisions_job on decisions (tenant, job) where job is not null',
        'create index decisions_device on decisions (tenant, device_id) where device_id is not null',
        'create index decisions_app on decisions (tenant, app_id) where user_id is null',
        'alter table reevaluations add column lost integer not null default 0',
        // What was given out before decisions were kept: nobody knows by which facts, so any edit of a policy may change it.
        `insert into decisions (tenant, id, user_id, sid, app_id, resource, capable, version, tokens_until, outcome, fingerprint, signals)
           select tenant, 'session ' || id, user_id, id, '', '', 0, 0, tokens_until, 'allow', '', '' from sessions where tokens_until > unixepoch()
           union all select tenant, 'app ' || app_id, null, null, app_id, '', 0, 0, tokens_until, 'allow', '', '' from applications where tokens_until > unixepoch()`,
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0042-marks': {
    async up(db: Kysely<unknown>): Promise<void> {
      await sql.raw('alter table decisions add column marks integer not null default 0').execute(db)
    },
  },
  '0043-decision-indexes': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        // With the tenant in front, SQLite takes the primary key instead, and looks at everything of the tenant.
        ...['user', 'job', 'device', 'app'].map((one) => `drop index decisions_${one}`),
        'create index decisions_user on decisions (user_id) where user_id is not null',
        'create index decisions_job on decisions (job) where job is not null',
        'create index decisions_device on decisions (device_id) where device_id is not null',
        'create index decisions_app on decisions (app_id) where user_id is null',
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0044-dpop': {
    async up(db: Kysely<unknown>): Promise<void> {
      await sql.raw('alter table applications add column dpop_bound integer not null default 0').execute(db)
    },
  },
  '0050-risk-signals': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        `create table risk_signals (tenant text not null, id text not null, at integer not null, kind text not null, outcome text not null, user_id text,
           name text, address text not null, network text not null, country text, place text, browser text, device_id text, sign_in text,
           doubted integer not null default 0, passwordless integer not null default 0, primary key (tenant, id)) without rowid`,
        // Each of these answers a question of every sign-in, newest first.
        'create index risk_signals_user on risk_signals (user_id, kind, outcome, at) where user_id is not null',
        "create index risk_signals_network on risk_signals (tenant, network, at) where network <> ''",
        'create index risk_signals_at on risk_signals (at)',
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0051-risk-detections': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        `create table risk_detections (tenant text not null, id text not null, user_id text not null, user_name text not null, user_display_name text not null,
           type text not null, level text not null, about text not null, state text not null, detail text not null, why text not null, facts text not null,
           sign_in text, correlation text not null, address text not null, country text, activity_at integer not null, detected_at integer not null,
           updated_at integer not null, primary key (tenant, id)) without rowid`,
        'create index risk_detections_user on risk_detections (user_id, id)',
        "create index risk_detections_open on risk_detections (user_id) where state = 'atRisk'",
        'create index risk_detections_at on risk_detections (tenant, detected_at)',
        `create table risk_history (tenant text not null, id text not null, user_id text not null, at integer not null, level text not null, state text not null,
           detail text not null, by text, events text not null, primary key (tenant, id)) without rowid`,
        'create index risk_history_user on risk_history (user_id, id)',
        "alter table tenants add column risk_off text not null default '[]'",
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0052-own-devices': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        'alter table devices add column registered_from text',
        'create index devices_owner on devices (user_id) where user_id is not null',
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
}
