import { type CutoffKey, cutoffKeys, isObject, sourceKeys } from '@caegis/protocol'
import type Provider from 'oidc-provider'
import { errors, type KoaContextWithOIDC } from 'oidc-provider'
import { asShown, judge } from '../access/account.ts'
import type { Brought } from '../access/signals.ts'
import type { Store } from '../store/store.ts'
import { isContext } from './access.ts'
import { currentAttempt, type OnBehalf } from './attempt.ts'
import { noteKey, readApplication, readInstants, readUser } from './facts.ts'
import { type AccessToken, isCapable, isGood, verifyAccessToken } from './presented.ts'
import { fullScope, type Resource } from './resources.ts'
import { readSignInRisk, type SignInRisk } from './sign-in-risk.ts'
import type { Tenant } from './tenant.ts'

export interface DelegationOptions {
  store: Store
  /** The API that the scopes name, with what the client may have of it. */
  target(ctx: KoaContextWithOIDC, clientId: string): Promise<{ resource: Resource; permitted: string[] } | undefined>
  /** What the provider has to know of that API. */
  info(ctx: KoaContextWithOIDC, uri: string): Promise<object>
}

/** Who acts (RFC 8693 section 4.1), and who acted before. */
export interface Actor {
  /** An application by its client id, or the account of an agent that signed in itself. */
  sub: string
  client_id: string
  act?: Actor
}

/** A token that was let in, with what is taken over from it. */
export interface Delegation {
  claims: AccessToken
  onBehalf: OnBehalf
}

const MAX_LENGTH = 16_384
const DEAD = (iat: number) => ({ reason: 'revoked', validFrom: Math.floor(iat) }) as const

/**
 * Lets in a user's token that an API was called with, as a guard would let a request in: or one that is dead everywhere else could be traded here for a living one
 * (threat A3). What is read is noted, so that a revocation that comes meanwhile is seen by the fence.
 * @param by who is to act now
 */
export async function admitSubject(store: Store, tenant: Tenant, text: string, clientId: string, by: Omit<Actor, 'act'>): Promise<Delegation> {
  const attempt = currentAttempt()
  const claims = await readToken(store, tenant, text)
  if (!claims || claims.idtyp === 'app' || typeof claims.sub !== 'string') throw refused()
  const { sub, iat, exp, auth_time: authTime, amr, acr, sid } = claims
  const api = await readApplication(tenant, clientId)
  if (!api?.identifierUris.includes(String(claims.aud))) throw refused()
  const keys = cutoffKeys(claims)
  const sources = sourceKeys(claims)
  const act: Actor = { ...by, act: actorsOf(claims) }
  // One more than those before may be one too many.
  if (!keys || !sources || !cutoffKeys({ act })) throw refused()
  if (!isAllowed(claims.may_act, by, tenant.issuer)) throw refused()

  // What was given to a device stays with it, through whosever hands it goes.
  delete attempt.device
  if (typeof claims.deviceid === 'string') attempt.device = claims.deviceid
  const risk = typeof sid === 'string' ? await riskOf(store, tenant, sid) : undefined
  if (risk) attempt.signInRisk = risk
  const user = await readUser(store, tenant, sub)
  const rows = [await readInstants(store, tenant, { sid: typeof sid === 'string' ? sid : undefined, appId: clientId, user: sub })]
  for (const { kind, id } of keys) if (kind === 'app') rows.push(await readInstants(store, tenant, { appId: id, user: sub }))
  for (const key of keys) await noteKey(store, tenant, key)
  const flow = await flowOf(store, tenant, claims)
  const capable = isCapable(claims)
  const others = rows.flat().map((one) => one && asShown(one, capable))
  const denial = judge(user && asShown(user, capable), others, Math.floor(iat)) ?? ((await isGood(store, tenant, claims)) ? undefined : DEAD(iat))
  if (denial) {
    attempt.denial = denial
    throw refused()
  }
  attempt.account = { id: sub, breakGlass: user?.breakGlass === true }
  // What was derived dies with all that is above it, however it goes on from here.
  const from: CutoffKey[] = sources.length > 0 ? [...sources, { kind: 'token', id: claims.jti }] : []
  const onBehalf: OnBehalf = {
    ...{ user: sub, act, keys, from },
    ...(from.length > 0 ? { until: Math.floor(exp) } : {}),
    ...(typeof sid === 'string' ? { sid } : {}),
    ...(typeof authTime === 'number' ? { authTime } : {}),
    ...(Array.isArray(amr) ? { amr: amr as string[] } : {}),
    // A context was granted for that one API; whoever wants it here asks the policies.
    ...(typeof acr === 'string' && !isContext(acr) ? { acr } : {}),
    ...(typeof claims.ipaddr === 'string' ? { address: claims.ipaddr } : {}),
    ...(flow === undefined ? {} : { flow }),
  }
  return { claims, onBehalf }
}

