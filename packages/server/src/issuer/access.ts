import { type ClaimsRequest, parseClaimsRequest } from '@caegis/protocol'
import { errors, interactionPolicy } from 'oidc-provider'
import type { Admission } from '../access/admission.ts'
import { outcomeOf } from '../access/outcome.ts'
import { codeOf, refusalOf } from '../access/refusal.ts'
import { readUsers } from '../access/standing.ts'
import type { Application } from '../directory/application.ts'
import { ACCOUNT_APP_ID } from '../directory/own-pages.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'
import { addContexts, admitBy } from './admit.ts'
import { currentAttempt } from './attempt.ts'
import { readProved } from './evidence.ts'
import { readApplication, readResources } from './facts.ts'
import { OIDC_SCOPES, type Resource, resourceOf } from './resources.ts'
import { isDoubted } from './sign-in-risk.ts'
import type { Tenant } from './tenant.ts'

/** What a code, a refresh token or a device code remembers. */
export interface HeldGrant {
  kind?: string
  authTime?: number
  amr?: string[]
  iat?: number
  sessionUid?: string
  clientId?: string
  scope?: string
  resource?: string | string[]
  gty?: string
}

/** What an authorization request asks for, as it came or as its half-done sign-in remembers it. */
export interface SignInRequest {
  params: Record<string, unknown>
  /** Somebody approves a device's sign-in. */
  device: boolean
}

/** Asks the policies about somebody who has proved so much by now; contexts are kept with what comes of it. */
export async function admitSignIn(
  tenant: Tenant,
  store: Store,
  { params, device }: SignInRequest,
  user: string,
  proof: { at: number; amr: readonly string[] },
): Promise<Admission> {
  const attempt = currentAttempt()
  const clientId = String(params.client_id ?? '')
  const client = (await readApplication(tenant, clientId)) ?? { appId: clientId, type: 'web' as const }
  const scopes = String(params.scope ?? '')
    .split(' ')
    .filter((one) => one !== '' && !OIDC_SCOPES.includes(one))
  const found = scopes.length > 0 ? resourceOf(scopes, await readResources(tenant)) : undefined
  const contexts = contextsAsked(params)
  if (contexts.length > 0) attempt.contexts = contexts
  const resource = found === 'several' ? undefined : found
  const admission = await admitBy(store, tenant, { client, resource, user, proof, contexts, flow: device ? 'deviceCodeFlow' : 'none' })
  traceAdmission(admission)
  return admission
}

/** The contexts that an authorization request names: `acrs` of its claims (Microsoft's way), and `acr_values` (RFC 9470 section 4). */
function contextsAsked({ claims, acr_values: values }: Record<string, unknown>): string[] {
  const words = typeof values === 'string' ? values.split(' ') : []
  return [...new Set([...(readClaims(claims)?.acrs ?? []), ...words])].filter(isContext)
}

/** The ids that authentication contexts can have. */
export const isContext = (one: string) => /^c[1-9]\d?$/.test(one)

function readClaims(claims: unknown): ClaimsRequest | undefined {
  try {
    return parseClaimsRequest(typeof claims === 'string' ? claims : undefined)
  } catch {
    return undefined
  }
}

/** An API asked for a sign-in that is newer than the session's: OpenID Connect's `max_age`, in the claims that a challenge carries. */
export function signInAge(store: Store): interactionPolicy.Check {
  const { Check } = interactionPolicy
  return new Check('sign_in_age', 'the sign-in is older than an API allows', 'login_required', async (ctx) => {
    const { session, result, params } = ctx.oidc
    const maxAge = readClaims(params?.claims)?.maxAge
    if (maxAge === undefined || !session?.accountId || result?.login) return Check.NO_NEED_TO_PROMPT
    return isOld(store, session.loginTs, maxAge) ? Check.REQUEST_PROMPT : Check.NO_NEED_TO_PROMPT
  })
}

function isOld(store: Store, signedInAt: number | undefined, maxAge: number): boolean {
  return store.clock() - (signedInAt ?? 0) > maxAge
}

/** @throws InvalidGrant for a sign-in that is older than the request allows */
function checkAge(store: Store, signedInAt: number | undefined): void {
  const attempt = currentAttempt()
  const { maxAge } = attempt.claims
  if (maxAge === undefined || !isOld(store, signedInAt, maxAge)) return
  attempt.denial = { reason: 'sign-in-old' }
  throw new errors.InvalidGrant('the sign-in is too old')
}

export type Registration = 'urn:user:registersecurityinfo' | 'urn:user:registerdevice'

/**
 * Asks whether somebody may register what they prove later, or what they sign in from, having proved so much. A user at high risk may not, nor anybody whose
 * sign-in is doubted: whoever has the password would register their own second factor, and end the risk by it.
 */
export async function admitRegistration(
  tenant: Tenant,
  store: Store,
  user: string,
  { at, amr }: { at: number; amr: readonly string[] },
  action: Registration = 'urn:user:registersecurityinfo',
): Promise<Admission['decision']> {
  const client = { appId: ACCOUNT_APP_ID, type: 'web' as const }
  const asked = { client, user, proof: { at, amr }, action }
  const { decision, signals } = await admitBy(store, tenant, asked)
  // Without policies nobody has looked at it yet.
  const userRisk = signals ? signals.userRisk : (await readUsers(store.db, tenant.id, [user])).get(user)?.risk
  const { signInRisk } = currentAttempt()
  const isRisky = userRisk === 'high' || (signInRisk !== undefined && isDoubted(signInRisk))
  return isRisky ? { ...decision, outcome: 'block' } : decision
}

