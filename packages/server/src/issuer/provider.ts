import Provider, { type Configuration, errors, interactionPolicy, type KoaContextWithOIDC } from 'oidc-provider'
import { asShown, type Denial, judge } from '../access/account.ts'
import { OPEN } from '../access/admission.ts'
import { chooseLifetime, type Guards, type Lifetimes, lifetimesOf, NO_GUARDS } from '../access/lifetime.ts'
import { isGood } from '../directory/credentials.ts'
import type { Log } from '../log.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'
import { accessPrompt, admitGrant, admitToken, type HeldGrant, signInAge } from './access.ts'
import { createAdapter } from './adapter.ts'
import { checkAssertion } from './assertion.ts'
import { currentAttempt } from './attempt.ts'
import { lacksProof } from './bound.ts'
import { accessTokenClaims } from './claims.ts'
import { expandScopes, lacksConsent } from './consent.ts'
import type { DelegationOptions } from './delegation.ts'
import { registerExchange } from './exchange.ts'
import { noteResource, readApplication, readInstants, readResources, readTenant, readUser } from './facts.ts'
import type { Loops } from './loops.ts'
import { registerOnBehalfOf } from './obo.ts'
import { cspFor, renderDeviceConfirm, renderDeviceInput, renderMessage, renderSignOut } from './pages.ts'
import { answerPresented } from './presented.ts'
import { fullScope, OIDC_SCOPES, permittedScopes, type Resource, resourceOf } from './resources.ts'
import type { Tenant } from './tenant.ts'
import { noteRefused } from './trace.ts'

export interface IssuerOptions {
  store: Store
  secrets: Secrets
  log: Log
  /** Where the tenant says nothing of its own. */
  lifetimes: Lifetimes
  /** Are all guards of this API connected and up to date (rule I5), and what of an address can all of them tell? */
  guardsOf(appId: string): Promise<Guards>
  /** Times; see loops.ts. */
  loopLimit: number
  /** Told what the fence said of each attempt, by its word. */
  onFence?(outcome: string): void
  /** Sends a logout token to a client, without anybody waiting for it. */
  tell(uri: string, body: string): void
}

/** Paths under `https://host/{t}`; MSAL derives the device endpoint from the token endpoint by name. */
export const DISCOVERY = '/.well-known/openid-configuration'

export const ROUTES = {
  authorization: '/oauth2/v2.0/authorize',
  token: '/oauth2/v2.0/token',
  device_authorization: '/oauth2/v2.0/devicecode',
  code_verification: '/oauth2/v2.0/device',
  end_session: '/oauth2/v2.0/logout',
  jwks: '/discovery/v2.0/keys',
  userinfo: '/openid/userinfo',
  revocation: '/oauth2/v2.0/revoke',
  introspection: '/oauth2/v2.0/introspect',
} as const

const DAY = 24 * 3600

