import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ConfidentialClientApplication, CryptoProvider, PublicClientApplication, type SilentFlowRequest } from '@azure/msal-node'
import { boundFetch, capableClaims, grantToken, msalDaemonToken, msalToken, oidcToken, withClaimsChallenge } from '@caegis/client'
import { protect } from '@caegis/guard/node'
import { InMemoryWebStorage, UserManager, WebStorageStateStore } from 'oidc-client-ts'
import * as openid from 'openid-client'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { claimsOf, eventually, type Loop, PASSWORD, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

const BACK = 'http://localhost/back'
const PERSON = { username: 'alice@contoso.test', password: PASSWORD }

// The recipes of docs/clients.md, with the libraries themselves, a server and an API behind a guard.
describe('withClaimsChallenge over unmodified libraries', () => {
  let loop: Loop
  let guard: Awaited<ReturnType<Loop['guard']>>
  let server: Server
  let url: string
  /** The tokens that the API saw since the test began, and what it answered. */
  const seen: { token: string; status: number }[] = []
  beforeAll(async () => {
    loop = await startLoop({
      tenant: JSON.stringify({
        tenant: { name: 'contoso' },
        users: [
          { userPrincipalName: 'admin@contoso.test', displayName: 'Admin', password: PASSWORD, roles: ['admin'] },
          { userPrincipalName: PERSON.username, displayName: 'Alice', password: PASSWORD },
        ],
        applications: [
          { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
          { appId: 'files-native', type: 'native', redirectUris: [BACK], permissions: [SCOPE] },
          {
            ...{ appId: 'nightly', type: 'daemon', clientSecret: SECRET },
            permissions: ['graph/User.ReadWrite.All', 'graph/Application.ReadWrite.All'],
          },
          { appId: 'hourly', type: 'daemon', clientSecret: SECRET, permissions: ['api://files/.default'] },
          { appId: 'daily', type: 'daemon', clientSecret: SECRET, permissions: ['api://files/.default'] },
        ],
      }),
    })
    guard = await loop.guard()
    const door = protect(guard)
    server = createServer((request, response) => {
      const token = String(request.headers.authorization).split(' ')[1] as string
      seen.push({
        token,
        get status() {
          return response.statusCode
        },
      })
      door(request, response, () => void response.end('files'))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/files`
  })
  afterAll(async () => {
    server?.closeAllConnections()
    server?.close()
    await loop?.close()
  })
  beforeEach(() => void seen.splice(0))

  const fetchWith = (token: Parameters<typeof withClaimsChallenge>[1]['token']) =>
    withClaimsChallenge(fetch, { origins: [new URL(url).origin], issuer: loop.issuer, token })

  /** Takes back one access token, and waits until the guard knows. */
  async function takeBack(token: string, client: Record<string, string>): Promise<void> {
    const body = new URLSearchParams({ ...client, token })
    expect((await fetch(`${loop.authority}/oauth2/v2.0/revoke`, { method: 'POST', body })).status).toBe(200)
    await refused(token)
  }

  const refused = (token: string) =>
    eventually(
      () => verdictOf(guard, token),
      (verdict) => !verdict.allowed,
    )

  /** The first call is allowed, the token dies, and five calls at once come through by one new token. */
  async function survives(api: typeof fetch, client: Record<string, string>): Promise<string> {
    expect((await api(url)).status).toBe(200)
    const first = seen[0]?.token as string
    expect(claimsOf(first)).toMatchObject({ aud: 'api://files', azp: client.client_id, xms_cc: ['cp1'] })
    await takeBack(first, client)
    const answers = await Promise.all(Array.from({ length: 5 }, () => api(url)))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
    const later = new Set(seen.slice(1).map(({ token }) => token))
    expect(later.size).toBe(2)
    later.delete(first)
    const [fresh] = later as Set<string>
    expect((await api(url)).status).toBe(200)
    expect(seen.at(-1)).toMatchObject({ token: fresh, status: 200 })
    return String(fresh)
  }

  /** Ends everything of the person: the issuer wants a new sign-in. */
  async function signOutEverywhere(token: string): Promise<void> {
    expect((await loop.graph('POST', `/users/${PERSON.username}/revokeSignInSessions`)).status).toBe(200)
    await refused(token)
  }

  async function disable(app: string, token: string): Promise<void> {
    expect((await loop.graph('PATCH', `/servicePrincipals/${app}`, { accountEnabled: false })).status).toBe(204)
    await refused(token)
  }

  /** A daemon that was disabled: one question to the issuer, then the end. */
  async function ends(api: typeof fetch): Promise<void> {
    seen.splice(0)
    await expect(api(url)).rejects.toMatchObject({ name: 'ClaimsChallengeError', code: 'challenge_refused', claims: expect.stringContaining('nbf') })
    expect(seen.map(({ status }) => status)).toEqual([401])
  }

  it('msal-node: silently, and by a new sign-in where the issuer wants one', async () => {
    const auth = { authority: loop.authority, knownAuthorities: [new URL(loop.origin).host], clientCapabilities: ['cp1'] }
    const app = new PublicClientApplication({ auth: { ...auth, clientId: 'files-native' } })
    const signIn = async (more: { claims?: string } = {}) => {
      const { verifier, challenge } = await new CryptoProvider().generatePkceCodes()
      const asked = { scopes: [SCOPE], redirectUri: BACK, ...more }
      const to = await app.getAuthCodeUrl({ ...asked, codeChallenge: challenge, codeChallengeMethod: 'S256' })
      const code = (await createBrowser().signIn(to, BACK, PERSON)).searchParams.get('code') as string
      return app.acquireTokenByCode({ ...asked, code, codeVerifier: verifier })
    }
    const { account } = await signIn()
    const request: SilentFlowRequest = { scopes: [SCOPE], account: account as NonNullable<typeof account> }
    let signedIn = 0
    const interactive = (asked: { claims?: string }) => {
      signedIn++
      return signIn(asked.claims ? { claims: asked.claims } : {})
    }
    const api = fetchWith(msalToken(app, request, { interactive }))
    const fresh = await survives(api, { client_id: 'files-native' })
    expect(signedIn).toBe(0)
    await signOutEverywhere(fresh)
    expect((await api(url)).status).toBe(200)
    expect(signedIn).toBe(1)
  })

  it('msal-node, a daemon: past its cache, and a typed end when it is disabled', async () => {
    const auth = { authority: loop.authority, knownAuthorities: [new URL(loop.origin).host], clientCapabilities: ['cp1'] }
    const app = new ConfidentialClientApplication({ auth: { ...auth, clientId: 'hourly', clientSecret: SECRET } })
    const api = fetchWith(msalDaemonToken(app, { scopes: ['api://files/.default'] }))
    const fresh = await survives(api, { client_id: 'hourly', client_secret: SECRET })
    await disable('hourly', fresh)
    await ends(api)
  })

  it('openid-client: by refresh token, and a typed end with which a person signs in anew', async () => {
    const config = await openid.discovery(new URL(loop.issuer), 'files-native', undefined, openid.None())
    const signIn = async (claims = capableClaims()) => {
      const verifier = openid.randomPKCECodeVerifier()
      const to = openid.buildAuthorizationUrl(config, {
        ...{ redirect_uri: BACK, scope: `openid offline_access ${SCOPE}`, claims },
        ...{ code_challenge: await openid.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256' },
      })
      const end = await createBrowser().signIn(to.href, BACK, PERSON)
      return openid.authorizationCodeGrant(config, end, { pkceCodeVerifier: verifier }, { claims })
    }
    const refreshed: (string | undefined)[] = []
    const fetchOf = (tokens: Awaited<ReturnType<typeof signIn>>) =>
      fetchWith(
        grantToken({
          tokens,
          grant: (parameters, refreshToken) => openid.refreshTokenGrant(config, refreshToken, parameters),
          keep: ({ refresh_token }) => refreshed.push(refresh_token),
        }),
      )
    const api = fetchOf(await signIn())
    const fresh = await survives(api, { client_id: 'files-native' })
    expect(refreshed).toEqual([expect.any(String)])
    await signOutEverywhere(fresh)
    const error = await api(url).catch((thrown: unknown) => thrown as { code: string; claims: string })
    expect(error).toMatchObject({ name: 'ClaimsChallengeError', code: 'challenge_refused' })
    const again = fetchOf(await signIn(capableClaims((error as { claims: string }).claims)))
    expect((await again(url)).status).toBe(200)
  })

  it('openid-client with tokens that are bound to a key: proofs for calls, refreshes and challenges', async () => {
    const config = await openid.discovery(new URL(loop.issuer), 'files-native', undefined, openid.None())
    // The API of this test is on this machine, without TLS.
    openid.allowInsecureRequests(config)
    const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair('ES256'))
    const claims = capableClaims()
    const pkceCodeVerifier = openid.randomPKCECodeVerifier()
    const to = openid.buildAuthorizationUrl(config, {
      ...{ redirect_uri: BACK, scope: `openid offline_access ${SCOPE}`, claims, dpop_jkt: await DPoP.calculateThumbprint() },
      ...{ code_challenge: await openid.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: 'S256' },
    })
    const end = await createBrowser().signIn(to.href, BACK, PERSON)
    const tokens = await openid.authorizationCodeGrant(config, end, { pkceCodeVerifier }, { claims }, { DPoP })
    const cnf = { jkt: await DPoP.calculateThumbprint() }
    expect(claimsOf(tokens.access_token)).toMatchObject({ cnf, xms_cc: ['cp1'] })
    const bound = boundFetch(fetch, (token, target, method, body, headers) =>
      openid.fetchProtectedResource(config, token, target, method, body, headers, { DPoP }),
    )
    const token = grantToken({ tokens, grant: (parameters, refreshToken) => openid.refreshTokenGrant(config, refreshToken, parameters, { DPoP }) })
    const api = withClaimsChallenge(bound, { origins: [new URL(url).origin], issuer: loop.issuer, token })
    expect((await api(url)).status).toBe(200)
    expect(seen).toEqual([{ token: tokens.access_token, status: 200 }])
    // E7: it is worth nothing without the key.
    expect((await fetch(url, { headers: { authorization: `Bearer ${tokens.access_token}` } })).status).toBe(401)
    seen.splice(0)

    const taken = new URLSearchParams({ client_id: 'files-native', token: tokens.access_token })
    expect((await fetch(`${loop.authority}/oauth2/v2.0/revoke`, { method: 'POST', body: taken })).status).toBe(200)
    await eventually(
      async () => [(await api(url, { method: 'POST', body: new Blob(['more']) })).status, seen.some(({ status }) => status === 401)],
      ([, challenged]) => challenged === true,
    )
    expect(seen.at(-1)?.status).toBe(200)
    const fresh = String(seen.at(-1)?.token)
    expect(fresh).not.toBe(tokens.access_token)
    expect(claimsOf(fresh)).toMatchObject({ cnf, xms_cc: ['cp1'] })
    expect((await api(new Request(url))).status).toBe(200)
    await expect(api(url, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' })

    expect((await loop.graph('POST', `/users/${PERSON.username}/revokeSignInSessions`)).status).toBe(200)
    const over = await eventually(
      () =>
        api(url).then(
          () => undefined,
          (error: unknown) => error,
        ),
      (error) => error !== undefined,
    )
    expect(over).toMatchObject({ name: 'ClaimsChallengeError', code: 'challenge_refused', claims: expect.stringContaining('nbf') })
  })

  it('openid-client, a daemon: by client credentials, and a typed end when it is disabled', async () => {
    const config = await openid.discovery(new URL(loop.issuer), 'daily', undefined, openid.ClientSecretPost(SECRET))
    const api = fetchWith(
      grantToken({ grant: (parameters) => openid.clientCredentialsGrant(config, { scope: 'api://files/.default', ...parameters }) }),
    )
    const fresh = await survives(api, { client_id: 'daily', client_secret: SECRET })
    await disable('daily', fresh)
    await ends(api)
  })

  it('oidc-client-ts: silently by its refresh token, and by a popup where the issuer wants the person', async () => {
    const said = { claims: capableClaims() }
    const windows: string[] = []
    const popups = {
      async prepare() {
        return {
          async navigate({ url: to }: { url: string }) {
            windows.push(to)
            return { url: (await createBrowser().signIn(to, BACK, PERSON)).href }
          },
          close() {},
        }
      },
      async callback() {},
    }
    const manager = new UserManager(
      {
        ...{ authority: loop.issuer, client_id: 'files-native', redirect_uri: BACK, scope: `openid profile offline_access ${SCOPE}` },
        ...{ automaticSilentRenew: false, extraQueryParams: said, extraTokenParams: said },
        userStore: new WebStorageStateStore({ store: new InMemoryWebStorage() }),
      },
      undefined,
      popups as never,
    )
    const user = await manager.signinPopup({ popupSignal: null })
    expect(windows).toHaveLength(1)
    const api = fetchWith(
      oidcToken(manager, { interactive: (claims) => manager.signinPopup({ extraQueryParams: { claims }, extraTokenParams: { claims } }) }),
    )
    const fresh = await survives(api, { client_id: 'files-native' })
    expect(seen[0]?.token).toBe(user.access_token)
    expect((await manager.getUser())?.access_token).toBe(fresh)

    await signOutEverywhere(fresh)
    expect((await api(url)).status).toBe(200)
    expect(windows).toHaveLength(2)
    expect(JSON.parse(new URL(windows[1] as string).searchParams.get('claims') as string)).toMatchObject({
      access_token: { nbf: { essential: true }, xms_cc: { values: ['cp1'] } },
    })
    await signOutEverywhere(String(seen.at(-1)?.token))
    await expect(fetchWith(oidcToken(manager))(url)).rejects.toMatchObject({ name: 'ClaimsChallengeError', code: 'challenge_refused' })
  })
})
