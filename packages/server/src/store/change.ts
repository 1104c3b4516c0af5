import { randomBytes, randomUUID } from 'node:crypto'
import {
  CaegisError,
  type ComplexSubject,
  type Cutoff,
  type CutoffDepth,
  type CutoffKind,
  EVENT,
  type EventPayload,
  type InitiatingEntity,
  packCutoffs,
  type SimpleSubject,
  type Subject,
} from '@caegis/protocol'
import type { Transaction } from 'kysely'
import { SERVER_ERRORS } from '../errors.ts'
import { type AuditEntry, insertAudits } from './audit.ts'
import type { Schema } from './schema.ts'

/** Who asks for a change. A token's holder is checked again inside the change's own transaction: a decision taken before it may be old. */
export type Actor =
  | { kind: 'system'; reason: string }
  | { kind: 'policy'; reason: string }
  /** Somebody who shows what is to end: the right to end it needs no other proof. What changes a credential names the proof, which must still be good. */
  | { kind: 'holder'; user: string; proof?: Proof; address?: string }
  | { kind: 'user'; id: string; iat: number; sid?: string; appId: string; role: string; seen?: Seen; address?: string }
  | { kind: 'app'; appId: string; iat: number; seen?: Seen; address?: string }

/** What somebody has read and bases a change on: refused when the object has changed since (see change-positions.ts). */
export interface Seen {
  kind: 'user' | 'group' | 'policy' | 'location'
  id: string
  position: number
}

/** A first factor that was proved at `at` (seconds), in a browser session or in a sign-in that is under way. */
export interface Proof {
  at: number
  sid?: string
}

/** What a change cuts off: all tokens of a row, or one token, which has no row and brings its own instants. */
export type Target =
  | { kind: Extract<CutoffKind, 'tenant' | 'user' | 'session' | 'app' | 'device'>; id: string }
  /** The id is a pair: user and application. */
  | { kind: Extract<CutoffKind, 'grant'>; id: string; user: string; app: string }
  /** The id is a pair: user and device. */
  | { kind: Extract<CutoffKind, 'user-device'>; id: string; user: string; device: string }
  | { kind: Extract<CutoffKind, 'token'>; id: string; iat: number; exp: number }

/** A target and how deep it is cut. */
export type Cut = Target & {
  depth: CutoffDepth
  /** Second of an edit that was committed before and whose cutoff this is: it stays there, so that what was given out since lives on (threat B12). */
  t?: number
}

export interface Draft {
  /** In whose log it stands, where that is not the change's own. */
  tenant?: string
  type: (typeof EVENT)[keyof typeof EVENT]
  /** Both forms as they are now: a subject rendered at delivery would follow later edits. `simple` only when the event is about a whole user, a device, or one token. */
  subject: { simple?: Subject; complex: ComplexSubject | SimpleSubject }
  payload?: EventPayload
  /** Why, for an administrator's log. */
  reason: string
  /** What the event cuts off; the instants of that row move with it. */
  cut?: Cut
  /** Many at once, with type `EVENT.cutoffs`: guards get them as lists, each an event of its own; other receivers hear nothing of them. */
  cuts?: readonly Cut[]
  /** Runs inside the transaction once the cutoff's instant is known: for what must outlive it (threat A10). */
  after?(t: number): Promise<void>
}

/** What an edit may do inside its transaction. */
export interface ChangeContext {
  db: Transaction<Schema>
  tenant: string
  /** The cause that the change belongs to. */
  txn: string
  /** Seconds, read from the store's clock under the exclusive lock. */
  now: number
  /** The same with its fraction. */
  at: number
  /** Queues an event. All events of a change are numbered together, last, under the tenant's lock. */
  publish(draft: Draft): void
  /**
   * Says for the audit log what is edited, in words of its own. An edit that only publishes an event is told by that; one that publishes nothing and changes
   * something has to say it here, or nobody will know who did it. Never a secret.
   */
  audit(entry: AuditEntry): void
}

export interface Change<T> {
  tenant: string
  actor: Actor
  /** Cause that this change belongs to; a new one when absent. */
  txn?: string
  /** The application that stands for whom this was learnt from: its streams do not get it back. */
  origin?: string
  edit(context: ChangeContext): Promise<T>
}

