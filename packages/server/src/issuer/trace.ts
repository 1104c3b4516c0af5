import type { KoaContextWithOIDC } from 'oidc-provider'
import type { Brought } from '../access/signals.ts'
import { type PolicyOutcome, type SignIn, signInRecord } from '../logs/sign-in.ts'
import type { Store } from '../store/store.ts'
import type { Attempt } from './attempt.ts'
import type { SignInRisk } from './sign-in-risk.ts'
import type { Tenant } from './tenant.ts'
import { codeOf } from './token-answer.ts'

/** What an attempt learns on its way that the log will say of its decision. */
export interface Trace {
  correlation: string
  app?: SignIn['app']
  /** Whose grant, session or name it is. */
  user?: { id: string; name?: string }
  session?: string
  token?: { jti: string; exp: number; long: boolean; resource: { id: string; name: string } }
  /** The record of the sign-in on a page that this request goes on with. */
  begun?: string
  /** Why an application's request to sign somebody in was sent back to it. */
  refused?: { code: number; silent: boolean }
  /** Where the API saw the caller, proved by its guard. */
  rpAddress?: string
  policies?: PolicyOutcome
  /** What they looked at, besides the directory. */
  brought?: Brought
  /** What is thought of the sign-in on a page that this request is a step of. */
  risk?: SignInRisk
}

const GRANTS: Record<string, string> = {
  'urn:ietf:params:oauth:grant-type:device_code': 'device_code',
  'urn:ietf:params:oauth:grant-type:jwt-bearer': 'on_behalf_of',
  'urn:ietf:params:oauth:grant-type:token-exchange': 'token_exchange',
}
const KNOWN_GRANTS = ['authorization_code', 'refresh_token', 'client_credentials', 'device_code', 'on_behalf_of', 'token_exchange']
/** A device asks every few seconds whether somebody has entered its code: nothing is decided. */
const PENDING = ['authorization_pending', 'slow_down']

/** What the log will say of an answer of the token endpoint: the fence keeps it, or lets it go with the attempt. */
export async function traceToken(store: Store, tenant: Tenant, attempt: Attempt, form: URLSearchParams, status: number, body: string): Promise<void> {
  if (status >= 500) return
  const given = form.get('grant_type') ?? ''
  const known = GRANTS[given] ?? given
  const grant = KNOWN_GRANTS.includes(known) ? known : 'unknown'
  const kind = grant === 'client_credentials' ? 'servicePrincipal' : 'nonInteractiveUser'
  if (status !== 200) {
    const refused = read(body)
    if (PENDING.includes(String(refused.error))) return
    const clientId = form.get('client_id')
    if (!attempt.trace.app && clientId) await traceClient(tenant, attempt, clientId)
    attempt.signIn = await recordOf(store, tenant, attempt, { kind, grant, code: codeOf(refused, form, attempt.denial) })
    return
  }
  if (attempt.mints.length === 0) return
  const record = await recordOf(store, tenant, attempt, { kind, grant, code: 0 })
  const { begun } = attempt.trace
  if (grant !== 'authorization_code' || begun === undefined) {
    attempt.signIn = record
    return
  }
  // What somebody signed in for on a page is one decision: its record says now what came of it. The address stays that of the person.
  const { token, resource, session, rpAddress, policies, brought } = record
  const more = { grant, token, resource, session, rpAddress, policies, ...(brought ? { brought } : {}) }
  attempt.completes = { id: begun, more, otherwise: record }
}

/** The same for an application that is told that nobody is signed in for it. */
export async function traceAuthorization(store: Store, tenant: Tenant, attempt: Attempt): Promise<void> {
  const { refused } = attempt.trace
  if (!refused) return
  const kind = refused.silent ? 'nonInteractiveUser' : 'interactiveUser'
  attempt.signIn = await recordOf(store, tenant, attempt, { kind, grant: 'authorize', code: refused.code })
}

/** A step of the sign-in on a page. @param clientId the application that it is for */
export async function tracePage(store: Store, tenant: Tenant, attempt: Attempt, code: number, clientId: string | undefined): Promise<void> {
  if (clientId !== undefined) await traceClient(tenant, attempt, clientId)
  attempt.signIn = await recordOf(store, tenant, attempt, { kind: 'interactiveUser', grant: 'sign_in_page', code })
}

