import { errors, type KoaContextWithOIDC } from 'oidc-provider'
import { rightsOf } from '../directory/rights.ts'
import type { Store } from '../store/store.ts'
import { type Attempt, currentAttempt } from './attempt.ts'
import { lacksConsent } from './consent.ts'
import { noteResource, readApplication, readResources, readUser } from './facts.ts'
import { fullScope, permittedScopes, type Resource } from './resources.ts'
import type { Tenant } from './tenant.ts'

interface TokenModel {
  kind: string
  accountId?: string
  sessionUid?: string
  clientId: string
  scope?: string
  resourceServer?: { identifier(): string }
}

interface Payload {
  aud: string
  exp: number
  iat: number
  jti: string
  [claim: string]: unknown
}

/** The claims of an access token (RFC 9068; names as Entra's clients and APIs know them), and a note of it for the fence. */
export async function accessTokenClaims(
  tenant: Tenant,
  store: Store,
  ctx: KoaContextWithOIDC,
  token: TokenModel,
  given: Payload,
): Promise<Record<string, unknown>> {
  const attempt = currentAttempt()
  const resource = (await readResources(tenant)).find((one) => one.uri === token.resourceServer?.identifier())
  const app = await readApplication(tenant, token.clientId)
  if (!resource || !app) throw new Error('a token without a resource or an application')
  noteResource(resource)

  // The instant is the store's and was fixed when the attempt began; the length was decided there too.
  const iat = attempt.iat
  const real = Math.floor(store.clock())
  const exp = Math.min(iat, real) + (given.exp - given.iat)
  const daemon = token.accountId === undefined
  const asked = (token.scope ?? '').split(' ')
  const permitted = permittedScopes(app, resource)
  const granted = asked.includes(fullScope(resource, '.default')) ? permitted : permitted.filter((name) => asked.includes(fullScope(resource, name)))
  const { RefreshToken, AuthorizationCode, DeviceCode } = ctx.oidc.entities as Record<
    string,
    { authTime?: number; amr?: string[]; acr?: string } | undefined
  >
  // Without any permission the audience alone would open APIs that only look at it.
  if (granted.length === 0) throw new errors.InvalidScope('the application is no longer permitted to ask for this', token.scope ?? '')
  const source = attempt.onBehalf ?? RefreshToken ?? AuthorizationCode ?? DeviceCode
  const user = daemon ? undefined : (token.accountId as string)
  const scopes = granted.map((name) => fullScope(resource, name))
  if (user !== undefined && (await lacksConsent(store, tenant, app, user, scopes))) {
    attempt.denial = { reason: 'consent-missing' }
    throw new errors.InvalidGrant('the user has not consented to this')
  }

  attempt.mints.push({
    iat,
    exp,
    appId: token.clientId,
    ...(user === undefined ? {} : { user }),
    ...(token.sessionUid === undefined ? {} : { sid: token.sessionUid }),
    scopes,
    ...(source?.authTime === undefined ? {} : { authTime: source.authTime }),
    ...(attempt.device === undefined ? {} : { device: attempt.device }),
    ...(resource.kind === 'signals' ? { stream: true as const } : {}),
    ...(attempt.admission && resource.kind !== 'signals'
      ? { admission: { admission: attempt.admission, resource: resource.uri, capable: attempt.claims.capable && resource.cae } }
      : {}),
    ...(attempt.onBehalf ? { keys: attempt.onBehalf.keys } : {}),
    ...(attempt.agentAdmission
      ? { agent: { admission: attempt.agentAdmission, resource: resource.uri, capable: attempt.claims.capable && resource.cae } }
      : {}),
  })

  attempt.trace.token = {
    ...{ jti: given.jti, exp, long: attempt.lifetime?.long === true },
    resource: { id: resource.appId ?? resource.uri, name: resource.uri },
  }
  if (token.sessionUid !== undefined) attempt.trace.session = token.sessionUid

  const held = user === undefined ? {} : await membership(store, tenant, resource, user)
  // Where the person was seen, through however many hands it goes: policies are asked about that each time.
  const { address = '' } = attempt.onBehalf ?? attempt
  return {
    iss: tenant.issuer,
    aud: resource.audience,
    iat,
    nbf: Math.min(iat, real),
    exp,
    jti: given.jti,
    sub: user ?? app.id,
    oid: user ?? app.id,
    tid: tenant.id,
    client_id: token.clientId,
    azp: token.clientId,
    ...(daemon && resource.kind !== 'signals'
      ? { idtyp: 'app', roles: granted }
      : { scope: granted.join(' '), scp: granted.join(' '), ...(daemon ? { idtyp: 'app' } : {}) }),
    // RFC 9449 section 6.1: the key that whoever shows it must have.
    ...(given.cnf === undefined ? {} : { cnf: given.cnf }),
    ...(token.sessionUid === undefined ? {} : { sid: token.sessionUid }),
    ...(source?.authTime === undefined ? {} : { auth_time: source.authTime, amr: source.amr ?? ['pwd'] }),
    ...(source?.acr === undefined ? {} : { acr: source.acr }),
    ...policyClaims(attempt),
    ...derivedClaims(attempt),
    ...held,
    ...(attempt.device === undefined ? {} : { deviceid: attempt.device }),
    ...(address === '' ? {} : { ipaddr: address }),
    ...(attempt.claims.capable && resource.cae ? { xms_cc: ['cp1'] } : {}),
    ...(attempt.lifetime?.long ? { xms_ssm: '1' } : {}),
  }
}