export interface Committed<T> {
  result: T
  txn: string
  /** The cutoff instant (seconds) when something was cut off. */
  t?: number
  /** The log's position after the change. */
  seq: number
  /** Other tenants whose logs it wrote to, and where those stand. */
  elsewhere?: { tenant: string; seq: number; t?: number }[]
}

/** Token lifetimes are enforced with some leeway at the APIs; a cutoff is published as long as a token could be accepted there. */
export const EXPIRY_LEEWAY = 60

/**
 * Runs a change inside the transaction `db`: actor, edit, audit record, cutoff instants, events, cutoffs. Nothing of it exists without the rest.
 * @param clock seconds with a fraction, by the store's clock
 * @throws CaegisError `actor_revoked` when the actor lost the right since the request was let in
 */
export async function runChange<T>(
  db: Transaction<Schema>,
  change: Change<T>,
  clock: number,
  /** Takes another tenant's lock too. */
  hold: (db: Transaction<Schema>, tenant: string) => Promise<void>,
): Promise<Committed<T>> {
  const now = Math.floor(clock)
  const { tenant } = change
  const txn = change.txn ?? randomUUID()
  await checkActor(db, tenant, change.actor)
  const drafts: Draft[] = []
  const said: AuditEntry[] = []
  const context = {
    db,
    tenant,
    txn,
    now,
    at: clock,
    publish: (draft: Draft) => void drafts.push(draft),
    audit: (entry: AuditEntry) => void said.push(entry),
  }
  const result = await change.edit(context)

  // In the order of ids, so that two changes that reach the same tenants never wait for each other.
  const logs: Appended[] = []
  for (const one of [...new Set([tenant, ...drafts.map((draft) => draft.tenant ?? tenant)])].sort()) {
    const its = drafts.filter((draft) => (draft.tenant ?? tenant) === one)
    // Where two wait for each other, one of them begins anew.
    if (one !== tenant) await hold(db, one)
    // Another tenant learns what became of its users, and not who works for this one.
    const by: Actor = one === tenant ? change.actor : { kind: 'system', reason: 'the tenant of the user' }
    await insertAudits(db, { tenant: one, txn, actor: by, now: clock }, one === tenant ? said : [], its)
    logs.push(await append(db, { tenant: one, txn, actor: change.actor, origin: one === tenant ? change.origin : undefined }, its, clock))
  }
  const { seq, t } = logs.find((one) => one.tenant === tenant) as Appended
  const elsewhere = logs.filter((one) => one.tenant !== tenant)
  return { result, txn, seq, ...(t === undefined ? {} : { t }), ...(elsewhere.length > 0 ? { elsewhere } : {}) }
}

interface Appended {
  tenant: string
  seq: number
  /** The last cutoff instant among them. */
  t?: number
}

/** Appends events to one tenant's log and places their cutoffs. */
async function append(
  db: Transaction<Schema>,
  { tenant, txn, actor, origin = null }: { tenant: string; txn: string; actor: Actor; origin: string | null | undefined },
  drafts: readonly Draft[],
  clock: number,
): Promise<Appended> {
  const now = Math.floor(clock)
  let t: number | undefined
  // The position is taken last, so that readers never pass a number that commits later.
  const { seq: before } = await db.selectFrom('tenants').select('seq').where('id', '=', tenant).executeTakeFirstOrThrow()
  let seq = before
  for (const draft of await listed(db, tenant, drafts, now)) {
    const cutoff = draft.cut && (await cutOff(db, tenant, draft.cut, now))
    t = cutoff?.t ?? t
    if (cutoff) await draft.after?.(cutoff.t)
    const payload: EventPayload = {
      ...draft.payload,
      event_timestamp: cutoff?.t ?? draft.at ?? now,
      initiating_entity: initiator(actor, draft),
      reason_admin: { en: draft.reason },
      // The type alone says sign-in; receivers of ours read here that a silent refresh may decide.
      ...(draft.type === EVENT.sessionRevoked && draft.cut?.depth === 'access' ? { caegis_depth: 'access' } : {}),
      // And the other way round: a device that is lost says the same as one that is not compliant.
      ...(draft.type === EVENT.deviceComplianceChange && draft.cut?.depth === 'sign-in' ? { caegis_depth: 'sign-in' } : {}),
      ...(draft.cut?.depth === 'claims' ? { caegis_depth: 'claims' } : {}),
      ...(cutoff ? { caegis_until: cutoff.until } : {}),
    }
    seq++
    await db
      .insertInto('events')
      .values({
        tenant,
        seq,
        id: randomBytes(16).toString('base64url'),
        txn,
        type: draft.type,
        at: now,
        ms: Math.floor((clock - now) * 1000),
        subject: JSON.stringify(draft.subject),
        payload: JSON.stringify(payload),
        origin,
        user_id: userOf(draft.subject.complex),
      })
      .execute()
  }
  if (seq !== before) await db.updateTable('tenants').set({ seq }).where('id', '=', tenant).execute()
  return { tenant, seq, ...(t === undefined ? {} : { t }) }
}

