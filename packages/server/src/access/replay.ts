import { type Decision, decideAt, fingerprint, type PolicySet, type Signals } from '@caegis/policy'
import type { Kysely } from 'kysely'
import type { SignIn } from '../logs/sign-in.ts'
import type { Schema } from '../store/schema.ts'
import { type Brought, type Standing, toSignals } from './signals.ts'
import { readDevices, readServicePrincipals, readUsers } from './standing.ts'

/** A sign-in of the log as policies see it: what was brought as it was, what the directory says as it is now. */
export interface Replayed {
  record: SignIn
  brought: Brought
  signals: Signals
}

/** Sign-ins that were decided by policies; of others (a wrong password, somebody who is gone) there is nothing to ask again. */
export async function replaySignIns(db: Kysely<Schema>, tenant: string, records: readonly SignIn[]): Promise<Replayed[]> {
  const asked = records.filter((one): one is SignIn & { brought: Brought } => one.brought !== undefined)
  const all = (values: (string | undefined)[]) => [...new Set(values.filter((one) => one !== undefined))]
  const users = await readUsers(db, tenant, all(asked.map(({ user }) => user?.id)))
  const apps = await readServicePrincipals(db, tenant, all(asked.map(({ kind, app }) => (kind === 'servicePrincipal' ? app?.id : undefined))))
  const devices = await readDevices(db, tenant, all(asked.map(({ device }) => device?.id)))
  return asked.flatMap((record): Replayed[] => {
    const user = users.get(record.user?.id ?? '')
    const servicePrincipal = record.kind === 'servicePrincipal' ? apps.get(record.app?.id ?? '') : undefined
    if (!user && !servicePrincipal) return []
    const standing: Standing = {
      device: devices.get(record.device?.id ?? '') ?? null,
      ...(user ? { user } : {}),
      ...(servicePrincipal ? { servicePrincipal } : {}),
    }
    const { brought } = record
    return [{ record, brought, signals: toSignals(brought, standing, record.at / 1000) }]
  })
}

/** What a change of the policies would have meant for these sign-ins. */
export interface Impact {
  looked: number
  changed: number
  /** Of those that were let in: they would have been blocked, or asked for more. */
  blocked: number
  interrupted: number
  /** Of those that were not: they would have been let in. */
  allowed: number
  /** The newest ones. */
  examples: { id: string; before: Decision['outcome']; after: Decision['outcome'] }[]
}

const EXAMPLES = 20

export function compareSets(replayed: readonly Replayed[], before: PolicySet, after: PolicySet): Impact {
  const impact: Impact = { looked: replayed.length, changed: 0, blocked: 0, interrupted: 0, allowed: 0, examples: [] }
  for (const { record, brought, signals } of replayed) {
    const [old, fresh] = [decideAt(before, signals, brought.seen), decideAt(after, signals, brought.seen)]
    if (fingerprint(old) === fingerprint(fresh)) continue
    impact.changed++
    if (old.outcome !== fresh.outcome) {
      if (fresh.outcome === 'block') impact.blocked++
      else if (fresh.outcome === 'require') impact.interrupted++
      else impact.allowed++
    }
    if (impact.examples.length < EXAMPLES) impact.examples.push({ id: record.id, before: old.outcome, after: fresh.outcome })
  }
  return impact
}
