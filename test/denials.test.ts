import {
  type AccountInfo,
  type AuthError,
  ConfidentialClientApplication,
  CryptoProvider,
  InteractionRequiredAuthError,
  PublicClientApplication,
  ServerError,
} from '@azure/msal-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { CONFIRMED, ORGANIZATION } from './emergency.ts'
import { claimsOf, type Loop, PASSWORD, SCOPE, SECRET, startLoop } from './loop.ts'

const REDIRECT = 'http://localhost'
const LIMIT = 5
let loop: Loop
let moment = 0
/** What MSAL was answered, as it stood on the wire. */
const wire: { status: number; retryAfter: string | null; body: Record<string, unknown> }[] = []

beforeAll(async () => {
  loop = await startLoop({
    now: () => Date.now() + moment * 1000,
    settings: { loopLimit: LIMIT },
    tenant: JSON.stringify({
      tenant: { name: 'contoso', displayName: 'Contoso' },
      users: Array.from({ length: 20 }, (_, n) => ({ userPrincipalName: `user${n}@contoso.test`, displayName: `User ${n}`, password: PASSWORD })),
      applications: [
        {
          ...{ appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
          permissions: ['api://mail/Mail.Read'],
        },
        { appId: 'mail-api', identifierUris: ['api://mail'], scopes: ['Mail.Read'], cae: true, clientSecret: SECRET },
        { appId: 'files-native', type: 'native', redirectUris: [REDIRECT], permissions: [SCOPE] },
        { appId: 'doomed', type: 'native', redirectUris: [REDIRECT], permissions: [SCOPE] },
        { appId: 'album', type: 'native', redirectUris: [REDIRECT], permissions: [SCOPE], consent: 'required' },
        {
          ...{ appId: 'nightly', type: 'daemon', clientSecret: SECRET },
          permissions: ['graph/User.ReadWrite.All', 'graph/Organization.ReadWrite.All', 'graph/Application.ReadWrite.All', 'api://files/.default'],
        },
        { appId: 'idle', type: 'daemon', clientSecret: SECRET, permissions: ['api://files/.default'] },
      ],
    }),
  })
})
afterAll(() => loop.close())

const networkClient = {
  sendGetRequestAsync: (url: string, options?: object) => send('GET', url, options),
  sendPostRequestAsync: (url: string, options?: object) => send('POST', url, options),
}
async function send(method: string, url: string, { headers, body }: { headers?: Record<string, string>; body?: string } = {}) {
  const response = await fetch(url, { method, ...(headers ? { headers } : {}), ...(body === undefined ? {} : { body }) })
  const answer = (await response.json()) as Record<string, unknown>
  if (url.includes('/token')) wire.push({ status: response.status, retryAfter: response.headers.get('retry-after'), body: answer })
  return { status: response.status, headers: Object.fromEntries(response.headers), body: answer as never }
}
const auth = (clientId: string, more = {}) => ({
  auth: { clientId, authority: loop.authority, knownAuthorities: [new URL(loop.authority).host], clientCapabilities: ['cp1'], ...more },
  system: { protocolMode: 'OIDC', networkClient },
})

/** Somebody who has signed in with MSAL; everybody is another user, because most do not come back from their test. */
let people = 0
async function person(clientId = 'files-native') {
  const upn = `user${people++}@contoso.test`
  const msal = new PublicClientApplication(auth(clientId) as never)
  const { verifier, challenge } = await new CryptoProvider().generatePkceCodes()
  const asked = { scopes: [SCOPE], redirectUri: REDIRECT }
  const browser = createBrowser()
  const url = await msal.getAuthCodeUrl({ ...asked, codeChallenge: challenge, codeChallengeMethod: 'S256' })
  let end = await browser.open((await browser.open(url)).url.href, { username: upn, password: PASSWORD }, REDIRECT)
  if (end.text.includes('asks for permission')) end = await browser.open(end.url.href, { answer: 'accept' }, REDIRECT)
  const redeem = () => msal.acquireTokenByCode({ ...asked, code: String(end.url.searchParams.get('code')), codeVerifier: verifier })
  const result = await redeem()
  const cache = JSON.parse(msal.getTokenCache().serialize()) as { RefreshToken: Record<string, { secret: string }> }
  return {
    ...{ upn, msal, redeem, accessToken: result.accessToken, refreshToken: String(Object.values(cache.RefreshToken)[0]?.secret) },
    silent: (more = {}) => msal.acquireTokenSilent({ account: result.account as AccountInfo, scopes: [SCOPE], forceRefresh: true, ...more }),
    revoke: () => loop.graph('POST', `/users/${upn}/revokeSignInSessions`),
  }
}
const confidential = (clientId: string, clientSecret = SECRET) => new ConfidentialClientApplication(auth(clientId, { clientSecret }) as never)
const daemon = (clientId: string, scope = 'api://files/.default', secret = SECRET) =>
  confidential(clientId, secret).acquireTokenByClientCredential({ scopes: [scope] })

type Kind = typeof InteractionRequiredAuthError | typeof ServerError

/** Fails as MSAL's own class, with the code on the wire that made it so. Whatever is denied is no fault of the server's, and no reason to come back later. */
async function denied(work: Promise<unknown>, kind: Kind, { error, suberror = '', code }: { error: string; suberror?: string; code: number }) {
  const thrown = (await work.then(
    () => new Error('nothing was denied'),
    (given: unknown) => given,
  )) as AuthError & { errorNo?: string; claims?: string }
  const { status, retryAfter, body } = wire.at(-1) as (typeof wire)[number]
  expect({ name: thrown.name, errorCode: thrown.errorCode, subError: thrown.subError, errorNo: thrown.errorNo }, thrown.message).toEqual({
    name: kind === ServerError ? 'ServerError' : 'InteractionRequiredAuthError',
    ...{ errorCode: error, subError: suberror, errorNo: code },
  })
  expect(thrown).toBeInstanceOf(kind)
  expect([400, 401]).toContain(status)
  expect(retryAfter).toBeNull()
  expect(body).toMatchObject({
    error_description: expect.stringMatching(new RegExp(`^CAE${code}: `)),
    ...{ timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$/), trace_id: expect.any(String), correlation_id: expect.any(String) },
  })
  expect(body).not.toHaveProperty('access_token')
  return thrown
}

