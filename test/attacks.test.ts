import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { authorize, createFlow } from './flow.ts'
import { raw } from './forge.ts'
import { HOSTILE_TENANT } from './hostile-tenant.ts'
import { claimsOf, type Loop, PASSWORD, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

/** Milliseconds by which the clock of {@link withClock} is ahead. */
let ahead = 0
let loop: Loop
beforeAll(async () => {
  loop = await startLoop({ tenant: HOSTILE_TENANT })
})
afterAll(() => loop.close())

/** Runs with a server whose clock can be moved. */
async function withClock(work: (own: Loop) => Promise<void>): Promise<void> {
  ahead = 0
  const own = await startLoop({ tenant: HOSTILE_TENANT, now: () => Date.now() + ahead })
  try {
    await work(own)
  } finally {
    await own.close()
    ahead = 0
  }
}

const daemon = (form: Record<string, string>, clientId = 'nightly') =>
  loop.token({ grant_type: 'client_credentials', client_id: clientId, client_secret: SECRET, ...form })

describe('who may ask for what', () => {
  it('the permissions that a web application has for its users are not its own', async () => {
    for (const scope of [`${loop.origin}/.default`, `${loop.origin}/User.ReadWrite.All`, 'api://files/.default', SCOPE]) {
      const { status, body } = await daemon({ scope }, 'portal')
      expect({ status, error: body.error }).toEqual({ status: 400, error: 'unauthorized_client' })
    }
    expect((await daemon({ scope: `${loop.origin}/.default` })).status).toBe(200)
    expect((await daemon({ scope: 'ssf.read ssf.manage' }, 'files-api')).status).toBe(200)
  })

  it('`resource` names no audience beyond what the scopes say', async () => {
    for (const resource of ['api://mail', loop.origin, `${loop.authority}/ssf`, 'api://files']) {
      for (const scope of [undefined, 'openid', 'api://files/.default']) {
        if (resource === 'api://files' && scope === 'api://files/.default') continue
        const { status, body } = await daemon({ resource, ...(scope === undefined ? {} : { scope }) })
        expect({ resource, scope, status, error: body.error }).toEqual({ resource, scope, status: 400, error: 'invalid_target' })
      }
      for (const scope of ['openid', `${SCOPE} openid`]) {
        if (resource === 'api://files' && scope !== 'openid') continue
        const { location } = await authorize(loop, { resource, scope })
        expect(new URL(location).searchParams.get('error'), `${resource} ${scope}`).toBe('invalid_target')
      }
    }
    const flow = createFlow(loop)
    const { refreshToken } = await flow.tokens()
    for (const resource of ['api://mail', loop.origin]) expect((await flow.refresh(refreshToken, { resource })).status).toBe(400)
    for (const resource of ['api://mail', loop.origin]) {
      const other = createFlow(loop)
      expect((await other.redeem(await other.code(), { resource })).status).toBe(400)
    }
  })

  it('no token names an API of which the application may do nothing any more', () =>
    withClock(async (loop) => {
      const flow = createFlow(loop, { clientId: 'other-native' })
      const { refreshToken } = await flow.tokens()
      const { db } = loop.server.store
      const set = (permissions: string[]) =>
        db
          .updateTable('applications')
          .set({ permissions: JSON.stringify(permissions) })
          .where('app_id', '=', 'other-native')
          .execute()
      const { permissions } = await db.selectFrom('applications').select('permissions').where('app_id', '=', 'other-native').executeTakeFirstOrThrow()
      await set([])
      for (const form of [{}, { scope: SCOPE }, { scope: 'openid' }]) {
        const { status, body } = await flow.refresh(refreshToken, form as Record<string, string>)
        expect({ status, error: body.error }).toEqual({ status: 400, error: expect.stringMatching(/^invalid_(scope|target)$/) })
      }
      await set(JSON.parse(permissions))
      // Nothing was spent by the refusals: the grace is over, and the token still opens the door.
      ahead = 40_000
      expect(await flow.refresh(refreshToken)).toMatchObject({ status: 200 })
    }))

  it('a permission that was withdrawn from a daemon ends at the admin API with the next call', async () => {
    const token = await loop.daemonToken('nightly', `${loop.origin}/.default`)
    const call = () => fetch(`${loop.origin}/v1.0/users`, { headers: { authorization: `Bearer ${token}` } })
    expect((await call()).status).toBe(200)
    const { db } = loop.server.store
    const row = db.updateTable('applications').where('app_id', '=', 'nightly')
    await row.set({ permissions: '["api://files/.default"]' }).execute()
    expect((await call()).status).toBe(403)
    await row.set({ permissions: '["graph/User.ReadWrite.All","api://files/.default"]' }).execute()
    expect((await call()).status).toBe(200)
  })

  it('scopes are one API, exact, permitted', async () => {
    for (const scope of [
      `${SCOPE} api://mail/Mail.Read`,
      `${SCOPE} ${loop.origin}/User.Read`,
      `${SCOPE} ssf.read`,
      'api://files/Files.Write',
      'api://files/',
      'api://files',
      'api://files//Files.Read',
      'api://FILES/Files.Read',
      'api://files/files.read',
      'api://files/nested/Nested.Read',
      'api://mail/.default',
      'ssf.read',
      'Files.Read',
      'api://files/Files.Read\u0000',
      'api://files/Files.Read,api://files/Files.Write',
    ]) {
      const { location, status } = await authorize(loop, { scope })
      const error = location.startsWith('http://localhost') ? new URL(location).searchParams.get('error') : `${status} ${location}`
      expect(`${scope}: ${error}`).toBe(`${scope}: invalid_scope`)
    }
    const nested = createFlow(loop, { clientId: 'other-native', scope: 'api://files/nested/Nested.Read' })
    expect(claimsOf((await nested.tokens()).accessToken)).toMatchObject({ aud: 'api://files/nested', scp: 'Nested.Read' })
    const odd = createFlow(loop, { scope: `  openid\t${SCOPE}   offline_access ` })
    expect(claimsOf((await odd.tokens()).accessToken)).toMatchObject({ aud: 'api://files', scp: 'Files.Read' })
  })

  it('a refresh token and a code are worth nothing to another client', async () => {
    const flow = createFlow(loop)
    const { refreshToken } = await flow.tokens()
    expect((await flow.refresh(refreshToken, { client_id: 'other-native' })).body).toMatchObject({ error: 'invalid_grant', suberror: 'bad_token' })
    await flow.refresh(refreshToken)
    // Within the grace the successor is not shown to a stranger either.
    const stranger = await flow.refresh(refreshToken, { client_id: 'other-native' })
    expect(stranger.status).toBe(400)
    expect(JSON.stringify(stranger.body)).not.toMatch(/eyJ|refresh_token"/)
    const second = createFlow(loop)
    expect((await second.redeem(await second.code(), { client_id: 'other-native' })).status).toBe(400)
    // However the form is named, the grace is the same.
    const odd = await raw(loop.origin, '/contoso/oauth2/v2.0/token', {
      method: 'POST',
      headers: ['content-type', 'Application/X-WWW-Form-Urlencoded'],
      body: new URLSearchParams({ grant_type: 'refresh_token', client_id: 'files-native', refresh_token: refreshToken }).toString(),
    })
    expect(odd.status).toBe(200)
  })

  it('a code works once, also when it is redeemed many times at once', async () => {
    const flow = createFlow(loop)
    const code = await flow.code()
    const answers = await Promise.all(Array.from({ length: 20 }, () => flow.redeem(code)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    expect(answers.every(({ status }) => status === 200 || status === 400)).toBe(true)
    // It was used twice, so what came of it is gone (RFC 6749 section 4.1.2).
    const won = answers.find(({ status }) => status === 200)
    expect((await flow.refresh(String(won?.body.refresh_token))).status).toBe(400)
  })
})

it('a daemon gets no token for nothing', async () => {
  for (const form of [{}, { scope: 'openid' }, { scope: '' }, { scope: 'offline_access' }]) {
    expect((await daemon(form as Record<string, string>)).status).toBe(400)
  }
})

describe('what has expired', () => {
  it('is a refusal, never a failure: code, sign-in page, refresh token, session', () =>
    withClock(async (loop) => {
      const flow = createFlow(loop)
      const { refreshToken } = await flow.tokens()
      const other = createFlow(loop)
      const code = await other.code()
      const third = createFlow(loop)
      const page = await third.browser.open(third.url)
      ahead = 62_000
      expect(await other.redeem(code)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
      ahead = 3_700_000
      const late = await third.browser.open(page.url.href, { username: 'alice@contoso.test', password: PASSWORD })
      expect(late.status).toBe(400)
      expect(late.text).toContain('has expired')
      ahead = 91 * 24 * 3_600_000
      expect(await flow.refresh(refreshToken)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
      const again = await flow.browser.open(flow.url)
      expect(again.status).toBe(200)
      expect(again.text).toContain('name="password"')
    }))
})

describe('a clock that fell behind', () => {
  it('A4(v): locks nobody out after a revocation, and the next revocation covers what was proved meanwhile', () =>
    withClock(async (loop) => {
      const flow = createFlow(loop)
      ahead = 3_600_000
      await flow.tokens()
      await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
      ahead = 0
      // Proved, nothing minted yet.
      const second = createFlow(loop)
      const code = await second.code()
      await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
      expect(await second.redeem(code)).toMatchObject({ status: 400, body: { error_codes: [50173] } })
      const third = createFlow(loop)
      const { refreshToken } = await third.tokens()
      expect((await third.refresh(refreshToken)).status).toBe(200)
      await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
      expect(await third.refresh(refreshToken)).toMatchObject({ status: 400 })
    }))
})

it('the opaque token for userinfo is under the fence like any other', async () => {
  const { db } = loop.server.store
  const set = (access_from: number) => db.updateTable('users').set({ access_from }).where('upn', '=', 'alice@contoso.test').execute()
  const flow = createFlow(loop, { scope: 'openid' })
  const code = await flow.code()
  await set(Math.floor(Date.now() / 1000) + 1)
  const { status, body } = await flow.redeem(code)
  expect(status).toBe(200)
  const answer = await fetch(`${loop.authority}/openid/userinfo`, { headers: { authorization: `Bearer ${body.access_token}` } })
  expect(answer.status).toBe(200)
  await set(0)
})

describe('paths, headers, bodies', () => {
  const form = () =>
    new URLSearchParams({ grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope: 'api://files/.default' }).toString()

  it('an escaped path does not lead to another endpoint, and no answer repeats a URL', async () => {
    for (const path of [
      '/contoso/oauth2/v2.0/authorize/..%2ftoken',
      '/contoso/oauth2/v2.0/device/..%2ftoken',
      '/contoso/oauth2/v2.0/authorize/..%2f..%2f..%2fopenid%2fuserinfo',
      '/contoso/oauth2/v2.0/authorize/%2e%2e%2ftoken',
      '/contoso/oauth2/v2.0/authorize/x%3fy',
      '/contoso//oauth2/v2.0/token',
      '//contoso/oauth2/v2.0/token',
      '/contoso%2foauth2/v2.0/token',
      '/contoso/oauth2/v2.0/token/',
      '/nope/oauth2/v2.0/token',
      '/con%00toso/oauth2/v2.0/token',
      '/unknown',
    ]) {
      const answer = await raw(loop.origin, `${path}?access_token=abcdefabcdefabcdef`, {
        method: 'POST',
        headers: ['content-type', 'application/x-www-form-urlencoded'],
        body: form(),
      })
      expect(`${path}: ${answer.status}`).toBe(`${path}: 404`)
      expect(answer.body).not.toContain('abcdef')
    }
    for (const path of ['/CONTOSO/OAuth2/v2.0/TOKEN', `/${loop.tenant}/oauth2/v2.0/token`, `/${loop.tenant.toUpperCase()}/oauth2/v2.0/token`]) {
      const answer = await raw(loop.origin, path, { method: 'POST', headers: ['content-type', 'Application/X-WWW-Form-Urlencoded'], body: form() })
      expect(answer.status).toBe(200)
      expect(claimsOf(JSON.parse(answer.body).access_token).iss).toBe(loop.issuer)
    }
  })

  it('nothing is taken from Host and forwarding headers', async () => {
    const spoof = [
      'x-forwarded-host',
      'evil.test',
      'x-forwarded-proto',
      'http',
      'x-forwarded-for',
      '203.0.113.9',
      'forwarded',
      'for=203.0.113.9;host=evil.test',
    ]
    const metadata = await raw(loop.origin, '/contoso/v2.0/.well-known/openid-configuration', { headers: spoof })
    expect(metadata.body).not.toContain('evil.test')
    expect(JSON.parse(metadata.body)).toMatchObject({ issuer: loop.issuer, token_endpoint: `${loop.authority}/oauth2/v2.0/token` })
    const { url } = createFlow(loop)
    const page = await raw(loop.origin, url.slice(loop.origin.length), { headers: spoof })
    expect(page.status).toBe(303)
    expect(String(page.headers.location)).toMatch(/^\/contoso\/signin\/|^https:\/\/localhost:\d+\/contoso\/signin\//)
    const answer = await raw(loop.origin, '/contoso/oauth2/v2.0/token', {
      method: 'POST',
      headers: [...spoof, 'content-type', 'application/x-www-form-urlencoded'],
      body: form(),
    })
    expect(claimsOf(JSON.parse(answer.body).access_token)).toMatchObject({ iss: loop.issuer, ipaddr: expect.stringMatching(/^(127\.0\.0\.1|::1)$/) })
  })

  it('the form of a device without the session that it was made in is refused, not a failure', async () => {
    for (const form of [{ user_code: 'ABCD-EFGH' }, { xsrf: 'x', user_code: 'ABCD-EFGH', confirm: 'yes' }, { client_id: 'files-native' }]) {
      const answer = await fetch(`${loop.authority}/oauth2/v2.0/device`, { method: 'POST', body: new URLSearchParams(form as never) })
      expect([answer.status, answer.headers.get('content-type')]).toEqual([400, 'text/html; charset=utf-8'])
      expect(answer.headers.get('set-cookie') ?? '').not.toContain('session=')
    }
  })

  it('bombs in claims, forms and JSON are refused at once', async () => {
    const deep = `{"access_token":${'{"a":'.repeat(1200)}1${'}'.repeat(1200)}}`
    for (const claims of [
      'x'.repeat(50_000),
      `{"access_token":${'['.repeat(4000)}${']'.repeat(4000)}}`,
      '[]',
      'null',
      '{"access_token":{"nbf":{"value":"1e9"}}}',
      '{"access_token":[]}',
    ]) {
      expect(await daemon({ scope: 'api://files/.default', claims })).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    }
    expect(await daemon({ scope: 'api://files/.default', claims: deep })).toMatchObject({ status: 200 })
    expect((await daemon({ scope: 'api://files/.default', claims: '{"__proto__":{"access_token":{"xms_cc":{"values":["cp1"]}}}}' })).status).toBe(200)
    const large = await fetch(`${loop.authority}/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams({ claims: 'x'.repeat(70_000) }) })
    expect(large.status).toBe(413)
    const token = await loop.daemonToken('nightly', `${loop.origin}/.default`)
    const patch = (body: string, type = 'application/json') =>
      fetch(`${loop.origin}/v1.0/users/alice@contoso.test`, {
        method: 'PATCH',
        headers: { authorization: `Bearer ${token}`, 'content-type': type },
        body,
      })
    for (const body of [
      '['.repeat(100_000),
      `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
      '{"__proto__":{"accountEnabled":false}}',
      '{"constructor":{}}',
      '"x"',
      'null',
      '',
      '{',
    ]) {
      expect((await patch(body)).status).toBe(400)
    }
    expect((await patch('x'.repeat(2_000_000))).status).toBe(413)
    expect((await patch('a=b', 'application/x-www-form-urlencoded')).status).toBe(415)
    expect((await patch('accountEnabled', 'text/plain')).status).toBe(400)
  })

  it('a page of another origin cannot redeem, and the admin API shares nothing with any', async () => {
    const flow = createFlow(loop, { clientId: 'spa', redirectUri: 'http://localhost:8445/' })
    const body = new URLSearchParams({
      ...{
        grant_type: 'authorization_code',
        client_id: 'spa',
        code: await flow.code(),
        code_verifier: flow.verifier,
        redirect_uri: 'http://localhost:8445/',
      },
    })
    const from = (origin: string) => fetch(`${loop.authority}/oauth2/v2.0/token`, { method: 'POST', headers: { origin }, body })
    for (const origin of ['https://evil.test', 'null', 'http://localhost:8446', 'http://localhost:8445.evil.test']) {
      const refused = await from(origin)
      expect(refused.status).toBe(400)
      expect(refused.headers.get('access-control-allow-origin')).toBeNull()
    }
    const good = await from('http://localhost:8445')
    expect(good.status).toBe(200)
    expect(good.headers.get('access-control-allow-origin')).toBe('http://localhost:8445')
    expect(good.headers.get('access-control-allow-credentials')).toBeNull()
    const users = await fetch(`${loop.origin}/v1.0/users`, { headers: { origin: 'https://evil.test' } })
    expect(users.headers.get('access-control-allow-origin')).toBeNull()
  })
})

it('two Authorization lines at the admin API are refused', async () => {
  const token = await loop.daemonToken('nightly', `${loop.origin}/.default`)
  const answer = await raw(loop.origin, '/v1.0/users', { headers: ['authorization', `Bearer ${token}`, 'authorization', `Bearer ${token}`] })
  expect(answer.status).toBe(400)
})

it('a guard of the API sees no difference: tokens without any scope do not exist', async () => {
  const guard = await loop.guard()
  const { accessToken } = await createFlow(loop).tokens()
  expect(await verdictOf(guard, accessToken)).toMatchObject({ allowed: true, claims: { scp: 'Files.Read' } })
})
