import { type Outcome, outcomeOf, type SignIn } from '../logs/sign-in.ts'
import { affectedBy, isOf, named, signInsOf } from './affected.ts'
import { initiator } from './audit-logs.ts'
import { type Admitted, authorize } from './caller.ts'
import { GraphError } from './errors.ts'
import type { ChangeProof } from './signals.ts'

/** Whoever is asked for more, or is not let in for another reason than somebody's decision, may go on. */
const WORDS: Record<Outcome, 'signedIn' | 'blocked' | 'interrupted'> = {
  allowed: 'signedIn',
  blocked: 'blocked',
  challenged: 'interrupted',
  failed: 'interrupted',
}
/** Events of a change by which it is told what it is about. */
const EVENTS = 100
/** Sign-ins after it that are looked at, and those that are told of. */
const LOOK = 200
const ANSWERS = 20

export interface ToldProof extends Omit<ChangeProof, 'last' | 'receivers'> {
  receivers: (ChangeProof['receivers'][number] & { displayName: string | null })[]
  /** Of each receiver that has refused something because of it, the first refusal; the earliest first. */
  refusals: { streamId: string; appId: string; displayName: string | null; atDateTime: string; milliseconds: number }[]
}

/** The proof of a change with who did what to whom, and what became of it at the APIs and in the clients. */
export async function tellProof(caller: Admitted, { last: _last, ...proof }: ChangeProof): Promise<ToldProof> {
  const { tenant, signals } = caller
  const audit = await tenant.audits.first(proof.txn)
  const affected = affectedBy(await signals.inspection.events({ txn: proof.txn, limit: EVENTS }), tenant.id)
  const names = await signals.inspection.applicationNames(proof.receivers.map(({ appId }) => appId))
  const committed = Date.parse(proof.committedDateTime)
  // A guard's clock may be behind.
  const since = (at: number) => Math.max(0, at - committed)
  const receivers = proof.receivers.map((one) => ({ ...one, displayName: names.get(one.appId) ?? null }))
  const refusals = receivers.flatMap(({ streamId, appId, displayName, refused }) =>
    refused ? [{ streamId, appId, displayName, atDateTime: refused.at, milliseconds: since(Date.parse(refused.at)) }] : [],
  )
  return {
    ...proof,
    subject: await named(caller, affected),
    activity: audit?.activity ?? null,
    // Where from is for the audit log to say.
    initiatedBy: audit ? initiator({ ...audit.by, address: '' }) : null,
    receivers,
    refusals: refusals.sort((a, b) => a.milliseconds - b.milliseconds),
    ...((await mayReadSignIns(caller)) ? { answers: await answers() } : {}),
  } as ToldProof

  async function answers(): Promise<object[]> {
    const found = (await tenant.signIns.since(committed, signInsOf(affected), LOOK)).filter((one) => isOf(affected, one))
    return firstOnes(found).map(({ id, at, app, code, policies }) => ({
      ...{ signInId: id, atDateTime: new Date(at).toISOString(), milliseconds: since(at) },
      application: { id: app?.id ?? '', displayName: app?.name ?? '' },
      outcome: WORDS[outcomeOf(code)],
      policies:
        code === 0 ? [] : policies.applied.filter(({ result }) => result === 'failure').map((one) => ({ id: one.id, displayName: one.displayName })),
    }))
  }
}

/** Of each application and outcome the first: what a client does for the tenth time says nothing more. */
function firstOnes(found: readonly SignIn[]): SignIn[] {
  const firsts = new Map<string, SignIn>()
  for (const one of found) {
    const key = `${one.user?.id} ${one.app?.id} ${WORDS[outcomeOf(one.code)]}`
    if (!firsts.has(key)) firsts.set(key, one)
  }
  return [...firsts.values()].slice(0, ANSWERS)
}

async function mayReadSignIns(caller: Admitted): Promise<boolean> {
  try {
    await authorize(caller, 'AuditLog.Read.All')
    return true
  } catch (error) {
    if (error instanceof GraphError) return false
    throw error
  }
}

/** Whose sign-ins may be added to it. */
export async function awaited({ signals, tenant }: Admitted, txn: string) {
  return signInsOf(affectedBy(await signals.inspection.events({ txn, limit: EVENTS }), tenant.id))
}