/** One OpenID provider a tenant: the protocol is oidc-provider's, what is decided is ours, what is stored goes through the fence. */
export function createProvider(tenant: Tenant, { store, secrets, lifetimes, log, guardsOf }: IssuerOptions, loops: Loops): Provider {
  const policy = interactionPolicy.base()
  // What an application may ask for at most was granted by an administrator in its permissions; for some, each user is asked too.
  policy.remove('consent')
  policy.add(new interactionPolicy.Prompt({ name: 'select_account', requestable: true }), 0)
  policy.get('login')?.checks.add(
    new interactionPolicy.Check('session_ended', 'the session has ended', 'login_required', async (ctx) => {
      const { session } = ctx.oidc
      if (!session?.accountId) return interactionPolicy.Check.NO_NEED_TO_PROMPT
      const user = await readUser(store, tenant, session.accountId)
      const others = await readInstants(store, tenant, { sid: session.uid, appId: ctx.oidc.client?.clientId, user: session.accountId })
      const denial = judge(user, others, session.loginTs)
      // No password mends a device that the sign-in itself is made from; without it, or from another one, somebody may sign in anew.
      if (denial?.reason.startsWith('device-') && currentAttempt().deviceSettled) throw new errors.AccessDenied(DEVICE_ENDED)
      // A copy of the session on another device: that the person signs in there is news, and makes it that device's.
      const elsewhere = currentAttempt().otherDevice === true && ctx.oidc.result?.login === undefined
      return denial || elsewhere ? interactionPolicy.Check.REQUEST_PROMPT : interactionPolicy.Check.NO_NEED_TO_PROMPT
    }),
  )

  policy.get('login')?.checks.add(signInAge(store))

  /** The resource that a request is about, with the scopes that its client may have of it. */
  const target = async (ctx: KoaContextWithOIDC, clientId: string): Promise<{ resource: Resource; permitted: string[] } | undefined> => {
    const asked = String(ctx.oidc.params?.scope ?? '')
      .split(' ')
      .filter((scope) => scope !== '' && !OIDC_SCOPES.includes(scope))
    if (asked.length === 0) return undefined
    const resource = resourceOf(asked, await readResources(tenant))
    if (resource === 'several') throw new errors.InvalidScope('scopes of more than one API in one request', asked.join(' '))
    if (!resource) throw new errors.InvalidScope('no API of this tenant offers these scopes', asked.join(' '))
    noteResource(resource)
    const app = await readApplication(tenant, clientId)
    // What a user's application was granted is for use together with a user; alone, it would have all of it without anybody's rights.
    if (ctx.oidc.params?.grant_type === 'client_credentials' && resource.kind !== 'signals' && app?.type !== 'daemon') {
      throw new errors.UnauthorizedClient('only a daemon may ask for this without a user')
    }
    const permitted = app ? permittedScopes(app, resource) : []
    const names = permitted.map((name) => fullScope(resource, name))
    const refused = asked.filter((scope) => !names.includes(scope) && !(scope === fullScope(resource, '.default') && permitted.length > 0))
    if (refused.length > 0) throw new errors.InvalidScope('the application is not permitted to ask for this', refused.join(' '))
    return { resource, permitted }
  }

  /** A grant that is not good any more because the user withdrew it wants to be agreed to again, not only signed in for. */
  const askAgain = async (held: { clientId?: string; scope?: string }, user: string, denial: Denial | undefined): Promise<Denial | undefined> => {
    const app = denial === undefined || denial.reason === 'revoked' ? await readApplication(tenant, held.clientId ?? '') : undefined
    // What `.default` stands for is looked at when it is known, see claims.ts.
    const scopes = (held.scope ?? '').split(' ').filter((scope) => scope !== '' && !scope.endsWith('/.default'))
    return app && (await lacksConsent(store, tenant, app, user, scopes)) ? { reason: 'consent-missing' } : denial
  }

  const askedScopes = async (ctx: KoaContextWithOIDC): Promise<string[]> => {
    const names = String(ctx.oidc.params?.scope ?? '').split(' ')
    return expandScopes(
      names.filter((name) => name !== ''),
      await target(ctx, ctx.oidc.client?.clientId ?? ''),
    )
  }
  policy.add(accessPrompt(tenant, store))
  policy.add(
    new interactionPolicy.Prompt(
      { name: 'consent', requestable: true },
      async (ctx) => ({ scopes: await askedScopes(ctx) }),
      new interactionPolicy.Check('consent_missing', 'the user has not consented to this application', 'consent_required', async (ctx) => {
        const { session, client } = ctx.oidc
        const app = await readApplication(tenant, client?.clientId ?? '')
        if (!app?.consentRequired || !session?.accountId) return interactionPolicy.Check.NO_NEED_TO_PROMPT
        const isMissing = await lacksConsent(store, tenant, app, session.accountId, await askedScopes(ctx))
        return isMissing ? interactionPolicy.Check.REQUEST_PROMPT : interactionPolicy.Check.NO_NEED_TO_PROMPT
      }),
    ),
  )

  const configuration: Configuration = {
    adapter: createAdapter(store, tenant.id, tenant.artifacts),
    jwks: { keys: tenant.keys.private } as never,
    routes: ROUTES,
    scopes: OIDC_SCOPES,
    claims: { openid: ['sub', 'oid', 'tid'], profile: ['name', 'preferred_username', 'login_hint'] },
    conformIdTokenClaims: false,
    clientAuthMethods: ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'],
    assertJwtClientAuthClaimsAndHeader: async (ctx, claims, header, client) => checkAssertion(claims, header, client, store.clock(), ctx.oidc.route),
    discovery: { global_token_revocation_endpoint: `${tenant.base}/global-token-revocation` },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    enabledJWA: {
      idTokenSigningAlgValues: ['ES256', 'RS256'],
      clientAuthSigningAlgValues: ['ES256', 'PS256', 'RS256'],
      // What guards take.
      dPoPSigningAlgValues: ['ES256', 'RS256', 'PS256', 'EdDSA'],
    },
    responseTypes: ['code'],
    pkce: { required: () => true },
    // The claims parameter is ours to read, in the forms that Microsoft's clients send; the built-in feature knows another dialect.
    features: {
      devInteractions: { enabled: false },
      claimsParameter: { enabled: false },
      pushedAuthorizationRequests: { enabled: false },
      // A nonce is handed out with every answer and taken from whoever sends it; without one, a proof must be of these five minutes.
      dPoP: { enabled: true, nonceSecret: secrets.derive(`dpop:${tenant.id}`), requireNonce: () => false },
      clientCredentials: { enabled: true },
      // Who asks is the provider's to check; what is asked about is ours, see presented.ts.
      revocation: { enabled: true, allowedPolicy: async () => false },
      introspection: { enabled: true, allowedPolicy: async () => false },
      deviceFlow: {
        enabled: true,
        userCodeInputSource: async (ctx, _form, _out, error) => renderDeviceInput(ctx, tenant, currentAttempt().userCode, error !== undefined),
        userCodeConfirmSource: async (ctx, _form, client, _info, code) =>
          renderDeviceConfirm(ctx, tenant, client.clientName ?? client.clientId, code),
        successSource: async (ctx) => renderMessage(ctx, tenant, 'You are signed in', 'Go back to your device; you can close this window.'),
      },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: async (ctx) => renderSignOut(ctx, tenant),
        postLogoutSuccessSource: async (ctx) => renderMessage(ctx, tenant, 'You are signed out', 'You can close this window.'),
      },
      resourceIndicators: {
        enabled: true,
        // MSAL never sends `resource`: the API is known by what its scopes begin with.
        async defaultResource(ctx, client, oneOf) {
          if (oneOf) return oneOf
          const asked = await target(ctx, client.clientId)
          if (!asked && ctx.oidc.params?.grant_type === 'client_credentials') throw new errors.InvalidScope('a scope that names an API is needed', '')
          return asked?.resource.uri as never
        },
        useGrantedResource: () => true,
        async getResourceServerInfo(ctx, uri, client) {
          const resource = (await readResources(tenant)).find((one) => one.uri === uri)
          const app = resource && (await readApplication(tenant, client.clientId))
          if (!resource || !app) throw new errors.InvalidTarget()
          noteResource(resource)
          // `resource` (RFC 8707) can only repeat what the scopes say: else it would be an audience for which nothing was granted. A code or a refresh token
          // is bound to what was checked when it came to be.
          const asked = await target(ctx, client.clientId)
          const bound = ctx.oidc.route === 'token' && ctx.oidc.params?.grant_type !== 'client_credentials'
          if (bound ? asked && asked.resource.uri !== uri : asked?.resource.uri !== uri) throw new errors.InvalidTarget()
          const attempt = currentAttempt()
          if (ctx.oidc.route === 'token') await admitToken(tenant, store, app, resource)
          const guards = resource.kind === 'graph' ? tenant.ownGuard : resource.appId === undefined ? NO_GUARDS : await guardsOf(resource.appId)
          attempt.lifetime ??= chooseLifetime(
            { capable: attempt.claims.capable, cae: resource.cae, guards, decision: attempt.admission?.decision ?? OPEN, now: attempt.iat },
            lifetimesOf((await readTenant(store, tenant)).lifetimes, lifetimes),
          )
          const permitted = permittedScopes(app, resource)
          // The permission may have been taken away since the grant was made.
          if (permitted.length === 0) throw new errors.InvalidScope('the application is not permitted to call this API any more', uri)
          const names = [...permitted, '.default'].map((name) => fullScope(resource, name))
          return {
            scope: names.join(' '),
            audience: resource.audience,
            accessTokenFormat: 'jwt',
            accessTokenTTL: resource.kind === 'signals' ? STREAM_TOKEN : attempt.lifetime.seconds,
            jwt: { sign: { alg: 'ES256' } },
          }
        },
      },
    },
    formats: {
      customizers: {
        jwt: async (ctx, token, parts) => {
          parts.payload = (await accessTokenClaims(tenant, store, ctx, token as never, parts.payload as never)) as never
        },
      },
    },
    async findAccount(ctx, sub, token) {
      const attempt = currentAttempt()
      const user = await readUser(store, tenant, sub)
      if (token) {
        const held = token as HeldGrant
        const others = await readInstants(store, tenant, { sid: held.sessionUid, appId: held.clientId, user: sub })
        // An access token that is shown to us is judged as a guard would judge it (one for us alone holds no cp1); everything else by its first factor.
        const denial =
          held.kind === 'AccessToken'
            ? judge(
                user && asShown(user, false),
                others.map((one) => one && asShown(one, false)),
                held.iat,
              )
            : await askAgain(held, sub, judge(user, others, held.authTime))
        if (denial) {
          if (held.kind === 'AccessToken') throw new errors.InvalidToken('the token was revoked')
          attempt.denial = denial
          throw new errors.InvalidGrant('the grant is no longer good')
        }
        if (attempt.otherDevice) throw new errors.InvalidGrant('the grant was given to another device')
        if (held.kind !== 'AccessToken' && held.clientId !== undefined && held.sessionUid !== undefined) {
          attempt.wish = { clientId: held.clientId, sid: held.sessionUid, scope: String(ctx.oidc.params?.scope ?? held.scope ?? '') }
          if (attempt.successor === undefined && loops.isLooping(attempt.wish)) {
            attempt.denial = { reason: 'client-loop' }
            throw new errors.InvalidGrant('the client asks for the same again and again')
          }
        }
        attempt.account = { id: sub, breakGlass: user?.breakGlass === true }
        if (held.kind !== 'AccessToken') await admitGrant(tenant, store, secrets, sub, held)
      }
      if (!user) return undefined
      return {
        accountId: sub,
        claims: async () => ({
          sub,
          oid: sub,
          tid: tenant.id,
          name: user.displayName,
          preferred_username: user.userPrincipalName,
          login_hint: user.userPrincipalName,
        }),
      }
    },
    async loadExistingGrant(ctx) {
      const { account, client, session } = ctx.oidc
      if (!account || !client) return undefined
      const known = session?.grantIdFor(client.clientId)
      const grant =
        (known ? await ctx.oidc.provider.Grant.find(known) : undefined) ??
        new ctx.oidc.provider.Grant({ accountId: account.accountId, clientId: client.clientId })
      grant.addOIDCScope(OIDC_SCOPES.join(' '))
      const asked = await target(ctx, client.clientId)
      if (asked) {
        grant.addResourceScope(asked.resource.uri, [...asked.permitted, '.default'].map((name) => fullScope(asked.resource, name)).join(' '))
      }
      await grant.save()
      return grant
    },
    // A browser may read the answers that are meant for its own page.
    clientBasedCORS: (_ctx, origin, client) =>
      client.clientAuthMethod === 'none' && (client.redirectUris ?? []).some((uri) => URL.parse(uri)?.origin === origin),
    issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    // The successor that a spent token led to is handed out as it is: a second lineage never exists.
    rotateRefreshToken: (ctx) => currentAttempt().successor === undefined || ctx.oidc.entities.RefreshToken?.jti !== currentAttempt().successor,
    // Sessions, users and tenants end by their instants, which every grant is judged by.
    expiresWithSession: async () => false,
    interactions: { policy, url: (_ctx, { prompt, uid }) => `/${tenant.name}/${prompt.name === 'consent' ? 'consent' : 'signin'}/${uid}` },
    cookies: {
      keys: [secrets.derive(`cookies:${tenant.id}`).toString('base64url')],
      names: {
        session: `__Host-caegis-${tenant.name}`,
        interaction: `__Secure-caegis-${tenant.name}-signin`,
        resume: `__Secure-caegis-${tenant.name}-resume`,
      },
      long: { httpOnly: true, secure: true, sameSite: 'lax', path: '/', signed: true },
      short: { httpOnly: true, secure: true, sameSite: 'lax', signed: true },
    },
    ttl: {
      AccessToken: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? 3600,
      ClientCredentials: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? 3600,
      AuthorizationCode: 60,
      DeviceCode: 600,
      IdToken: 3600,
      Interaction: 3600,
      Grant: 90 * DAY,
      // Before anybody has signed in it is the proof of a form, and strangers make one with each look at a page.
      Session: (_ctx, session) => (session.accountId === undefined ? 3600 : 90 * DAY),
      RefreshToken: 90 * DAY,
    },
    // The provider itself connects to nobody. What it would send is a logout token, which must not leave before the sign-out has happened.
    async fetch(url, request) {
      if (!(request?.body instanceof URLSearchParams) || !request.body.has('logout_token'))
        throw new Error('the OpenID provider wants to fetch something')
      currentAttempt().endings.push({ kind: 'logout', uri: String(url), body: request.body.toString() })
      return new Response(null, { status: 204 })
    },
    renderError: async (ctx, out) => renderMessage(ctx, tenant, 'Sign-in could not go on', out.error_description ?? out.error),
    extraParams: {
      // Never fails on members that it does not know; read by the mount before the provider runs.
      claims: () => {},
      // Read there too; here the application is told, once it is sure that it is one.
      device_assertion: () => {
        if (currentAttempt().deviceRefused) throw new errors.AccessDenied(DEVICE_ENDED)
      },
    },
  }

  const provider = new Provider(tenant.issuer, configuration)
  const info = configuration.features?.resourceIndicators?.getResourceServerInfo as (ctx: unknown, uri: string, client: unknown) => Promise<object>
  const delegation: DelegationOptions = { store, target, info: (ctx, uri) => info(ctx, uri, ctx.oidc.client) }
  registerOnBehalfOf(provider, tenant, delegation)
  registerExchange(provider, tenant, delegation)
  // The mount in front says where the request came from; nothing of the sort is ever taken from the wire.
  provider.proxy = true
  provider.Client.prototype.compareClientSecret = async function (given: string) {
    const app = await readApplication(tenant, this.clientId)
    const now = store.clock()
    // All are compared, so that the time tells nothing of how many there are before the right one.
    const right = app?.credentials.filter(
      (one) => one.kind === 'secret' && secrets.matches(`client:${tenant.id}:${app.appId}`, given, one.value) && isGood(one, now),
    )
    return right !== undefined && right.length > 0
  }
  // The form of a device that comes without the session it was made in is answered with a new form, in a session that nobody has and nothing has stored.
  const sessions = (provider as unknown as { Session: { prototype: { exp?: number; persist(): Promise<unknown> } } }).Session.prototype
  const { persist } = sessions
  sessions.persist = async function () {
    return this.exp === undefined ? undefined : persist.call(this)
  }
  provider.use(async (ctx, next) => {
    ctx.set('content-security-policy', cspFor([]))
    await next()
    // Codes of devices and the proofs of forms are for the one who asked, now.
    if (ctx.response.is('html')) ctx.set('cache-control', 'no-store')
    await answerPresented(store, tenant, ctx as KoaContextWithOIDC)
    noteSignOut(ctx as KoaContextWithOIDC)
  })
  provider.on('authorization.error', (ctx, error) => noteRefused(currentAttempt(), ctx, error))
  provider.on('grant.error', (_ctx, error) => {
    if (lacksProof(error)) currentAttempt().denial = { reason: 'key-unproved' }
  })
  provider.on('server_error', (_ctx, error) =>
    log.error('the OpenID provider failed', { tenant: tenant.name, name: error.name, message: error.message, stack: error.stack }),
  )
  return provider
}

/** Somebody signed out: of everything, or of the application that asked for it. */
function noteSignOut(ctx: KoaContextWithOIDC): void {
  const { route, session, params } = ctx.oidc ?? {}
  if (route !== 'end_session_confirm' || ctx.status !== 303 || !session?.accountId) return
  const everything = params?.logout !== undefined
  currentAttempt().endings.push({
    kind: everything ? 'session' : 'lineage',
    sid: session.uid,
    by: session.accountId,
    reason: everything ? 'The user signed out' : 'The user signed out of one application',
  })
}

const DEVICE_ENDED = 'the device could not prove itself, is disabled, or is not registered any more'

/** Seconds: guards renew theirs well before; the interoperability profile asks for at most an hour. */
const STREAM_TOKEN = 30 * 60
