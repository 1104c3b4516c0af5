import type { Transaction } from 'kysely'
import { isBreakGlass } from '../directory/break-glass.ts'
import type { Log } from '../log.ts'
import { type Committed, INSTANTS, lastInstant, runChange } from '../store/change.ts'
import type { Schema } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import type { Attempt, Ending, Mint, Reading } from './attempt.ts'
import { changeOf, endingsOf } from './ending.ts'
import { tokenVersion } from './facts.ts'
import { recordDecision } from './record-decision.ts'
import type { Tenant } from './tenant.ts'

/**
 * What the fence says of an attempt.
 * `passed`: its writes are stored and what it ends has ended, the answer may leave. `moved`: something that it read was edited since, decide again.
 * `covered`: a cutoff covers the instant of its tokens, decide again once the clock is past `until`. `stopped`: the tenant is, and this is not let out of it.
 */
export type FenceVerdict =
  | { outcome: 'passed'; endings: Ending[]; changes: Committed<unknown>[] }
  | { outcome: 'moved' }
  | { outcome: 'covered'; until: number }
  | { outcome: 'stopped' }

/**
 * A decision may be older than the revocation it races with. So nothing that was minted leaves before this transaction has seen, under the lock that every change
 * takes, that no row the decision read has moved, that no cutoff covers the new `iat`, and that `iat` is not ahead of the store's clock.
 */
export async function passFence(store: Store, tenant: Tenant, attempt: Attempt): Promise<FenceVerdict> {
  const endings = endingsOf(attempt)
  return store.transaction(async (db) => {
    const changes: Committed<unknown>[] = []
    const now = Math.floor(store.clock())
    for (const { reading, version } of attempt.readings.values()) {
      if ((await versionOf(db, tenant, reading, now)) !== version) return { outcome: 'moved' }
    }
    if (await isHeld(db, tenant, attempt.mints)) return { outcome: 'stopped' }
    // What will come of an edit of before stands at its second: this token was decided after it (threat B12).
    let until = attempt.mints.every(({ stream }) => stream) ? 0 : await lastEdit(db, tenant.id)
    for (const mint of attempt.mints) until = Math.max(until, await lastCutoff(db, tenant, mint))
    for (const mint of attempt.mints) {
      if (mint.iat <= until) return { outcome: 'covered', until }
      // Ahead of the clock only where the clock fell behind a cutoff: see `instant` in issuer.ts.
      if (mint.iat > store.clock() && mint.iat > until + 1) return { outcome: 'moved' }
    }
    for (const { model, id, artifact } of attempt.writes.values()) {
      if (artifact) await tenant.artifacts.write(db, artifact)
      else await tenant.artifacts.remove(db, model, id)
    }
    for (const grant of attempt.removedGrants) await tenant.artifacts.removeGrant(db, grant)
    for (const consent of attempt.consents) await recordConsent(db, tenant, consent, now)
    for (const mint of attempt.mints) await recordMint(db, tenant, mint, now)
    for (const mint of attempt.mints) await recordDecision(db, tenant, mint)
    if (attempt.signIn?.code === 0) await tenant.signIns.insert(db, attempt.signIn)
    if (attempt.completes) await tenant.signIns.complete(db, attempt.completes.id, attempt.completes.more, attempt.completes.otherwise)
    for (const ending of endings) {
      if (ending.kind !== 'logout') changes.push(await runChange(db, changeOf(tenant.directory, ending), store.clock()))
    }
    return { outcome: 'passed', endings, changes }
  })
}

/** Second of the last edit whose consequences for the whole tenant are not worked out yet. */
async function lastEdit(db: Transaction<Schema>, tenant: string): Promise<number> {
  const running = db.selectFrom('reevaluations').where('tenant', '=', tenant).where('state', '=', 'running').where('scope', 'is', null)
  return (await running.select((eb) => eb.fn.max<number | null>('t').as('t')).executeTakeFirst())?.t ?? 0
}

/** Whatever way a token came here: out of a stopped tenant leave those of the streams, and those of its emergency account. */
async function isHeld(db: Transaction<Schema>, tenant: Tenant, mints: readonly Mint[]): Promise<boolean> {
  if (mints.every(({ stream }) => stream)) return false
  const home = await db.selectFrom('tenants').select('stopped_at').where('id', '=', tenant.id).executeTakeFirst()
  if (home?.stopped_at == null) return false
  for (const { stream, user } of mints) if (!stream && !(user !== undefined && (await isBreakGlass(db, tenant.id, user)))) return true
  return false
}

