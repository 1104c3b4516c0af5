import type Provider from 'oidc-provider'
import { errors, type KoaContextWithOIDC } from 'oidc-provider'
import { asShown, judge } from '../access/account.ts'
import type { Store } from '../store/store.ts'
import { currentAttempt, note, type OnBehalf } from './attempt.ts'
import { provenKey } from './bound.ts'
import { ON_BEHALF_OF } from './client.ts'
import { readApplication, readInstants, readUser, tokenVersion } from './facts.ts'
import { isCapable, isGood, verifyAccessToken } from './presented.ts'
import { fullScope, type Resource } from './resources.ts'
import type { Tenant } from './tenant.ts'

/** RFC 8693 section 4.1; a guard refuses a deeper chain. */
const MAX_ACTORS = 4

export interface OnBehalfOfOptions {
  store: Store
  /** The API that the scopes name, with what the client may have of it. */
  target(ctx: KoaContextWithOIDC, clientId: string): Promise<{ resource: Resource; permitted: string[] } | undefined>
  /** What the provider has to know of that API. */
  info(ctx: KoaContextWithOIDC, uri: string): Promise<object>
}

/** RFC 7523 section 2.1, as Microsoft's clients use it: an API trades the token that it was called with for one that calls on, in the name of the same user. */
export function registerOnBehalfOf(provider: Provider, tenant: Tenant, { store, target, info }: OnBehalfOfOptions): void {
  provider.registerGrantType(
    ON_BEHALF_OF,
    async (context) => {
      const ctx = context as KoaContextWithOIDC
      const { client, params = {} } = ctx.oidc
      if (!client || client.clientAuthMethod === 'none') throw new errors.InvalidClientAuth('only an API with credentials of its own may ask')
      if (params.requested_token_use !== 'on_behalf_of') throw new errors.InvalidRequest('requested_token_use must be on_behalf_of')
      const jkt = await provenKey(ctx)
      const assertion = await admit(store, tenant, String(params.assertion ?? ''), client.clientId)
      const attempt = currentAttempt()
      attempt.onBehalf = assertion

      const asked = await target(ctx, client.clientId)
      if (!asked || asked.resource.kind === 'signals')
        throw new errors.InvalidScope('a scope that names an API is needed', String(params.scope ?? ''))
      const { uri } = asked.resource
      const names = [...asked.permitted, '.default'].map((name) => fullScope(asked.resource, name))
      const token = new provider.AccessToken({
        ...{ accountId: assertion.user, client, gty: ON_BEHALF_OF },
        ...(assertion.sid === undefined ? {} : { sessionUid: assertion.sid }),
      } as never)
      if (jkt !== undefined) token.setThumbprint('jkt', jkt)
      token.resourceServer = new provider.ResourceServer(uri, (await info(ctx, uri)) as never)
      token.scope = String(params.scope)
        .split(' ')
        .filter((scope) => names.includes(scope))
        .join(' ')
      ctx.oidc.entity('AccessToken', token)
      const value = await token.save()
      ctx.body = { access_token: value, expires_in: token.expiration, scope: token.scope, token_type: token.tokenType }
    },
    ['assertion', 'requested_token_use', 'scope'],
  )
}

/**
 * Lets an assertion in as a guard would let a request in: or a token that is dead everywhere else could be traded here for a living one (threat A3). What is read
 * is noted, so that a revocation that comes meanwhile is seen by the fence.
 */
async function admit(store: Store, tenant: Tenant, text: string, clientId: string): Promise<OnBehalf> {
  const attempt = currentAttempt()
  const refuse = () => new errors.InvalidGrant('the assertion is no token of a user for this API')
  const claims = text.length > MAX_LENGTH ? undefined : await verifyAccessToken(store, tenant, text)
  if (!claims || claims.idtyp === 'app' || typeof claims.sub !== 'string') throw refuse()
  const { sub, iat, client_id: from, auth_time: authTime, amr, acr, sid } = claims
  const api = await readApplication(tenant, clientId)
  if (!api?.identifierUris.includes(String(claims.aud))) throw refuse()
  const given: Actor = { sub: from, client_id: from, ...(claims.act === undefined ? {} : { act: claims.act as Actor }) }
  const actors = appsOf(given)
  // One more than those before: the API itself.
  if (!actors || actors.length >= MAX_ACTORS) throw refuse()

  // What was given to a device stays with it, through whosever hands it goes.
  delete attempt.device
  if (typeof claims.deviceid === 'string') attempt.device = claims.deviceid
  const user = await readUser(store, tenant, sub)
  const rows = [await readInstants(store, tenant, { sid: typeof sid === 'string' ? sid : undefined, appId: clientId, user: sub })]
  for (const appId of actors) rows.push(await readInstants(store, tenant, { appId, user: sub }))
  note(attempt, { table: 'token', id: claims.jti }, await tokenVersion(store.db, tenant, claims.jti))
  const capable = isCapable(claims)
  const others = rows.flat().map((one) => one && asShown(one, capable))
  const denial = judge(user && asShown(user, capable), others, Math.floor(iat)) ?? ((await isGood(store, tenant, claims)) ? undefined : DEAD(iat))
  if (denial) {
    attempt.denial = denial
    throw refuse()
  }
  attempt.account = { id: sub, breakGlass: user?.breakGlass === true }
  return {
    user: sub,
    act: { sub: clientId, client_id: clientId, act: given },
    actors,
    ...(typeof sid === 'string' ? { sid } : {}),
    ...(typeof authTime === 'number' ? { authTime } : {}),
    ...(Array.isArray(amr) ? { amr: amr as string[] } : {}),
    ...(typeof acr === 'string' ? { acr } : {}),
    ...(typeof claims.ipaddr === 'string' ? { address: claims.ipaddr } : {}),
  }
}

const MAX_LENGTH = 16_384
const DEAD = (iat: number) => ({ reason: 'revoked', validFrom: Math.floor(iat) }) as const

interface Actor {
  sub: string
  client_id: string
  act?: Actor
}

/** The applications through whose hands it came, ours alone having written it. */
function appsOf(actor: Actor | undefined): string[] | undefined {
  const apps: string[] = []
  for (let one = actor; one !== undefined; one = one.act) {
    if (typeof one.client_id !== 'string' || apps.length >= MAX_ACTORS) return undefined
    apps.push(one.client_id)
  }
  return [...new Set(apps)]
}