/** What was thought of the sign-in that the session came of. */
async function riskOf(store: Store, tenant: Tenant, sid: string): Promise<SignInRisk | undefined> {
  const session = await tenant.artifacts.findByUid(store.db, 'Session', sid, Math.floor(store.clock()))
  return readSignInRisk(session?.payload.risk)
}

/** The way in which somebody signed in goes with the token, however often it is handed on: it stands where the token was decided on. */
async function flowOf({ db }: Store, { id }: Tenant, { sub, sid, client_id: client, aud }: AccessToken): Promise<OnBehalf['flow']> {
  const made = db.selectFrom('decisions').select('signals').where('tenant', '=', id).where('user_id', '=', String(sub))
  const rows = made.where('app_id', '=', String(client)).where('resource', '=', String(aud))
  const its = typeof sid === 'string' ? rows.where('sid', '=', sid) : rows.where('sid', 'is', null)
  const flows = (await its.execute()).map(({ signals }) => (signals === '' ? undefined : (JSON.parse(signals) as Brought).flow))
  return flows.includes('deviceCodeFlow') ? 'deviceCodeFlow' : undefined
}

/** Lets in the token by which an agent says who it is: its own, and not one that it got in somebody else's name. */
export async function admitActor(
  store: Store,
  tenant: Tenant,
  text: string,
  clientId: string,
): Promise<{ claims: AccessToken; keys: readonly CutoffKey[] }> {
  const claims = await readToken(store, tenant, text)
  if (!claims || claims.client_id !== clientId || claims.act !== undefined || typeof claims.sub !== 'string') throw refused()
  const keys = cutoffKeys(claims)
  if (!keys) throw refused()
  for (const key of keys) await noteKey(store, tenant, key)
  if (!(await isGood(store, tenant, claims))) {
    currentAttempt().denial = DEAD(claims.iat)
    throw refused()
  }
  return { claims, keys }
}

/** Gives out the token in the name of the user, once it was decided who may have what: `scopes` are full names. */
export async function giveOut(
  provider: Provider,
  ctx: KoaContextWithOIDC,
  { info }: DelegationOptions,
  { user, sid, until }: OnBehalf,
  { resource, scopes, jkt }: { resource: Resource; scopes: readonly string[]; jkt: string | undefined },
): Promise<Record<string, unknown>> {
  const known = (await info(ctx, resource.uri)) as { accessTokenTTL: number }
  const left = (until ?? Number.POSITIVE_INFINITY) - currentAttempt().iat
  if (left <= 0) throw refused()
  const token = new provider.AccessToken({
    ...{ accountId: user, client: ctx.oidc.client, gty: ctx.oidc.params?.grant_type },
    ...(sid === undefined ? {} : { sessionUid: sid }),
  } as never)
  if (jkt !== undefined) token.setThumbprint('jkt', jkt)
  token.resourceServer = new provider.ResourceServer(resource.uri, { ...known, accessTokenTTL: Math.min(known.accessTokenTTL, left) } as never)
  token.scope = scopes.join(' ')
  ctx.oidc.entity('AccessToken', token)
  const value = await token.save()
  return { access_token: value, expires_in: token.expiration, scope: token.scope, token_type: token.tokenType }
}

/** All that may be asked for of an API, by full names. */
export function namesOf({ resource, permitted }: { resource: Resource; permitted: readonly string[] }): string[] {
  return [...permitted, '.default'].map((name) => fullScope(resource, name))
}

async function readToken(store: Store, tenant: Tenant, text: string): Promise<AccessToken | undefined> {
  return text.length > MAX_LENGTH ? undefined : verifyAccessToken(store, tenant, text)
}

/** Through whose hands it came; whom it was given to stands at the top, unless nobody acted yet. */
function actorsOf({ client_id: client, act }: AccessToken): Actor {
  const before = act as Actor | undefined
  return before?.client_id === client ? before : { sub: client, client_id: client, ...(before === undefined ? {} : { act: before }) }
}

/** Whom the token itself says that may act (RFC 8693 section 4.4). What cannot be read allows nobody. */
function isAllowed(allowed: unknown, { sub, client_id: client }: Omit<Actor, 'act'>, issuer: string): boolean {
  if (allowed === undefined) return true
  if (!isObject(allowed) || (allowed.sub === undefined && allowed.client_id === undefined)) return false
  return Object.entries(allowed).every(([name, value]) => {
    if (name === 'iss') return value === issuer
    if (name === 'client_id') return value === client
    return name === 'sub' && (value === sub || value === client)
  })
}

function refused(): errors.InvalidGrant {
  return new errors.InvalidGrant('the token is none of a user for this API, or no longer good')
}
