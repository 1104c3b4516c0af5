import * as client from 'openid-client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { claimsOf, type Loop, PASSWORD, SCOPE, SECRET, startLoop } from './loop.ts'

const BACK = 'http://localhost/back'

describe('unmodified openid-client', () => {
  let loop: Loop
  beforeAll(async () => {
    // The library sends back the address as a URL object writes it, with a path.
    loop = await startLoop({
      tenant: JSON.stringify({
        tenant: { name: 'contoso' },
        users: [{ userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: PASSWORD }],
        applications: [
          { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
          { appId: 'files-native', type: 'native', redirectUris: [BACK], permissions: [SCOPE] },
          { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['api://files/.default'] },
        ],
      }),
    })
  })
  afterAll(() => loop.close())

  const person = { username: 'alice@contoso.test', password: PASSWORD }

  it('discovers, signs in by code and PKCE, refreshes, and knows where to sign out', async () => {
    const config = await client.discovery(new URL(loop.issuer), 'files-native', undefined, client.None())
    expect(config.serverMetadata().issuer).toBe(loop.issuer)
    const verifier = client.randomPKCECodeVerifier()
    const [state, nonce] = [client.randomState(), client.randomNonce()]
    const url = client.buildAuthorizationUrl(config, {
      ...{ redirect_uri: BACK, scope: `openid profile ${SCOPE}`, state, nonce },
      ...{ code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256' },
    })
    const end = await createBrowser().signIn(url.href, BACK, person)
    // RFC 9207: the answer says whose it is, and the library insists on it.
    expect(end.searchParams.get('iss')).toBe(loop.issuer)
    expect(config.serverMetadata().authorization_response_iss_parameter_supported).toBe(true)
    const mixedUp = new URL(end)
    mixedUp.searchParams.set('iss', 'https://evil.test/v2.0')
    const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true }
    await expect(client.authorizationCodeGrant(config, mixedUp, checks)).rejects.toThrow()
    const tokens = await client.authorizationCodeGrant(config, end, checks)
    expect(tokens.claims()).toMatchObject({ iss: loop.issuer, aud: 'files-native', preferred_username: 'alice@contoso.test', tid: loop.tenant })
    expect(claimsOf(tokens.access_token)).toMatchObject({ aud: 'api://files', scp: 'Files.Read' })

    const refreshed = await client.refreshTokenGrant(config, String(tokens.refresh_token))
    expect(refreshed.refresh_token).not.toBe(tokens.refresh_token)
    expect(claimsOf(refreshed.access_token)).toMatchObject({ sub: tokens.claims()?.sub, sid: claimsOf(tokens.access_token).sid })

    const out = client.buildEndSessionUrl(config, { id_token_hint: String(tokens.id_token) })
    expect(out.href).toMatch(new RegExp(`^${loop.authority}/oauth2/v2.0/logout\\?`))
    expect((await fetch(out)).status).toBe(200)
  })

  it('signs in on a device: it shows a code, waits, and gets its tokens once somebody has entered it', async () => {
    const config = await client.discovery(new URL(loop.issuer), 'files-native', undefined, client.None())
    const begin = () => client.initiateDeviceAuthorization(config, { scope: `openid profile ${SCOPE}` })
    const wait = (given: client.DeviceAuthorizationResponse) => client.pollDeviceAuthorizationGrant(config, { ...given, interval: 0.2 })
    const device = await begin()
    expect(device).toMatchObject({ interval: 5, verification_uri: `${loop.authority}/oauth2/v2.0/device` })
    const waiting = wait(device)
    await answer(device, { confirm: 'yes' })
    const tokens = await waiting
    expect(tokens.claims()).toMatchObject({ iss: loop.issuer, aud: 'files-native', preferred_username: 'alice@contoso.test' })
    expect(claimsOf(tokens.access_token)).toMatchObject({ aud: 'api://files', scp: 'Files.Read', azp: 'files-native' })
    expect((await client.refreshTokenGrant(config, String(tokens.refresh_token))).access_token).toBeTruthy()

    // Somebody who did not start it says no.
    const second = await begin()
    const refused = wait(second).catch((error: unknown) => error)
    await answer(second, { abort: 'yes' })
    expect(await refused).toMatchObject({ error: 'access_denied' })
  })

  /** Enters the code of a device in a browser, and signs in where that is still wanted. */
  async function answer({ verification_uri: page, user_code }: client.DeviceAuthorizationResponse, decision: Record<string, string>) {
    const browser = createBrowser()
    const xsrf = (text: string) => text.match(/name="xsrf" value="([^"]*)"/)?.[1] as string
    const input = await browser.open(page)
    const confirm = await browser.open(page, { xsrf: xsrf(input.text), user_code })
    const next = await browser.open(page, { xsrf: xsrf(confirm.text), user_code, ...decision })
    if (next.text.includes('name="password"')) await browser.open(next.url.href, person)
  }

  it('gets a daemon its token by client credentials, and none for a wrong secret', async () => {
    const config = await client.discovery(new URL(loop.issuer), 'nightly', undefined, client.ClientSecretPost(SECRET))
    const tokens = await client.clientCredentialsGrant(config, { scope: 'api://files/.default' })
    expect(claimsOf(tokens.access_token)).toMatchObject({ aud: 'api://files', azp: 'nightly', idtyp: 'app', roles: ['Files.Read'] })
    const wrong = await client.discovery(new URL(loop.issuer), 'nightly', undefined, client.ClientSecretPost('wrong'))
    await expect(client.clientCredentialsGrant(wrong, { scope: 'api://files/.default' })).rejects.toMatchObject({ error: 'invalid_client' })
  })
})