/** 0 where there is no such row. */
async function versionOf(db: Transaction<Schema>, tenant: Tenant, reading: Reading, now: number): Promise<number> {
  switch (reading.table) {
    case 'artifact':
      return tenant.artifacts.version(db, reading.model, reading.id, now)
    case 'tenant':
      return (await db.selectFrom('tenants').select('version').where('id', '=', reading.id).executeTakeFirst())?.version ?? 0
    case 'policies':
      return (await db.selectFrom('tenants').select('policies_version').where('id', '=', reading.id).executeTakeFirst())?.policies_version ?? 0
    case 'app': {
      const row = db.selectFrom('applications').select('version').where('tenant', '=', tenant.id).where('app_id', '=', reading.id)
      return (await row.where('deleted_at', 'is', null).executeTakeFirst())?.version ?? 0
    }
    case 'user':
      return (
        (await db.selectFrom('users').select('version').where('tenant', '=', tenant.id).where('id', '=', reading.id).executeTakeFirst())?.version ?? 0
      )
    case 'home': {
      const row = db.selectFrom('users').select('version').where('tenant', '=', reading.tenant).where('id', '=', reading.id)
      return (await row.where('deleted_at', 'is', null).executeTakeFirst())?.version ?? 0
    }
    case 'device':
      return (
        (await db.selectFrom('devices').select('version').where('tenant', '=', tenant.id).where('id', '=', reading.id).executeTakeFirst())?.version ??
        0
      )
    case 'user-device':
      return (await pairOf(db, tenant, reading.user, reading.device))?.version ?? 0
    case 'token':
      return tokenVersion(db, tenant, reading.id)
    case 'grant':
      return (await grantOf(db, tenant, reading.user, reading.app))?.version ?? 0
    case 'session':
      return (
        (await db.selectFrom('sessions').select('version').where('tenant', '=', tenant.id).where('id', '=', reading.id).executeTakeFirst())
          ?.version ?? 0
      )
  }
}

/** The latest cutoff, of any depth, under any of the token's keys. One of the whole tenant does not concern its streams. */
async function lastCutoff(db: Transaction<Schema>, tenant: Tenant, mint: Mint): Promise<number> {
  const rows = [
    mint.stream ? undefined : await db.selectFrom('tenants').select(INSTANTS).where('id', '=', tenant.id).executeTakeFirst(),
    await db.selectFrom('applications').select(INSTANTS).where('tenant', '=', tenant.id).where('app_id', '=', mint.appId).executeTakeFirst(),
    mint.user === undefined
      ? undefined
      : await db.selectFrom('users').select(INSTANTS).where('tenant', '=', tenant.id).where('id', '=', mint.user).executeTakeFirst(),
    mint.sid === undefined
      ? undefined
      : await db.selectFrom('sessions').select(INSTANTS).where('tenant', '=', tenant.id).where('id', '=', mint.sid).executeTakeFirst(),
  ]
  for (const appId of mint.actors ?? [])
    rows.push(await db.selectFrom('applications').select(INSTANTS).where('tenant', '=', tenant.id).where('app_id', '=', appId).executeTakeFirst())
  if (mint.device !== undefined) {
    rows.push(await db.selectFrom('devices').select(INSTANTS).where('tenant', '=', tenant.id).where('id', '=', mint.device).executeTakeFirst())
    if (mint.user !== undefined) rows.push(await pairOf(db, tenant, mint.user, mint.device))
  }
  if (mint.user !== undefined) for (const appId of [mint.appId, ...(mint.actors ?? [])]) rows.push(await grantOf(db, tenant, mint.user, appId))
  return Math.max(...rows.map(lastInstant))
}

function pairOf(db: Transaction<Schema>, tenant: Tenant, user: string, device: string) {
  return db
    .selectFrom('device_users')
    .select(['version', ...INSTANTS])
    .where('tenant', '=', tenant.id)
    .where('user_id', '=', user)
    .where('device_id', '=', device)
    .executeTakeFirst()
}

function grantOf(db: Transaction<Schema>, tenant: Tenant, user: string, app: string) {
  return db
    .selectFrom('grants')
    .select(['version', ...INSTANTS, 'scopes', 'consented'])
    .where('tenant', '=', tenant.id)
    .where('user_id', '=', user)
    .where('app_id', '=', app)
    .executeTakeFirst()
}

/** What an application holds of a user. The version stays: more of the same makes no decision old. */
async function recordGrant(
  db: Transaction<Schema>,
  tenant: Tenant,
  user: string,
  { iat, exp, appId, scopes = [] }: Mint,
  now: number,
): Promise<void> {
  const known = await grantOf(db, tenant, user, appId)
  const all = union(known?.scopes, scopes)
  await db
    .insertInto('grants')
    .values({ tenant: tenant.id, user_id: user, app_id: appId, scopes: all, created_at: now, last_iat: iat, tokens_until: exp })
    .onConflict((conflict) =>
      conflict.columns(['tenant', 'user_id', 'app_id']).doUpdateSet((eb) => ({
        scopes: all,
        last_iat: eb.fn<number>('max', ['grants.last_iat', eb.val(iat)]),
        tokens_until: eb.fn<number>('max', ['grants.tokens_until', eb.val(exp)]),
      })),
    )
    .execute()
}