/** Each draft of many cutoffs as drafts of lists, as many as there are SETs. */
async function listed(db: Transaction<Schema>, tenant: string, drafts: readonly Draft[], now: number): Promise<(Draft & { at?: number })[]> {
  const found: (Draft & { at?: number })[] = []
  for (const { cuts, ...draft } of drafts) {
    if (!cuts) found.push(draft)
    else {
      const cutoffs: Cutoff[] = []
      for (const cut of cuts) {
        const { t, until } = await cutOff(db, tenant, cut, now)
        if (until + EXPIRY_LEEWAY > now) cutoffs.push({ issuer: '', kind: cut.kind, id: cut.id, t, depth: cut.depth, until })
      }
      const at = Math.max(...cutoffs.map(({ t }) => t))
      for (const rows of packCutoffs(cutoffs)) found.push({ ...draft, payload: { ...draft.payload, cutoffs: rows }, at })
    }
  }
  return found
}

/** Whom an event is about, for who looks for it. */
function userOf(subject: Draft['subject']['complex']): string | null {
  const user = subject.format === 'complex' ? (subject as ComplexSubject).user : undefined
  if (user?.format === 'iss_sub') return String(user.sub)
  return user?.format === 'opaque' ? String(user.id) : null
}

/** Moves the instants of a row, and keeps the cutoff for those who hydrate, unless no token lives that it could hit. */
async function cutOff(db: Transaction<Schema>, tenant: string, cut: Cut, now: number): Promise<{ t: number; until: number }> {
  const cutoff = await moveInstants(db, tenant, cut, now)
  if (cutoff.until + EXPIRY_LEEWAY > now) await saveCutoff(db, tenant, cut, cutoff)
  return cutoff
}

/** CAEP 1.0 section 2: whoever acts on their own account is a user, whatever else they may do. */
function initiator(actor: Actor, { subject }: Draft): InitiatingEntity {
  if (actor.kind === 'system' || actor.kind === 'policy') return actor.kind
  if (actor.kind === 'holder') return 'user'
  const user = subject.complex.format === 'complex' ? (subject.complex as ComplexSubject).user : undefined
  return actor.kind === 'user' && user?.format === 'iss_sub' && user.sub === actor.id ? 'user' : 'admin'
}

async function checkActor(db: Transaction<Schema>, tenant: string, actor: Actor): Promise<void> {
  if (actor.kind === 'system' || actor.kind === 'policy') return
  if (actor.kind === 'holder') return actor.proof && checkProof(db, tenant, actor.user, actor.proof)
  const refuse = (detail: string) => new CaegisError('actor_revoked', SERVER_ERRORS.actor_revoked, { detail })
  // A cutoff of depth `claims` is no matter here: it says that the holder is still let in, and what the holder may do is read anew.
  const dead = (row: { valid_from: number; access_from: number }) => actor.iat <= Math.max(row.valid_from, row.access_from)
  const home = await db.selectFrom('tenants').select(['valid_from', 'access_from']).where('id', '=', tenant).executeTakeFirst()
  const app = await db
    .selectFrom('applications')
    .select(['enabled', 'valid_from', 'access_from'])
    .where('tenant', '=', tenant)
    .where('app_id', '=', actor.appId)
    .executeTakeFirst()
  if (!home || !app || app.enabled === 0 || dead(home) || dead(app)) throw refuse('application')
  if (actor.seen) await checkSeen(db, tenant, actor.seen)
  if (actor.kind === 'app') return
  const user = await db
    .selectFrom('users')
    .select(['enabled', 'roles', 'valid_from', 'access_from'])
    .where('tenant', '=', tenant)
    .where('id', '=', actor.id)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  if (!user || user.enabled === 0 || dead(user)) throw refuse('user')
  if (!(JSON.parse(user.roles) as string[]).includes(actor.role)) throw refuse('role')
  if (actor.sid === undefined) return
  const session = await db
    .selectFrom('sessions')
    .select(['valid_from', 'access_from'])
    .where('tenant', '=', tenant)
    .where('id', '=', actor.sid)
    .executeTakeFirst()
  if (session && dead(session)) throw refuse('session')
}