const REVOKED = { error: 'interaction_required', suberror: 'basic_action', code: 50173 }
const BAD_TOKEN = { error: 'invalid_grant', suberror: 'bad_token', code: 70000 }

/** MSAL keeps a refresh token unless it is told that it is bad; then it does not even ask. */
async function asksNoMore(silent: () => Promise<unknown>) {
  const before = wire.length
  const error = await silent().catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(InteractionRequiredAuthError)
  expect(error).toMatchObject({ errorCode: 'no_tokens_found' })
  expect(wire.length).toBe(before)
}

describe('what the user has to see to', () => {
  it('everything of the user was revoked: asked for with the instant after it, and the refresh token is kept', async () => {
    const one = await person()
    await one.revoke()
    const { claims } = await denied(one.silent(), InteractionRequiredAuthError, REVOKED)
    const { nbf } = (JSON.parse(String(claims)) as { access_token: { nbf: { value: string } } }).access_token
    expect(Number(nbf.value)).toBeGreaterThan(claimsOf(one.accessToken).iat)
    await denied(one.silent(), InteractionRequiredAuthError, REVOKED)
  })

  it('the session was ended by an administrator, the password was set, or what the application holds was withdrawn', async () => {
    const one = await person()
    await loop.graph('POST', `/caegis/sessions/${claimsOf(one.accessToken).sid}/revoke`)
    await denied(one.silent(), InteractionRequiredAuthError, REVOKED)
    const two = await person()
    await loop.graph('PATCH', `/users/${two.upn}`, { passwordProfile: { password: 'another horse battery' } })
    await denied(two.silent(), InteractionRequiredAuthError, REVOKED)
    const three = await person()
    await withdraw(three.upn)
    await denied(three.silent(), InteractionRequiredAuthError, REVOKED)
  })

  it('the consent was withdrawn', async () => {
    const one = await person('album')
    await withdraw(one.upn)
    await denied(one.silent(), InteractionRequiredAuthError, { error: 'invalid_grant', suberror: 'consent_required', code: 65001 })
  })

  it('the account is disabled, or deleted: the client forgets its refresh token', async () => {
    const one = await person()
    await loop.graph('PATCH', `/users/${one.upn}`, { accountEnabled: false })
    await denied(one.silent(), InteractionRequiredAuthError, { ...BAD_TOKEN, code: 50057 })
    await asksNoMore(one.silent)
    const two = await person()
    await loop.graph('DELETE', `/users/${two.upn}`)
    await denied(two.silent(), InteractionRequiredAuthError, { ...BAD_TOKEN, code: 50034 })
    await asksNoMore(two.silent)
  })

  it('a refresh token is unknown, belongs to another client, was spent, or has expired; a code was used before', async () => {
    const one = await person()
    const byRefreshToken = (refreshToken: string, msal = one.msal) => msal.acquireTokenByRefreshToken({ refreshToken, scopes: [SCOPE] })
    await denied(byRefreshToken('unknown'), InteractionRequiredAuthError, BAD_TOKEN)
    await denied(byRefreshToken(one.refreshToken, new PublicClientApplication(auth('doomed') as never)), InteractionRequiredAuthError, BAD_TOKEN)
    await one.silent()
    moment += 31
    await denied(byRefreshToken(one.refreshToken), InteractionRequiredAuthError, BAD_TOKEN)
    const two = await person()
    await denied(two.redeem(), InteractionRequiredAuthError, BAD_TOKEN)
    const three = await person()
    moment += 91 * 24 * 3600
    await denied(three.silent(), InteractionRequiredAuthError, BAD_TOKEN)
    await asksNoMore(three.silent)
  })

  it('an API calls on with a token that was revoked, or with something else', async () => {
    const api = confidential('files-api')
    const one = await person()
    const trade = (oboAssertion: string) => api.acquireTokenOnBehalfOf({ oboAssertion, scopes: ['api://mail/Mail.Read'], skipCache: true })
    await one.revoke()
    await denied(trade(one.accessToken), InteractionRequiredAuthError, REVOKED)
    await denied(trade('something-else'), InteractionRequiredAuthError, BAD_TOKEN)
  })

  it('the client asks for the same again and again: the refresh token is kept', async () => {
    const one = await person()
    for (let turn = 1; turn < LIMIT; turn++) await one.silent()
    const again = { error: 'invalid_grant', suberror: 'message_only', code: 50196 }
    await denied(one.silent(), InteractionRequiredAuthError, again)
    await denied(one.silent(), InteractionRequiredAuthError, again)
    moment += 300
    expect((await one.silent())?.accessToken).toBeTruthy()
  })
})