/** Notes why an authorization request ends without a code; see `authorization.error` of the provider. */
export function noteRefused(attempt: Attempt, { oidc }: KoaContextWithOIDC, error: { error?: string; error_description?: string | undefined }): void {
  if (!oidc?.client) return
  const said = /^CAE(\d{4,7}):/.exec(error.error_description ?? '')?.[1]
  const device = attempt.deviceRefused === 'device-disabled' ? 135011 : 50155
  const code = said === undefined ? (error.error === 'access_denied' ? device : (AUTHORIZE_CODES[error.error ?? ''] ?? 900144)) : Number(said)
  attempt.trace.refused = { code, silent: oidc.params?.prompt === 'none' }
  const { accountId, uid } = oidc.session ?? {}
  if (accountId === undefined) return
  attempt.trace.user ??= { id: accountId }
  if (uid !== undefined) attempt.trace.session = uid
}

const AUTHORIZE_CODES: Record<string, number> = {
  login_required: 50058,
  interaction_required: 50058,
  consent_required: 65001,
  invalid_scope: 70011,
  invalid_target: 70011,
  unauthorized_client: 700016,
}

async function traceClient(tenant: Tenant, attempt: Attempt, clientId: string): Promise<void> {
  const app = await appOf(tenant, clientId)
  if (app) attempt.trace.app = app
}

/** @param clientId as it was sent: only that of an application which exists gets into a record */
export async function appOf(tenant: Tenant, clientId: string): Promise<NonNullable<SignIn['app']> | undefined> {
  const app = clientId.length > 128 ? undefined : await tenant.application(clientId)
  return app && { id: app.appId, object: app.id, name: app.displayName, type: app.type }
}

async function recordOf(
  store: Store,
  tenant: Tenant,
  { trace, address, device, signInRisk }: Attempt,
  what: Pick<SignIn, 'kind' | 'grant' | 'code'>,
): Promise<SignIn> {
  const risk = what.kind === 'interactiveUser' ? trace.risk : what.kind === 'nonInteractiveUser' ? signInRisk : undefined
  const { correlation, app = null, session = '', token, policies, brought, rpAddress = '' } = trace
  return signInRecord(store.clock(), {
    ...what,
    ...{ correlation, address, app, session, rpAddress },
    user: what.kind === 'servicePrincipal' || !trace.user ? null : await named(store, tenant, trace.user),
    resource: token?.resource ?? null,
    token: token ? { jti: token.jti, exp: token.exp, long: token.long } : null,
    device: device === undefined ? null : await deviceOf(store, tenant, device),
    ...(policies ? { policies } : {}),
    ...(brought ? { brought } : {}),
    ...(risk ? { risk: riskOf(risk) } : {}),
  })
}

const riskOf = ({ level, events, passed }: SignInRisk): NonNullable<SignIn['risk']> => ({
  ...{ level, events },
  state: events.length === 0 ? 'none' : passed ? 'remediated' : 'atRisk',
})

async function named(store: Store, tenant: Tenant, { id, name }: { id: string; name?: string }): Promise<SignIn['user']> {
  if (name !== undefined) return { id, name }
  const row = await store.db.selectFrom('users').select('upn').where('tenant', '=', tenant.id).where('id', '=', id).executeTakeFirst()
  return row ? { id, name: row.upn } : null
}

async function deviceOf(store: Store, tenant: Tenant, id: string): Promise<SignIn['device']> {
  const row = await store.db
    .selectFrom('devices')
    .select(['display_name', 'compliant', 'trust_type'])
    .where('tenant', '=', tenant.id)
    .where('id', '=', id)
    .executeTakeFirst()
  return row ? { id, name: row.display_name, compliant: row.compliant === null ? null : row.compliant === 1, trustType: row.trust_type } : null
}

function read(body: string): Record<string, unknown> {
  try {
    return JSON.parse(body)
  } catch {
    return {}
  }
}