/** After the sign-in and before the consent: what policies ask of who is signed in. The page looks again at what is missing. */
export function accessPrompt(tenant: Tenant, store: Store): interactionPolicy.Prompt {
  const { Check, Prompt } = interactionPolicy
  return new Prompt(
    { name: 'access' },
    // For the page, which sees a part of the session only.
    async (ctx) => ({ at: ctx.oidc.session?.loginTs, amr: ctx.oidc.session?.amr ?? [] }),
    new Check('policy', 'a policy asks for more', 'interaction_required', async (ctx) => {
      const { session, params = {}, route } = ctx.oidc
      if (!session?.accountId) return Check.NO_NEED_TO_PROMPT
      const request = { params, device: /^(code|device)_/.test(route) }
      const proof = { at: session.loginTs ?? 0, amr: session.amr ?? [] }
      const { decision } = await admitSignIn(tenant, store, request, session.accountId, proof)
      if (decision.session.persistentBrowser) session.transient = decision.session.persistentBrowser === 'never'
      if (decision.outcome === 'allow') return Check.NO_NEED_TO_PROMPT
      if (params.prompt === 'none') {
        const { code, text } = refusalOf(decision, { enrolled: await isEnrolled(tenant, session.accountId) })
        throw new errors.InteractionRequired(`CAE${code}: ${text}`)
      }
      return Check.REQUEST_PROMPT
    }),
  )
}

/** Asks about a code, a refresh token or a device code that is redeemed. @throws InvalidGrant, with the reason in the attempt */
export async function admitGrant(tenant: Tenant, store: Store, secrets: Secrets, user: string, held: HeldGrant): Promise<void> {
  const { authTime, amr = [], clientId = '', sessionUid = '', gty = '' } = held
  const uri = [held.resource].flat()[0]
  const resource = uri === undefined ? undefined : (await readResources(tenant)).find((one) => one.uri === uri)
  const client = await readApplication(tenant, clientId)
  // Judged before: nothing is issued to a proof without an instant, or to no client.
  if (authTime === undefined || !client) throw new errors.InvalidGrant('the grant is incomplete')
  checkAge(store, authTime)
  const seen = resource && readProved(tenant, store, secrets, { sid: sessionUid, azp: clientId, resource })
  const isDevice = held.kind === 'DeviceCode' || gty.includes('device_code')
  await settle(tenant, resource, { user }, () =>
    admitBy(store, tenant, {
      ...{ client, resource, user, contexts: currentAttempt().claims.acrs.filter(isContext) },
      ...{ proof: { at: authTime, amr }, flow: isDevice ? 'deviceCodeFlow' : 'none', ...(seen ? { seen } : {}) },
    }),
  )
}

/** The same where a daemon asks, or an API in the name of who called it. */
export async function admitToken(tenant: Tenant, store: Store, client: Application, resource: Resource): Promise<void> {
  const attempt = currentAttempt()
  if (attempt.admission) return
  const { onBehalf } = attempt
  if (onBehalf) checkAge(store, onBehalf.authTime)
  if (onBehalf?.agent) {
    await settle(tenant, undefined, { workload: true }, () => admitBy(store, tenant, { client, resource }))
    if (attempt.admission) attempt.agentAdmission = attempt.admission
  }
  const contexts = attempt.claims.acrs.filter(isContext)
  await settle(tenant, resource, { ...(onBehalf ? { user: onBehalf.user } : {}), workload: true }, () =>
    admitBy(store, tenant, {
      ...{ client, resource, contexts },
      ...(onBehalf ? { user: onBehalf.user, address: onBehalf.address ?? '', proof: { at: onBehalf.authTime ?? 0, amr: onBehalf.amr ?? [] } } : {}),
      ...(onBehalf?.flow ? { flow: onBehalf.flow } : {}),
    }),
  )
}

async function settle(
  tenant: Tenant,
  resource: Resource | undefined,
  { user, workload }: { user?: string; workload?: true },
  ask: () => Promise<Admission>,
): Promise<void> {
  const attempt = currentAttempt()
  const asked = await ask()
  const admission = asked.decision.outcome === 'allow' && resource ? await addContexts(tenant, asked, resource) : asked
  const { decision } = admission
  traceAdmission(admission)
  if (decision.outcome === 'allow') {
    attempt.admission = admission
    return
  }
  const enrolled = user === undefined || codeOf(decision, { enrolled: false }) !== 50079 || (await isEnrolled(tenant, user))
  attempt.denial = { reason: 'policy', decision, enrolled, ...(workload ? { workload } : {}) }
  throw new errors.InvalidGrant('a policy stands in the way')
}

function traceAdmission(admission: Admission): void {
  const { trace } = currentAttempt()
  trace.policies = outcomeOf(admission)
  trace.brought = admission.brought
}

/** Whether the user could prove a second factor. */
export async function isEnrolled(tenant: Tenant, user: string): Promise<boolean> {
  return (await tenant.factors.list(user)).some(({ kind }) => kind !== 'recovery')
}
