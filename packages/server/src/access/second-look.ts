import { fingerprint, type PolicySet } from '@caegis/policy'
import type { Kysely, Selectable } from 'kysely'
import type { Log } from '../log.ts'
import type { DecisionRow, Schema } from '../store/schema.ts'
import { decide } from './admission.ts'
import { type Brought, type Standing, toSignals } from './signals.ts'
import { readDevices, readServicePrincipals, readUsers } from './standing.ts'

export type Kept = Selectable<DecisionRow>

/** What a decision that was kept would be today. */
export interface Look {
  kept: Kept
  outcome: string
  fingerprint: string
  /** Clients or guards would notice the difference. */
  changed: boolean
  /** Ids of policies that are left to the guards now. */
  lateBound: readonly string[]
}

/** Milliseconds of work after which others get their turn. */
const SLICE = 5

/**
 * Decides again: what was brought stays as it was (address, platform, client, proof ...), what the directory says is read anew. What was brought and cannot be read
 * could have been anything, so its decision counts as another one.
 */
export async function lookAgain(db: Kysely<Schema>, tenant: string, set: PolicySet, rows: readonly Kept[], now: number, log: Log): Promise<Look[]> {
  const facts = await readFacts(db, tenant, rows)
  const looks: Look[] = []
  let end = performance.now() + SLICE
  for (const kept of rows) {
    looks.push(lookAt(kept, facts, set, now, log))
    if (performance.now() < end) continue
    await new Promise((resolve) => setImmediate(resolve))
    end = performance.now() + SLICE
  }
  return looks
}

function lookAt(kept: Kept, facts: Facts, set: PolicySet, now: number, log: Log): Look {
  const standing = facts.of(kept)
  // Whoever is deleted was cut off by that; the emergency account stands outside of the policies.
  if (!standing) return { kept, outcome: kept.outcome, fingerprint: kept.fingerprint, changed: false, lateBound: [] }
  try {
    const { at, ...brought } = readSignals(kept.signals)
    // As at the moment of the decision: a sign-in frequency that goes on running changes nothing, a new one does.
    const then = decide(set, brought, toSignals(brought, standing, at))
    const { outcome, lateBound } = decide(set, brought, toSignals(brought, standing, now))
    const mark = fingerprint(then)
    return { kept, outcome, fingerprint: mark, changed: mark !== kept.fingerprint, lateBound: lateBound.map(({ id }) => id) }
  } catch (error) {
    if (kept.signals !== '')
      log.error('a decision that was kept cannot be looked at again', { tenant: kept.tenant, id: kept.id, name: (error as Error).name })
    return { kept, outcome: 'unknown', fingerprint: '', changed: true, lateBound: [] }
  }
}

interface Facts {
  /** `undefined`: no policy is asked about who that is. */
  of(kept: Kept): Standing | undefined
}

async function readFacts(db: Kysely<Schema>, tenant: string, rows: readonly Kept[]): Promise<Facts> {
  const all = (values: (string | null)[]) => [...new Set(values.filter((one) => one !== null))]
  const users = await readUsers(db, tenant, all(rows.map((row) => row.user_id)))
  const devices = await readDevices(db, tenant, all(rows.map((row) => row.device_id)))
  const apps = await readServicePrincipals(db, tenant, all(rows.map((row) => (row.user_id === null ? row.app_id : null))))
  const emergency = await db.selectFrom('users').select('id').where('tenant', '=', tenant).where('break_glass', '=', 1).execute()
  for (const { id } of emergency) users.delete(id)
  return {
    of({ user_id, app_id, device_id }) {
      const device = device_id === null ? null : (devices.get(device_id) ?? null)
      if (user_id === null) {
        const servicePrincipal = apps.get(app_id)
        return servicePrincipal && { servicePrincipal, device }
      }
      const user = users.get(user_id)
      return user && { user, device }
    },
  }
}

/** What was brought, and the second at which it was decided, as `decisions.signals` keeps them. */
export function writeSignals(brought: Brought, at: number): string {
  return JSON.stringify({ ...brought, at })
}

/** @throws for what {@link writeSignals} has not written */
function readSignals(text: string): Brought & { at: number } {
  const kept = JSON.parse(text) as Brought & { at: number }
  if (typeof kept.address !== 'string' || !Array.isArray(kept.contexts) || typeof kept.at !== 'number') throw new TypeError('not what was brought')
  return kept
}