async function checkSeen(db: Transaction<Schema>, tenant: string, { kind, id, position }: Seen): Promise<void> {
  if (kind === 'policy' || kind === 'location') {
    // These rows know the version of their last edit themselves.
    const rows = db.selectFrom(kind === 'policy' ? 'policies' : 'locations').select('version')
    const row = await rows.where('tenant', '=', tenant).where('id', '=', id).executeTakeFirst()
    if (row?.version !== position) throw new CaegisError('changed_meanwhile', SERVER_ERRORS.changed_meanwhile)
    return
  }
  const found = db.selectFrom('changes').select('position').where('tenant', '=', tenant).where('kind', '=', kind).where('id', '=', id)
  const now = await found.where('member', '=', '').executeTakeFirst()
  if (now?.position !== position) throw new CaegisError('changed_meanwhile', SERVER_ERRORS.changed_meanwhile)
}

/** The page judged the proof a moment ago; a revocation may have come since. */
async function checkProof(db: Transaction<Schema>, tenant: string, user: string, { at, sid }: Proof): Promise<void> {
  const rows = [
    await db.selectFrom('tenants').select('valid_from').where('id', '=', tenant).executeTakeFirst(),
    await db
      .selectFrom('users')
      .select('valid_from')
      .where('tenant', '=', tenant)
      .where('id', '=', user)
      .where('enabled', '=', 1)
      .where('deleted_at', 'is', null)
      .executeTakeFirst(),
  ]
  if (rows.includes(undefined)) throw new CaegisError('actor_revoked', SERVER_ERRORS.actor_revoked, { detail: 'user' })
  if (sid !== undefined) {
    rows.push(await db.selectFrom('sessions').select('valid_from').where('tenant', '=', tenant).where('id', '=', sid).executeTakeFirst())
  }
  if (rows.some((row) => row !== undefined && at <= row.valid_from)) {
    throw new CaegisError('actor_revoked', SERVER_ERRORS.actor_revoked, { detail: 'proof' })
  }
}

/** The columns of a row's cutoffs, one for each depth. */
const COLUMNS = { claims: 'claims_from', access: 'access_from', 'sign-in': 'valid_from' } as const satisfies Record<CutoffDepth, string>
export const INSTANTS = Object.values(COLUMNS)
type InstantColumns = Record<(typeof INSTANTS)[number], number>

/** The last second at which anything was cut off under a row: nothing is issued at or before it. */
export function lastInstant(row: InstantColumns | undefined): number {
  return row ? Math.max(row.valid_from, row.access_from, row.claims_from) : 0
}

/** The same for one token: one without cp1 is spared what is of depth `claims`. */
export function lastInstantFor(row: InstantColumns | undefined, capable: boolean): number {
  return row ? Math.max(row.valid_from, row.access_from, capable ? row.claims_from : 0) : 0
}

/**
 * Places the cutoff: never below an earlier one of the same row and never below an `iat` that was minted under it, whatever the clock says now; that of an edit
 * that was committed before stands where it said. An instant of a row never goes back. The row's version moves too, so that every decision that read it is seen to be old.
 */