/** What the user agreed to, now and before. */
async function recordConsent(
  db: Transaction<Schema>,
  tenant: Tenant,
  { user, appId, scopes }: Attempt['consents'][number],
  now: number,
): Promise<void> {
  const consented = union((await grantOf(db, tenant, user, appId))?.consented, scopes)
  await db
    .insertInto('grants')
    .values({ tenant: tenant.id, user_id: user, app_id: appId, scopes: '[]', consented, created_at: now })
    .onConflict((conflict) => conflict.columns(['tenant', 'user_id', 'app_id']).doUpdateSet({ consented }))
    .execute()
}

/** A JSON array, longer by what is new. */
function union(known: string | undefined, more: readonly string[]): string {
  return JSON.stringify([...new Set([...(JSON.parse(known ?? '[]') as string[]), ...more])].sort())
}

/** The same for what the token was given to, and for the user on it. */
async function recordDevice(db: Transaction<Schema>, tenant: Tenant, device: string, { iat, exp, user }: Mint, now: number): Promise<void> {
  await db
    .updateTable('devices')
    .set((eb) => ({ last_iat: eb.fn<number>('max', ['last_iat', eb.val(iat)]), tokens_until: eb.fn<number>('max', ['tokens_until', eb.val(exp)]) }))
    .where('tenant', '=', tenant.id)
    .where('id', '=', device)
    .execute()
  if (user === undefined) return
  await db
    .insertInto('device_users')
    .values({ tenant: tenant.id, user_id: user, device_id: device, created_at: now, last_iat: iat, tokens_until: exp })
    .onConflict((conflict) =>
      conflict.columns(['tenant', 'user_id', 'device_id']).doUpdateSet((eb) => ({
        last_iat: eb.fn<number>('max', ['device_users.last_iat', eb.val(iat)]),
        tokens_until: eb.fn<number>('max', ['device_users.tokens_until', eb.val(exp)]),
      })),
    )
    .execute()
}

/** Remembers the greatest `iat` and `exp` under each key: where the next cutoff must not be placed below, and until when it can hit something. */
async function recordMint(db: Transaction<Schema>, tenant: Tenant, mint: Mint, now: number): Promise<void> {
  const { iat, exp, appId, actors = [], user, sid, authTime, device } = mint
  if (user !== undefined && appId !== '') await recordGrant(db, tenant, user, mint, now)
  if (device !== undefined) await recordDevice(db, tenant, device, mint, now)
  if (user !== undefined && sid !== undefined) {
    await db
      .insertInto('sessions')
      .values({ tenant: tenant.id, id: sid, user_id: user, auth_time: authTime ?? iat, created_at: now })
      .onConflict((conflict) => conflict.columns(['tenant', 'id']).doUpdateSet({ auth_time: authTime ?? iat }))
      .execute()
    await db
      .updateTable('sessions')
      .set((eb) => ({ last_iat: eb.fn<number>('max', ['last_iat', eb.val(iat)]), tokens_until: eb.fn<number>('max', ['tokens_until', eb.val(exp)]) }))
      .where('tenant', '=', tenant.id)
      .where('id', '=', sid)
      .execute()
  }
  if (user !== undefined) {
    await db
      .updateTable('users')
      .set((eb) => ({ last_iat: eb.fn<number>('max', ['last_iat', eb.val(iat)]), tokens_until: eb.fn<number>('max', ['tokens_until', eb.val(exp)]) }))
      .where('tenant', '=', tenant.id)
      .where('id', '=', user)
      .execute()
  }
  if (user !== undefined && actors.length > 0) {
    await db
      .updateTable('grants')
      .set((eb) => ({ last_iat: eb.fn<number>('max', ['last_iat', eb.val(iat)]), tokens_until: eb.fn<number>('max', ['tokens_until', eb.val(exp)]) }))
      .where('tenant', '=', tenant.id)
      .where('user_id', '=', user)
      .where('app_id', 'in', actors)
      .execute()
  }
  await db
    .updateTable('applications')
    .set((eb) => ({ last_iat: eb.fn<number>('max', ['last_iat', eb.val(iat)]), tokens_until: eb.fn<number>('max', ['tokens_until', eb.val(exp)]) }))
    .where('tenant', '=', tenant.id)
    .where('app_id', 'in', [appId, ...actors])
    .execute()
  await db
    .updateTable('tenants')
    .set((eb) => ({ last_iat: eb.fn<number>('max', ['last_iat', eb.val(iat)]), tokens_until: eb.fn<number>('max', ['tokens_until', eb.val(exp)]) }))
    .where('id', '=', tenant.id)
    .execute()
}

/** Seconds that a request waits for the clock to pass a cutoff; a larger gap is a fault of the clock. */
export const MAX_WAIT = 2

/** How long to wait before deciding again, and which instant to stamp when waiting would take too long. */
export function nextInstant(now: number, until: number, log: Log): { waitMs: number; iat?: number } {
  const waitMs = Math.max(0, Math.ceil((until + 1 - now) * 1000))
  if (waitMs <= MAX_WAIT * 1000) return { waitMs }
  log.error('the clock is behind a cutoff: check the clocks of this machine and its store', { behindSeconds: Math.ceil(waitMs / 1000) })
  return { waitMs: 0, iat: until + 1 }
}
