import { contextsMet, fingerprint, type Signals } from '@caegis/policy'
import { type Admission, admit, decide, OPEN } from '../access/admission.ts'
import { type Brought, proofOf, type Standing } from '../access/signals.ts'
import { readDevices, readServicePrincipals, readUsers } from '../access/standing.ts'
import { ADMIN_API, type Application } from '../directory/application.ts'
import { isHigher, type RiskLevel } from '../risk/levels.ts'
import type { Store } from '../store/store.ts'
import { currentAttempt, note, once } from './attempt.ts'
import { readUser } from './facts.ts'
import type { Resource } from './resources.ts'
import type { Tenant } from './tenant.ts'

/** What is asked of the policies. */
export interface Ask {
  client: Pick<Application, 'appId' | 'type'>
  /** Absent: an ID token alone is asked for. */
  resource?: Resource | undefined
  /** Absent for a daemon. */
  user?: string
  proof?: { at: number; amr: readonly string[] }
  /** Authentication contexts that are asked for by name: without them there is nothing to give. */
  contexts?: readonly string[]
  flow?: Brought['flow']
  /** URN of a user action, instead of an application. */
  action?: string
  /** Where the person is, when it is not they who call. */
  address?: string
  /** What the API saw, proved by its evidence. */
  seen?: Brought['seen']
}

/**
 * Asks the policies as they stand. What they look at is noted: an edit of a policy, of a location or of who asks, that comes meanwhile, makes the fence decide again
 * (threat D1). The emergency account stands outside of them, and so do the streams that carry revocations.
 */
export async function admitBy(store: Store, tenant: Tenant, ask: Ask): Promise<Admission> {
  const attempt = currentAttempt()
  const page = await once('policies', () => tenant.book.current())
  note(attempt, { table: 'policies', id: tenant.id }, page.version)
  const brought = bring(tenant, ask)
  const open = { decision: OPEN, version: page.version, at: store.clock(), brought }
  const user = ask.user === undefined ? undefined : await readUser(store, tenant, ask.user)
  if (user?.breakGlass || ask.resource?.kind === 'signals') return open
  // Without policies there is nothing to look at; what was brought is kept for the first one.
  if (page.policies.length === 0) return open
  const standing = await once(`standing of ${ask.user ?? ask.client.appId} on ${attempt.device ?? ''}`, () => readStanding(store, tenant, ask))
  return admit(page, brought, standing, store.clock())
}

/**
 * Adds the contexts that are met beside those that were asked for: what the grant was begun with, and all of them where the API wants to be told (so that it need
 * not ask). Only what changes nothing else of the decision is added, or a context with a short sign-in frequency would shorten every token.
 */
export async function addContexts(tenant: Tenant, { decision, version, at, brought, signals }: Admission, resource: Resource): Promise<Admission> {
  const { contexts: kept = [] } = currentAttempt()
  const wants = resource.optionalClaims?.includes('acrs') === true
  if (!signals) return { decision, version, at, brought: { ...brought, contexts: [...new Set([...brought.contexts, ...kept])] } }
  if (kept.length === 0 && !wants) return { decision, version, at, brought, signals }
  const { set } = await once('policies', () => tenant.book.current())
  const mark = fingerprint(decision)
  const granted = [...brought.contexts]
  for (const context of new Set([...kept, ...(wants ? contextsMet(set, signals) : [])])) {
    if (granted.includes(context)) continue
    const more: Signals = { ...signals, contexts: [...granted, context] }
    if (fingerprint(decide(set, brought, more)) === mark) granted.push(context)
  }
  const all = { ...brought, contexts: granted }
  const final = { ...signals, contexts: granted }
  return { decision: decide(set, all, final), version, at, brought: all, signals: final }
}

function bring(
  tenant: Tenant,
  { client, resource, user, proof, contexts = [], flow, action, seen, address = currentAttempt().address }: Ask,
): Brought {
  const { platform, signInRisk } = currentAttempt()
  const country = tenant.countryOf(address)
  return {
    ...{ contexts, address },
    ...(action === undefined ? { application: resource ? (resource.appId ?? ADMIN_API) : client.appId } : { action }),
    ...(country === undefined ? {} : { country }),
    ...(seen ? { seen } : {}),
    ...(platform === undefined ? {} : { platform }),
    ...(user === undefined
      ? {}
      : { clientAppType: client.type === 'native' || flow === 'deviceCodeFlow' ? 'mobileAppsAndDesktopClients' : 'browser' }),
    ...(user === undefined || !signInRisk || signInRisk.level === 'unknown' ? {} : { signInRisk: signInRisk.level }),
    flow: flow ?? 'none',
    ...(proof ? { proof: proofOf(proof.at, proof.amr) } : {}),
  }
}

async function readStanding({ db }: Store, { id }: Tenant, { user, client }: Ask): Promise<Standing> {
  const { device } = currentAttempt()
  const known = device === undefined ? undefined : (await readDevices(db, id, [device])).get(device)
  const found = user === undefined ? undefined : (await readUsers(db, id, [user])).get(user)
  const principal = user === undefined ? (await readServicePrincipals(db, id, [client.appId])).get(client.appId) : undefined
  return { device: known ?? null, ...(found ? { user: withForeseen(found) } : {}), ...(principal ? { servicePrincipal: principal } : {}) }
}

/** What this very attempt has found about the user, or answered, is not in the row yet. */
function withForeseen(user: NonNullable<Standing['user']>): NonNullable<Standing['user']> {
  const { foreseen } = currentAttempt()
  if (foreseen?.user !== user.id) return user
  const { risk, rises } = foreseen
  const before = user.risk as RiskLevel
  const isNews = rises ? isHigher(risk, before) : isHigher(before, risk)
  return isNews ? { ...user, risk, ...(rises ? { passwordChanged: false } : {}) } : user
}