/** Who acts, and what ends the token beside its own keys. */
function derivedClaims({ onBehalf }: Attempt): Record<string, unknown> {
  if (!onBehalf) return {}
  const { act, from } = onBehalf
  return { act, ...(from.length > 0 ? { caegis_from: from.map(({ kind, id }) => [kind, id]) } : {}) }
}

/** What policies leave to the guards, and what they say of the token. */
function policyClaims({ admission, lifetime, contexts = [] }: Attempt): Record<string, unknown> {
  if (!admission) return {}
  const granted = admission.brought.contexts
  const { exception } = admission.decision
  const first = contexts.find((one) => granted.includes(one))
  return {
    ...(granted.length > 0 ? { acrs: granted } : {}),
    // RFC 9470 section 6.2: for APIs that ask by `acr_values`.
    ...(first === undefined ? {} : { acr: first }),
    ...(lifetime && lifetime.lateBound.length > 0 ? { capolids_latebind: lifetime.lateBound } : {}),
    ...(exception ? { caegis_ip: exception } : {}),
  }
}

/** More groups than this do not fit into a header; the API asks the directory then. */
const MAX_GROUPS = 200

/** What the user is and what the API asks to be told. The user's version is noted before anything is read: an edit in between makes the fence decide again. */
async function membership(store: Store, tenant: Tenant, resource: Resource, user: string): Promise<Record<string, unknown>> {
  const facts = await readUser(store, tenant, user)
  if (!facts) return {}
  const { groups, roles } = (await rightsOf(store.db, tenant.id, [user])).get(user) as { groups: string[]; roles: Record<string, string[]> }
  const asks = (name: string) => resource.optionalClaims?.includes(name)
  const own = resource.appId === undefined ? undefined : roles[resource.appId]
  return {
    ...(own ? { roles: own } : {}),
    ...(facts.roles.length > 0 ? { wids: facts.roles } : {}),
    ...(asks('groups') ? (groups.length > MAX_GROUPS ? { hasgroups: true } : { groups }) : {}),
    ...(asks('upn') ? { upn: facts.userPrincipalName } : {}),
    ...(asks('email') ? { email: facts.mail ?? facts.userPrincipalName } : {}),
    ...(asks('acct') ? { acct: facts.guest ? 1 : 0 } : {}),
    ...(asks('login_hint') ? { login_hint: facts.userPrincipalName } : {}),
  }
}
