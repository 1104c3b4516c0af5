import { ConfidentialClientApplication, CryptoProvider, InteractionRequiredAuthError, PublicClientApplication } from '@azure/msal-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { createFlow } from './flow.ts'
import { claimsOf, type Loop, PASSWORD, SCOPE, SECRET, startLoop } from './loop.ts'

const PERSON = { username: 'alice@contoso.test', password: PASSWORD }
const BACK = 'http://localhost'

// What MSAL does by default, as if this were Microsoft's own server: its discovery is at another address, and nothing says OIDC.
describe.each([
  ['by name', (loop: Loop) => loop.authority],
  ['by id', (loop: Loop) => `${loop.origin}/${loop.tenant}`],
])('unmodified @azure/msal-node in its default protocol mode (AAD), the tenant %s', (_how, authorityOf) => {
  let loop: Loop
  let auth: { authority: string; knownAuthorities: string[]; clientCapabilities: string[] }
  beforeAll(async () => {
    loop = await startLoop({
      tenant: JSON.stringify({
        tenant: { name: 'contoso' },
        users: [{ userPrincipalName: PERSON.username, displayName: 'Alice', password: PASSWORD }],
        applications: [
          {
            ...{ appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
            permissions: ['api://mail/Mail.Read'],
          },
          { appId: 'mail-api', identifierUris: ['api://mail'], scopes: ['Mail.Read'], cae: true, clientSecret: SECRET },
          { appId: 'files-native', type: 'native', redirectUris: [BACK], permissions: [SCOPE] },
          { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All', 'api://files/.default'] },
        ],
      }),
    })
    auth = { authority: authorityOf(loop), knownAuthorities: [new URL(loop.origin).host], clientCapabilities: ['cp1'] }
  })
  afterAll(() => loop.close())

  it('signs in by code and PKCE, is served from its cache, goes past it with claims, and asks the user after a revocation', async () => {
    const app = new PublicClientApplication({ auth: { ...auth, clientId: 'files-native' } })
    const { verifier, challenge } = await new CryptoProvider().generatePkceCodes()
    const asked = { scopes: [SCOPE], redirectUri: BACK }
    const url = await app.getAuthCodeUrl({ ...asked, codeChallenge: challenge, codeChallengeMethod: 'S256' })
    const code = (await createBrowser().signIn(url, BACK, PERSON)).searchParams.get('code') as string
    const first = await app.acquireTokenByCode({ ...asked, code, codeVerifier: verifier })
    expect(first.account).toMatchObject({ username: PERSON.username, tenantId: loop.tenant })
    const account = first.account as NonNullable<typeof first.account>
    expect(await app.acquireTokenSilent({ account, scopes: [SCOPE] })).toMatchObject({ fromCache: true, accessToken: first.accessToken })
    const claims = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'
    const past = await app.acquireTokenSilent({ account, scopes: [SCOPE], claims })
    expect(past.accessToken).not.toBe(first.accessToken)
    expect(claimsOf(past.accessToken)).toMatchObject({ aud: 'api://files', sid: claimsOf(first.accessToken).sid, xms_cc: ['cp1'] })
    expect((await loop.graph('POST', `/users/${PERSON.username}/revokeSignInSessions`)).status).toBe(200)
    const error = await app.acquireTokenSilent({ account, scopes: [SCOPE], claims }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(InteractionRequiredAuthError)
    expect(error).toMatchObject({ errorCode: 'interaction_required', errorNo: 50173 })
  })

  it('signs in on a device', async () => {
    const app = new PublicClientApplication({ auth: { ...auth, clientId: 'files-native' } })
    const result = await app.acquireTokenByDeviceCode({
      scopes: [SCOPE],
      deviceCodeCallback: ({ verificationUri, userCode }) => void approve(verificationUri, userCode),
    })
    expect(result?.account).toMatchObject({ username: PERSON.username })
    expect(claimsOf(String(result?.accessToken))).toMatchObject({ aud: 'api://files', azp: 'files-native' })
  })

  it('gets tokens for a daemon, and for an API on behalf of its user', async () => {
    const daemon = new ConfidentialClientApplication({ auth: { ...auth, clientId: 'nightly', clientSecret: SECRET } })
    const ask = () => daemon.acquireTokenByClientCredential({ scopes: ['api://files/.default'] })
    const own = await ask()
    expect(claimsOf(String(own?.accessToken))).toMatchObject({ aud: 'api://files', idtyp: 'app' })
    expect(await ask()).toMatchObject({ fromCache: true, accessToken: own?.accessToken })

    const api = new ConfidentialClientApplication({ auth: { ...auth, clientId: 'files-api', clientSecret: SECRET } })
    const { accessToken } = await createFlow(loop).tokens()
    const further = await api.acquireTokenOnBehalfOf({ oboAssertion: accessToken, scopes: ['api://mail/Mail.Read'] })
    expect(claimsOf(String(further?.accessToken))).toMatchObject({ aud: 'api://mail', azp: 'files-api', sub: claimsOf(accessToken).sub })
  })
})

it('an authority that is not named among the known ones is not asked: MSAL asks Microsoft about it first', async () => {
  const asked: string[] = []
  const send = async (url: string) => {
    asked.push(url)
    throw new Error('nothing leaves this machine')
  }
  const auth = { clientId: 'nightly', clientSecret: SECRET, authority: 'https://localhost:1/contoso' }
  const app = new ConfidentialClientApplication({ auth, system: { networkClient: { sendGetRequestAsync: send, sendPostRequestAsync: send } } })
  await expect(app.acquireTokenByClientCredential({ scopes: ['api://files/.default'] })).rejects.toThrow()
  expect(asked.length).toBeGreaterThan(0)
  for (const url of asked) expect(new URL(url).host).toBe('login.microsoftonline.com')
})

async function approve(page: string, code: string): Promise<void> {
  const browser = createBrowser()
  const hidden = (text: string) => text.match(/name="xsrf" value="([^"]*)"/)?.[1] as string
  const input = await browser.open(page)
  const confirm = await browser.open(page, { xsrf: hidden(input.text), user_code: code })
  const signIn = await browser.open(page, { xsrf: hidden(confirm.text), user_code: code, confirm: 'yes' })
  await browser.open(signIn.url.href, PERSON)
}
