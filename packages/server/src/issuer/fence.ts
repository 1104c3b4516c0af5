import { pairId } from '@caegis/protocol'
import type { Transaction } from 'kysely'
import { isBreakGlass } from '../directory/break-glass.ts'
import type { Log } from '../log.ts'
import { type Committed, runChange } from '../store/change.ts'
import type { Schema } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import type { Attempt, Ending, Mint } from './attempt.ts'
import { changeOf, endingsOf, riskChanges } from './ending.ts'
import { readRows } from './fence-rows.ts'
import { recordDecision } from './record-decision.ts'
import { recordConsent, recordMints } from './record-mints.ts'
import { insertSignal } from './risk-signals.ts'
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
 * A decision may be older than the revocation it races with. So nothing that was minted leaves before this transaction has seen, sharing the lock that every change
 * takes alone, that no row the decision read has moved, that no cutoff covers the new `iat`, and that `iat` is not ahead of the store's clock.
 */
export async function passFence(store: Store, tenant: Tenant, attempt: Attempt): Promise<FenceVerdict> {
  const endings = endingsOf(attempt)
  const risks = riskChanges(tenant, attempt)
  // What ends something, or moves a risk, is a change.
  const shared = risks.length === 0 && endings.every(({ kind }) => kind === 'logout')
  return store.transaction({ tenant: tenant.id, shared, also: alone(tenant, attempt) }, async (db, clock) => {
    const changes: Committed<unknown>[] = []
    const now = Math.floor(clock())
    const rows = await readRows(db, tenant, attempt, now)
    for (const { reading, version } of attempt.readings.values()) {
      if ((await rows.versionOf(reading)) !== version) return { outcome: 'moved' }
    }
    if (await isHeld(db, tenant, rows.stoppedAt, attempt.mints)) return { outcome: 'stopped' }
    // What will come of an edit of before stands at its second: this token was decided after it (threat B12).
    let until = attempt.mints.every(({ stream }) => stream) ? 0 : rows.lastEdit
    for (const mint of attempt.mints) until = Math.max(until, rows.lastCutoff(mint))
    for (const mint of attempt.mints) {
      if (mint.iat <= until) return { outcome: 'covered', until }
      // Ahead of the clock only where the clock fell behind a cutoff: see `instant` in issuer.ts.
      if (mint.iat > clock() && mint.iat > until + 1) return { outcome: 'moved' }
    }
    const writes = [...attempt.writes.values()]
    const kept = writes.flatMap(({ artifact }) => artifact ?? [])
    if (kept.length > 0) await tenant.artifacts.write(db, kept)
    for (const { model, id, artifact } of writes) if (!artifact) await tenant.artifacts.remove(db, model, id)
    for (const grant of attempt.removedGrants) await tenant.artifacts.removeGrant(db, grant)
    for (const consent of attempt.consents) await recordConsent(db, tenant, consent, now)
    for (const mint of attempt.mints) {
      await recordDecision(db, tenant, mint)
      const { agent, iat, exp, appId, device } = mint
      if (agent) await recordDecision(db, tenant, { iat, exp, appId, ...(device === undefined ? {} : { device }), admission: agent })
    }
    if (attempt.signIn?.code === 0) await tenant.signIns.insert(db, attempt.signIn)
    if (attempt.completes) await tenant.signIns.complete(db, attempt.completes.id, attempt.completes.more, attempt.completes.otherwise)
    if (attempt.seen?.outcome === 'success') await insertSignal(db, tenant.id, attempt.seen)
    // Behind what is this user's alone: the rows of the application and of the tenant are everybody's, and held to the end.
    await recordMints(db, tenant, attempt.mints, now)
    for (const change of risks) changes.push(await runChange(db, change, clock(), store.hold))
    for (const ending of endings) {
      if (ending.kind !== 'logout') changes.push(await runChange(db, changeOf(tenant.directory, ending), clock(), store.hold))
    }
    return { outcome: 'passed', endings, changes }
  })
}

/**
 * What no two attempts may do at once, although they share the tenant: read and write the same artifact (a refresh token is spent once, a proof is used once, and what is
 * not there yet is made once), and say what an application holds of a user.
 */
function alone({ artifacts }: Tenant, { readings, writes, mints, consents }: Attempt): string[] {
  const places = [...readings.values()].flatMap(({ reading }) => (reading.table === 'artifact' ? [artifacts.place(reading.model, reading.id)] : []))
  return [
    ...places,
    ...[...writes.values()].map(({ model, id }) => artifacts.place(model, id)),
    ...mints.flatMap(({ user, appId }) => (user === undefined ? [] : [`grant ${pairId(user, appId)}`])),
    ...consents.map(({ user, appId }) => `grant ${pairId(user, appId)}`),
  ]
}

/** Whatever way a token came here: out of a stopped tenant leave those of the streams, and those of its emergency account. */
async function isHeld(db: Transaction<Schema>, tenant: Tenant, stoppedAt: number | null, mints: readonly Mint[]): Promise<boolean> {
  if (mints.every(({ stream }) => stream)) return false
  if (stoppedAt === null) return false
  for (const { stream, user } of mints) if (!stream && !(user !== undefined && (await isBreakGlass(db, tenant.id, user)))) return true
  return false
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