describe('what no user can help', () => {
  it('a wrong secret, a scope that nobody offers or that was not granted, a disabled application', async () => {
    await denied(daemon('nightly', undefined, 'wrong-secret-of-some-length'), ServerError, { error: 'invalid_client', code: 7000215 })
    await denied(daemon('nightly', 'api://unknown/.default'), ServerError, { error: 'invalid_scope', code: 70011 })
    await denied(daemon('idle', 'api://mail/.default'), ServerError, { error: 'invalid_scope', code: 70011 })
    const one = await person()
    await denied(one.silent({ scopes: ['api://mail/Mail.Read'] }), ServerError, { error: 'invalid_scope', code: 70011 })
    const { silent } = await person('doomed')
    for (const appId of ['doomed', 'idle'])
      expect((await loop.graph('PATCH', `/servicePrincipals/${appId}`, { accountEnabled: false })).ok).toBe(true)
    await denied(silent(), ServerError, { error: 'invalid_client', code: 7000215 })
    await denied(daemon('idle'), ServerError, { error: 'invalid_client', code: 7000215 })
  })

  it('claims that ask for a token of the future', async () => {
    const { silent } = await person()
    const nbf = String(Math.floor(Date.now() / 1000) + moment + 3600)
    const claims = JSON.stringify({ access_token: { nbf: { essential: true, value: nbf } } })
    await denied(silent({ claims }), ServerError, { error: 'invalid_request', code: 900144 })
  })

  it('a tenant that is stopped', async () => {
    const { silent } = await person()
    expect((await loop.graph('POST', `${ORGANIZATION}/stop`, CONFIRMED)).status).toBe(200)
    await denied(silent(), ServerError, { error: 'access_denied', code: 5000224 })
    await denied(daemon('nightly'), ServerError, { error: 'access_denied', code: 5000224 })
  })
})

async function withdraw(upn: string): Promise<void> {
  const { value } = (await (await loop.graph('GET', `/users/${upn}/oauth2PermissionGrants`)).json()) as { value: { id: string }[] }
  expect((await loop.graph('DELETE', `/oauth2PermissionGrants/${value[0]?.id}`)).status).toBe(204)
}
