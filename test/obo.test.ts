import { ConfidentialClientApplication, InteractionRequiredAuthError } from '@azure/msal-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { createFlow } from './flow.ts'
import { createForge } from './forge.ts'
import { claimsOf, eventually, holdNextMint, type Loop, PASSWORD, SECRET, startLoop, verdictOf } from './loop.ts'
import { grant, policy, setPolicies } from './policies-of.ts'

const TENANT = JSON.stringify({
  tenant: { name: 'contoso' },
  users: ['alice', 'bob', 'carol', 'dave', 'erin', 'fay'].map((name) => ({
    userPrincipalName: `${name}@contoso.test`,
    displayName: name,
    password: PASSWORD,
  })),
  applications: [
    {
      appId: 'files-api',
      identifierUris: ['api://files'],
      scopes: ['Files.Read'],
      cae: true,
      clientSecret: SECRET,
      permissions: ['api://mail/Mail.Read'],
    },
    { appId: 'mail-api', identifierUris: ['api://mail'], scopes: ['Mail.Read', 'Mail.Send'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: ['api://files/Files.Read', 'api://mail/Mail.Read'] },
    { appId: 'second', type: 'native', redirectUris: ['http://localhost'], permissions: ['api://files/Files.Read'] },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All', 'api://files/.default'] },
  ],
})

describe('on behalf of', () => {
  let loop: Loop
  beforeAll(async () => {
    loop = await startLoop({ tenant: TENANT })
  })
  afterAll(() => loop.close())

  const of = async (name: string, clientId = 'files-native', scope = 'api://files/Files.Read') =>
    createFlow(loop, { username: `${name}@contoso.test`, clientId, scope: `${scope} openid` }).tokens()
  const trade = (assertion: string, more: Record<string, string> = {}) =>
    loop.token({
      grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
      ...{ client_id: 'files-api', client_secret: SECRET, requested_token_use: 'on_behalf_of', scope: 'api://mail/Mail.Read', assertion },
      ...more,
    })
  const mailGuard = () => loop.guard({ audience: 'api://mail', clientId: 'mail-api' })

  it('D8: who signed in by a device code did so for the APIs behind the first one, too', async () => {
    const begun = await (
      await fetch(`${loop.authority}/oauth2/v2.0/devicecode`, {
        method: 'POST',
        body: new URLSearchParams({ client_id: 'files-native', scope: 'api://files/Files.Read openid' }),
      })
    ).json()
    const browser = createBrowser()
    const page = await browser.open(begun.verification_uri_complete)
    const confirm = await browser.open(page.url.href, { user_code: begun.user_code })
    const login = await browser.open(confirm.url.href, { confirm: 'yes', user_code: begun.user_code })
    await browser.open(login.url.href, { username: 'fay@contoso.test', password: PASSWORD })
    const grant_type = 'urn:ietf:params:oauth:grant-type:device_code'
    const byCode = await loop.token({ grant_type, client_id: 'files-native', device_code: begun.device_code })
    const byPage = await of('fay')
    const conditions = { applications: { includeApplications: ['mail-api'] }, authenticationFlows: { transferMethods: 'deviceCodeFlow' } }
    await setPolicies(loop, [policy('No device codes for mail', { conditions, ...grant('block') })])
    expect(byCode.status).toBe(200)
    expect((await trade(String(byCode.body.access_token))).body).toMatchObject({ error_codes: [53003] })
    expect((await trade(byPage.accessToken)).status).toBe(200)
    await setPolicies(loop, [])
  })

  it('unmodified @azure/msal-node calls on in the name of the user, with the same session and an actor', async () => {
    const { accessToken } = await of('alice')
    const api = new ConfidentialClientApplication({
      auth: {
        ...{ clientId: 'files-api', clientSecret: SECRET, authority: loop.authority, clientCapabilities: ['cp1'] },
        knownAuthorities: [new URL(loop.origin).host],
      },
      system: { protocolMode: 'OIDC' },
    } as never)
    const guard = await mailGuard()
    const result = await api.acquireTokenOnBehalfOf({ oboAssertion: accessToken, scopes: ['api://mail/Mail.Read'] })
    const token = String(result?.accessToken)
    const from = claimsOf(accessToken)
    expect(claimsOf(token)).toMatchObject({
      ...{ aud: 'api://mail', sub: from.sub, oid: from.oid, tid: loop.tenant, sid: from.sid, auth_time: from.auth_time, amr: from.amr },
      ...{ azp: 'files-api', scp: 'Mail.Read', xms_cc: ['cp1'], xms_ssm: '1' },
      act: { sub: 'files-api', client_id: 'files-api', act: { sub: 'files-native', client_id: 'files-native' } },
    })
    expect(claimsOf(token)).not.toHaveProperty('idtyp')
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })
    expect((await api.acquireTokenOnBehalfOf({ oboAssertion: accessToken, scopes: ['api://mail/Mail.Read'] }))?.fromCache).toBe(true)

    // A3(c): the user is revoked; both tokens die, and neither can be traded for a living one.
    expect((await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')).status).toBe(200)
    await eventually(
      () => verdictOf(guard, token),
      (verdict) => !verdict.allowed,
    )
    const error = await api
      .acquireTokenOnBehalfOf({ oboAssertion: accessToken, scopes: ['api://mail/Mail.Read'], skipCache: true })
      .catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(InteractionRequiredAuthError)
    expect(error).toMatchObject({ errorCode: 'interaction_required', subError: 'basic_action', errorNo: 50173 })
    const { claims } = error as InteractionRequiredAuthError
    expect(JSON.parse(claims).access_token.nbf.value).toMatch(/^\d+$/)
  })

  it('A3: a disabled user, a revoked session, a token that was handed back: none is laundered into a new token', async () => {
    const { accessToken } = await of('bob')
    expect((await trade(accessToken)).status).toBe(200)
    const other = (await of('bob')).accessToken
    const revoked = await fetch(`${loop.authority}/oauth2/v2.0/revoke`, {
      method: 'POST',
      body: new URLSearchParams({ client_id: 'files-native', token: other }),
    })
    expect(revoked.status).toBe(200)
    expect(await trade(other)).toMatchObject({ status: 400, body: { error: 'interaction_required', error_codes: [50173] } })
    expect((await trade(accessToken)).status).toBe(200)
    await loop.graph('PATCH', '/users/bob@contoso.test', { accountEnabled: false })
    const disabled = await trade(accessToken)
    expect(disabled).toMatchObject({ status: 400, body: { error: 'invalid_grant', suberror: 'bad_token', error_codes: [50057] } })
    expect(disabled.body).not.toHaveProperty('access_token')
    await loop.graph('PATCH', '/users/bob@contoso.test', { accountEnabled: true })
    // Enabled again: what was issued before stays dead.
    expect(await trade(accessToken)).toMatchObject({ status: 400, body: { error: 'interaction_required' } })
  })

  const withdraw = async (name: string, app: string) => {
    const { value } = (await (await loop.graph('GET', `/users/${name}@contoso.test/oauth2PermissionGrants`)).json()) as {
      value: { id: string; clientId: string }[]
    }
    return loop.graph('DELETE', `/oauth2PermissionGrants/${value.find(({ clientId }) => clientId === app)?.id}`)
  }

  it('A3: what a user takes back from the application that called ends what was issued in its name, for as long as that lives', async () => {
    const guard = await mailGuard()
    const { accessToken } = await of('erin', 'second')
    const token = String((await trade(accessToken)).body.access_token)
    const kept = String((await trade((await of('erin')).accessToken)).body.access_token)
    // The withdrawal has to be known for as long as the traded token could be good, not only the one that it came for.
    await loop.server.store.db.updateTable('grants').set({ tokens_until: 0 }).where('app_id', '=', 'second').execute()
    await trade(accessToken)
    expect((await withdraw('erin', 'second')).status).toBe(204)
    await eventually(
      async () => (await verdictOf(guard, token)).allowed,
      (allowed) => !allowed,
    )
    expect((await verdictOf(guard, kept)).allowed).toBe(true)
    // A guard that starts later is told too.
    expect((await verdictOf(await mailGuard(), token)).allowed).toBe(false)
    expect(await trade(accessToken)).toMatchObject({ status: 400, body: { error: 'interaction_required', error_codes: [50173] } })
  })

  it('A4: an exchange that is held while its token is handed back, or while the caller loses what it holds of the user, gives nothing', async () => {
    const handBack = (token: string) =>
      fetch(`${loop.authority}/oauth2/v2.0/revoke`, { method: 'POST', body: new URLSearchParams({ client_id: 'files-native', token }) })
    for (const end of [handBack, () => withdraw('fay', 'files-native')]) {
      const { accessToken } = await of('fay')
      const mint = holdNextMint(loop)
      const answer = trade(accessToken)
      await mint.held
      expect((await end(accessToken)).ok).toBe(true)
      mint.release()
      expect(await answer).toMatchObject({ status: 400, body: { error: 'interaction_required', error_codes: [50173] } })
    }
  })

  it('takes only what was issued for this API, to a user, and is whole', async () => {
    const { accessToken } = await of('carol')
    const { accessToken: forMail } = await of('carol', 'files-native', 'api://mail/Mail.Read')
    const forge = await createForge(loop)
    const daemon = await loop.daemonToken('nightly', 'api://files/.default')
    const { iat } = claimsOf(accessToken)
    const idToken = (await of('carol')).idToken
    const bad = [
      ...[forMail, daemon, idToken, 'not-a-token', `${accessToken.slice(0, -6)}AAAAAA`, ''],
      forge.like(accessToken, { exp: iat - 10, iat: iat - 3600 }),
      forge.like(accessToken, { iss: 'https://other.test/v2.0' }),
      forge.like(accessToken, {}, { typ: 'JWT' }),
      forge.like(accessToken, {}, { alg: 'none' }),
    ]
    for (const one of bad) {
      const { status, body } = await trade(one)
      expect({ status, error: body.error, suberror: body.suberror }).toEqual({ status: 400, error: 'invalid_grant', suberror: 'bad_token' })
      expect(body).not.toHaveProperty('access_token')
    }
    // A chain has an end (RFC 8693 section 4.1).
    const deep = (depth: number): object => ({ sub: `a${depth}`, client_id: `a${depth}`, ...(depth > 1 ? { act: deep(depth - 1) } : {}) })
    expect(await trade(forge.like(accessToken, { act: deep(3), jti: 'deep' }))).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
  })

  it('asks for the secret, the permission and the right words', async () => {
    const { accessToken } = await of('carol')
    expect(await trade(accessToken, { client_secret: 'wrong' })).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
    expect(await trade(accessToken, { requested_token_use: 'something' })).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    expect(await trade(accessToken, { scope: 'api://mail/Mail.Send' })).toMatchObject({ status: 400, body: { error: 'invalid_scope' } })
    expect(await trade(accessToken, { scope: 'ssf.read' })).toMatchObject({ status: 400, body: { error: 'invalid_scope' } })
    expect(await trade(accessToken, { scope: 'openid' })).toMatchObject({ status: 400, body: { error: 'invalid_scope' } })
    // A public client has no token of its own to trade.
    expect((await trade(accessToken, { client_id: 'files-native', client_secret: '' })).status).toBeGreaterThanOrEqual(400)
    // Without cp1 no long life.
    const { body } = await trade(accessToken, { scope: 'api://mail/.default' })
    expect(claimsOf(String(body.access_token))).not.toHaveProperty('xms_ssm')
    expect(body).not.toHaveProperty('refresh_token')
  })

  it('A3: what cuts off the application that called cuts off what was issued in its name, for as long as that lives', async () => {
    const { accessToken } = await of('dave', 'second')
    const answer = await trade(accessToken, { claims: '{"access_token":{"xms_cc":{"values":["cp1"]}}}' })
    const token = String(answer.body.access_token)
    const guard = await mailGuard()
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })
    const row = await loop.server.store.db.selectFrom('applications').select('tokens_until').where('app_id', '=', 'second').executeTakeFirstOrThrow()
    expect(row.tokens_until).toBeGreaterThanOrEqual(claimsOf(token).exp)
  })
})
