import type { CutoffKey, CutoffKind } from '@caegis/protocol'
import type Provider from 'oidc-provider'
import { errors, type KoaContextWithOIDC } from 'oidc-provider'
import { currentAttempt, type OnBehalf } from './attempt.ts'
import { provenKey } from './bound.ts'
import { TOKEN_EXCHANGE } from './client.ts'
import { admitActor, admitSubject, type DelegationOptions, giveOut } from './delegation.ts'
import { readResources } from './facts.ts'
import type { AccessToken } from './presented.ts'
import { fullScope, narrowScopes, type Resource } from './resources.ts'
import type { Tenant } from './tenant.ts'

const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'
/** What the tokens that are taken may be called (RFC 8693 section 3): ours are both. */
const TAKEN = [ACCESS_TOKEN, 'urn:ietf:params:oauth:token-type:jwt']
/** What of an agent's own token no other claim of the derived one says; a daemon has no more than the token. */
const OF_ACTOR: readonly CutoffKind[] = ['session', 'token', 'grant', 'device', 'user-device']

const PARAMETERS = [
  ...['subject_token', 'subject_token_type', 'actor_token', 'actor_token_type'],
  ...['audience', 'resource', 'scope', 'requested_token_type'],
]

type Parameters = Record<string, string | undefined>

/**
 * RFC 8693: an agent trades the user's token that it was called with for one of another API, in which it is named as the one who acts. The new token is never wider
 * than the old one and what the agent is permitted, never outlives the old one, and dies with it.
 */
export function registerExchange(provider: Provider, tenant: Tenant, options: DelegationOptions): void {
  const { store, target } = options
  provider.registerGrantType(
    TOKEN_EXCHANGE,
    async (context) => {
      const ctx = context as KoaContextWithOIDC
      const { client } = ctx.oidc
      const params = (ctx.oidc.params ?? {}) as Parameters
      if (!client || client.clientAuthMethod === 'none') throw new errors.InvalidClientAuth('only an agent with credentials of its own may ask')
      checkTypes(params)
      const { clientId } = client
      const jkt = await provenKey(ctx)
      const agent = { sub: clientId, client_id: clientId }
      const actor = params.actor_token === undefined ? undefined : await admitActor(store, tenant, params.actor_token, clientId)
      const by = actor && !isDaemon(actor.claims) ? { ...agent, sub: String(actor.claims.sub) } : agent
      const { claims, onBehalf } = await admitSubject(store, tenant, params.subject_token ?? '', clientId, by)
      checkKey(claims, jkt)
      if (actor) checkKey(actor.claims, jkt)
      const derived = derive(claims, onBehalf, actor)
      currentAttempt().onBehalf = derived

      const named = await nameTarget(tenant, params)
      const words = String(params.scope).split(' ')
      const asked = await target(ctx, clientId)
      if (!asked || asked.resource.kind === 'signals' || (named && named.uri !== asked.resource.uri))
        throw new errors.InvalidTarget('an API is needed, and one alone')
      const { granted, refused } = narrowScopes(asked.resource, words, asked.permitted, String(claims.scp ?? '').split(' '))
      if (refused.length > 0 || granted.length === 0)
        throw new errors.InvalidScope('the subject token does not hold what is asked for', refused.join(' '))
      const scopes = granted.map((name) => fullScope(asked.resource, name))
      const given = await giveOut(provider, ctx, options, derived, { resource: asked.resource, scopes, jkt })
      ctx.body = { ...given, issued_token_type: ACCESS_TOKEN }
    },
    PARAMETERS,
  )
}

function checkTypes(params: Parameters): void {
  const { subject_token_type: subject, actor_token: actor, actor_token_type: actorType, requested_token_type: requested } = params
  if (params.subject_token === undefined) throw new errors.InvalidRequest('subject_token is missing')
  if (subject === undefined || !TAKEN.includes(subject)) throw new errors.InvalidRequest('subject_token_type must be that of an access token')
  if ((actor === undefined) !== (actorType === undefined)) throw new errors.InvalidRequest('actor_token and actor_token_type belong together')
  if (actorType !== undefined && !TAKEN.includes(actorType)) throw new errors.InvalidRequest('actor_token_type must be that of an access token')
  if (requested !== undefined && requested !== ACCESS_TOKEN) throw new errors.InvalidRequest('requested_token_type must be that of an access token')
}

/** A token that is bound to a key is traded by whoever proves that key, and by nobody else (threat E7); what comes of it is bound to the same one. */
function checkKey({ cnf }: AccessToken, jkt: string | undefined): void {
  if (cnf !== undefined && (jkt === undefined || (cnf as { jkt?: unknown }).jkt !== jkt))
    throw new errors.InvalidGrant('the token is bound to a key that was not proved')
}

/** What the new token hangs on: the tokens that it is given out for, by name, and it outlives none of them, as guards forget the end of a token when that is over. */
function derive(claims: AccessToken, onBehalf: OnBehalf, actor: { claims: AccessToken; keys: readonly CutoffKey[] } | undefined): OnBehalf {
  const kinds = actor && isDaemon(actor.claims) ? ['token'] : OF_ACTOR
  const ofActor = actor?.keys.filter(({ kind }) => kinds.includes(kind)) ?? []
  const from: CutoffKey[] = [...onBehalf.from, { kind: 'token', id: claims.jti }, ...ofActor]
  return {
    ...onBehalf,
    agent: true,
    keys: [...onBehalf.keys, ...(actor?.keys ?? [])],
    from: from.filter(({ kind, id }, at) => from.findIndex((one) => one.kind === kind && one.id === id) === at),
    until: Math.floor(Math.min(claims.exp, actor?.claims.exp ?? claims.exp)),
  }
}

const isDaemon = ({ idtyp }: AccessToken): boolean => idtyp === 'app'

/**
 * Makes of `audience`, `resource` and `scope` what the other grants are asked by: scopes by their full names. Beside an API that is named, scopes may be short, or missing
 * for as much as possible.
 */
async function nameTarget(tenant: Tenant, params: Parameters): Promise<Resource | undefined> {
  const { audience, resource, scope = '' } = params
  const words = scope.split(' ').filter((word) => word !== '')
  const names = [audience, resource].filter((name) => name !== undefined)
  if (names.length === 0) {
    if (words.length === 0) throw new errors.InvalidTarget('audience, resource or scope must name an API')
    return undefined
  }
  const resources = await readResources(tenant)
  const [named, other = named] = names.map((name) => resources.find(({ uri }) => uri === name))
  if (!named || named !== other) throw new errors.InvalidTarget('there is no such API')
  params.scope = (words.length === 0 ? ['.default'] : words).map((word) => (word.includes('/') ? word : fullScope(named, word))).join(' ')
  return named
}