async function moveInstants(db: Transaction<Schema>, tenant: string, cut: Cut, now: number): Promise<{ t: number; until: number }> {
  const read = [...INSTANTS, 'last_iat', 'tokens_until', 'version'] as const
  const column = COLUMNS[cut.depth]
  const place = (row: InstantColumns & { last_iat: number }) => cut.t ?? Math.max(now, lastInstant(row), row.last_iat)
  const set = (row: InstantColumns & { version: number }, t: number) => ({ [column]: Math.max(t, row[column]), version: row.version + 1 })
  switch (cut.kind) {
    case 'token':
      return { t: cut.t ?? Math.max(now, cut.iat), until: cut.exp }
    case 'user': {
      const row = await db.selectFrom('users').select(read).where('tenant', '=', tenant).where('id', '=', cut.id).executeTakeFirstOrThrow()
      const t = place(row)
      await db.updateTable('users').set(set(row, t)).where('tenant', '=', tenant).where('id', '=', cut.id).execute()
      return { t, until: row.tokens_until }
    }
    case 'session': {
      const row = await db.selectFrom('sessions').select(read).where('tenant', '=', tenant).where('id', '=', cut.id).executeTakeFirstOrThrow()
      const t = place(row)
      await db.updateTable('sessions').set(set(row, t)).where('tenant', '=', tenant).where('id', '=', cut.id).execute()
      return { t, until: row.tokens_until }
    }
    case 'app': {
      const row = await db.selectFrom('applications').select(read).where('tenant', '=', tenant).where('app_id', '=', cut.id).executeTakeFirstOrThrow()
      const t = place(row)
      await db.updateTable('applications').set(set(row, t)).where('tenant', '=', tenant).where('app_id', '=', cut.id).execute()
      return { t, until: row.tokens_until }
    }
    case 'grant': {
      const row = await db
        .selectFrom('grants')
        .select(read)
        .where('tenant', '=', tenant)
        .where('user_id', '=', cut.user)
        .where('app_id', '=', cut.app)
        .executeTakeFirstOrThrow()
      const t = place(row)
      await db
        .updateTable('grants')
        .set(set(row, t))
        .where('tenant', '=', tenant)
        .where('user_id', '=', cut.user)
        .where('app_id', '=', cut.app)
        .execute()
      return { t, until: row.tokens_until }
    }
    case 'device': {
      const row = await db.selectFrom('devices').select(read).where('tenant', '=', tenant).where('id', '=', cut.id).executeTakeFirstOrThrow()
      const t = place(row)
      await db.updateTable('devices').set(set(row, t)).where('tenant', '=', tenant).where('id', '=', cut.id).execute()
      return { t, until: row.tokens_until }
    }
    case 'user-device': {
      const row = await db
        .selectFrom('device_users')
        .select(read)
        .where('tenant', '=', tenant)
        .where('user_id', '=', cut.user)
        .where('device_id', '=', cut.device)
        .executeTakeFirstOrThrow()
      const t = place(row)
      await db
        .updateTable('device_users')
        .set(set(row, t))
        .where('tenant', '=', tenant)
        .where('user_id', '=', cut.user)
        .where('device_id', '=', cut.device)
        .execute()
      return { t, until: row.tokens_until }
    }
    case 'tenant': {
      const row = await db.selectFrom('tenants').select(read).where('id', '=', cut.id).executeTakeFirstOrThrow()
      const t = place(row)
      await db.updateTable('tenants').set(set(row, t)).where('id', '=', cut.id).execute()
      return { t, until: row.tokens_until }
    }
  }
}

/** Later wins, whatever the order: the row that guards hydrate from. */
async function saveCutoff(db: Transaction<Schema>, tenant: string, cut: Cut, { t, until }: { t: number; until: number }): Promise<void> {
  await db
    .insertInto('cutoffs')
    .values({ tenant, kind: cut.kind, spares: cut.depth === 'claims' ? 1 : 0, id: cut.id, t, depth: cut.depth, until })
    .onConflict((conflict) =>
      conflict.columns(['tenant', 'kind', 'spares', 'id']).doUpdateSet((eb) => ({
        t: eb.fn<number>('greatest', ['cutoffs.t', 'excluded.t']),
        until: eb.fn<number>('greatest', ['cutoffs.until', 'excluded.until']),
        depth: cut.depth === 'sign-in' ? 'sign-in' : eb.ref('cutoffs.depth'),
      })),
    )
    .execute()
}
