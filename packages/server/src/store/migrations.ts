import { type Kysely, sql } from 'kysely'
import { type Migration, type MigrationProvider, Migrator } from 'kysely/migration'
import { changePositions, LIST_INDEXES } from './change-positions.ts'
import type { Schema } from './schema.ts'

/** Columns that every deciding row has; see `Decisive` in schema.ts. */
const DECISIVE = `version integer not null default 1, valid_from integer not null default 0, access_from integer not null default 0,
  last_iat integer not null default 0, tokens_until integer not null default 0`

/** Forward only: a migration that has been released is never edited. */
const MIGRATIONS: Record<string, Migration> = {
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
}

MIGRATIONS['0002-deliveries'] = {
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
}

MIGRATIONS['0003-emergency-stop'] = {
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
}

MIGRATIONS['0004-cutoffs-by-key'] = {
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
}

MIGRATIONS['0010-signin'] = {
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
}

MIGRATIONS['0011-grants'] = {
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
}

MIGRATIONS['0012-directory'] = {
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
}

MIGRATIONS['0013-keys'] = {
  async up(db: Kysely<unknown>): Promise<void> {
    await sql.raw('alter table keys add column active_from integer not null default 0').execute(db)
    await sql.raw('update keys set active_from = created_at').execute(db)
  },
}

MIGRATIONS['0021-consent'] = {
  async up(db: Kysely<unknown>): Promise<void> {
    await sql.raw(`alter table grants add column consented text not null default '[]'`).execute(db)
  },
}

MIGRATIONS['0022-devices'] = {
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
}

MIGRATIONS['0030-profiles'] = {
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
}

MIGRATIONS['0031-guests'] = {
  async up(db: Kysely<unknown>): Promise<void> {
    await sql.raw(`alter table users add column type text not null default 'member'`).execute(db)
    await sql.raw('alter table users add column home text').execute(db)
    await sql.raw('create index users_home on users (home) where home is not null').execute(db)
  },
}

MIGRATIONS['0033-ldap'] = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of [
      'create table ldap_sources (tenant text not null, source text not null, state text not null, primary key (tenant, source))',
      `create table ldap_entries (tenant text not null, source text not null, external_id text not null, user_id text not null, password text,
         held integer not null, primary key (tenant, source, external_id)) without rowid`,
    ]) {
      await sql.raw(statement).execute(db)
    }
  },
}

MIGRATIONS['0035-upstream'] = {
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
}

MIGRATIONS['0036-graph'] = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of [...changePositions(), ...LIST_INDEXES]) await sql.raw(statement).execute(db)
  },
}

MIGRATIONS['0034-logs'] = {
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
}

MIGRATIONS['0037-applications'] = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of [
      'alter table applications add column deleted_at integer',
      'create index applications_list on applications (tenant, id) where deleted_at is null',
    ]) {
      await sql.raw(statement).execute(db)
    }
  },
}

MIGRATIONS['0038-claims-depth'] = {
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
}

MIGRATIONS['0040-access'] = {
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
}

MIGRATIONS['0041-reevaluation'] = {
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
}

MIGRATIONS['0042-marks'] = {
  async up(db: Kysely<unknown>): Promise<void> {
    await sql.raw('alter table decisions add column marks integer not null default 0').execute(db)
  },
}

MIGRATIONS['0043-decision-indexes'] = {
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
}

MIGRATIONS['0044-dpop'] = {
  async up(db: Kysely<unknown>): Promise<void> {
    await sql.raw('alter table applications add column dpop_bound integer not null default 0').execute(db)
  },
}

MIGRATIONS['0050-risk-signals'] = {
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
}

MIGRATIONS['0051-risk-detections'] = {
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
}

MIGRATIONS['0052-own-devices'] = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of [
      'alter table devices add column registered_from text',
      'create index devices_owner on devices (user_id) where user_id is not null',
    ]) {
      await sql.raw(statement).execute(db)
    }
  },
}

MIGRATIONS['0060-commit-milliseconds'] = {
  async up(db: Kysely<unknown>): Promise<void> {
    await sql.raw('alter table events add column ms integer not null default 0').execute(db)
  },
}

MIGRATIONS['0061-tenant-settings'] = {
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
}

MIGRATIONS['0062-activity'] = {
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
}

MIGRATIONS['0063-delivery-counts'] = {
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
}

MIGRATIONS['0064-device-lists'] = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of [
      'create index devices_name on devices (tenant, lower(display_name)) where deleted_at is null',
      'create index devices_used on devices (tenant, last_iat) where deleted_at is null',
    ]) {
      await sql.raw(statement).execute(db)
    }
  },
}

MIGRATIONS['0065-few-users'] = {
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
}

MIGRATIONS['0066-rights-by-member'] = {
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
}

const provider: MigrationProvider = { getMigrations: async () => MIGRATIONS }

export async function migrate(db: Kysely<Schema>): Promise<void> {
  // Versions in between have known later ones without the earlier: they do not depend on each other.
  const { error } = await new Migrator({ db, provider, allowUnorderedMigrations: true }).migrateToLatest()
  if (error) throw error
}
