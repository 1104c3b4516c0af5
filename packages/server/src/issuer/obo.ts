import type Provider from 'oidc-provider'
import { errors, type KoaContextWithOIDC } from 'oidc-provider'
import { currentAttempt } from './attempt.ts'
import { provenKey } from './bound.ts'
import { ON_BEHALF_OF } from './client.ts'
import { admitSubject, type DelegationOptions, giveOut, namesOf } from './delegation.ts'
import type { Tenant } from './tenant.ts'

/** RFC 7523 section 2.1, as Microsoft's clients use it: an API trades the token that it was called with for one that calls on, in the name of the same user. */
export function registerOnBehalfOf(provider: Provider, tenant: Tenant, options: DelegationOptions): void {
  const { store, target } = options
  provider.registerGrantType(
    ON_BEHALF_OF,
    async (context) => {
      const ctx = context as KoaContextWithOIDC
      const { client, params = {} } = ctx.oidc
      if (!client || client.clientAuthMethod === 'none') throw new errors.InvalidClientAuth('only an API with credentials of its own may ask')
      if (params.requested_token_use !== 'on_behalf_of') throw new errors.InvalidRequest('requested_token_use must be on_behalf_of')
      const jkt = await provenKey(ctx)
      const api = { sub: client.clientId, client_id: client.clientId }
      const { onBehalf } = await admitSubject(store, tenant, String(params.assertion ?? ''), client.clientId, api)
      currentAttempt().onBehalf = onBehalf

      const asked = await target(ctx, client.clientId)
      if (!asked || asked.resource.kind === 'signals')
        throw new errors.InvalidScope('a scope that names an API is needed', String(params.scope ?? ''))
      const names = namesOf(asked)
      const scopes = String(params.scope)
        .split(' ')
        .filter((scope) => names.includes(scope))
      ctx.body = await giveOut(provider, ctx, options, onBehalf, { resource: asked.resource, scopes, jkt })
    },
    ['assertion', 'requested_token_use', 'scope'],
  )
}
