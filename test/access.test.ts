import { describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { CAFE, CP1, enterWorld, flow, LOCATIONS, lastRecord, loop, now, OFFICE, OUTSIDE, only, submitCode, world } from './access-world.ts'
import { claimsOf, eventually, PASSWORD, SCOPE, SECRET } from './loop.ts'
import { grant, policy, setPolicies } from './policies-of.ts'

enterWorld()

describe('a policy that blocks', () => {
  it('ends the sign-in on a page that says why, with a number for the administrator; the application hears of it', async () => {
    await setPolicies(loop, [policy('Nobody from outside', { conditions: { ...(await only('alice')), ...OUTSIDE }, ...grant('block') })], LOCATIONS)
    world.from = CAFE
    const { browser, url } = flow()
    const page = await browser.open(url)
    const stop = await browser.open(page.url.href, { username: 'alice@contoso.test', password: PASSWORD })
    expect(stop.status).toBe(403)
    expect(stop.text).toContain('a policy of your organization does not allow this access now')
    const record = await eventually(lastRecord, ({ code }) => code === 53003)
    expect(stop.text).toContain(record.correlation)
    expect(record).toMatchObject({
      address: CAFE,
      policies: { status: 'failure', applied: [{ displayName: 'Nobody from outside', result: 'failure' }] },
    })
    const end = await browser.open(stop.url.href, { leave: '53003' }, 'http://localhost')
    expect(end.url.searchParams.get('error')).toBe('access_denied')
    expect(end.url.searchParams.get('error_description')).toMatch(/^CAE53003: /)
  })

  it('refuses a refresh token in the words that MSAL takes for a block, and spends it not', async () => {
    const ids = await setPolicies(loop, [policy('Nobody from outside', { conditions: OUTSIDE, ...grant('block') })], LOCATIONS)
    const one = flow('bob')
    const tokens = await one.tokens(CP1)
    world.from = CAFE
    const refused = await one.refresh(tokens.refreshToken, CP1)
    expect(refused).toMatchObject({ status: 400, body: { error: 'interaction_required', suberror: 'message_only', error_codes: [53003] } })
    expect(JSON.parse(String(refused.body.claims))).toEqual({ access_token: { capolids: { essential: true, values: ids } } })
    expect(refused.headers.get('retry-after')).toBeNull()
    world.from = OFFICE
    expect((await one.refresh(tokens.refreshToken, CP1)).status).toBe(200)
  })

  it('answers a silent request of the browser without a page', async () => {
    await setPolicies(loop, [], LOCATIONS)
    const one = flow('bob')
    await one.code()
    await setPolicies(loop, [policy('Nobody from outside', { conditions: OUTSIDE, ...grant('block') })], LOCATIONS)
    world.from = CAFE
    const end = await flow('bob', { browser: one.browser, more: { prompt: 'none' } }).signIn()
    expect(end.searchParams.get('error')).toBe('interaction_required')
    expect(end.searchParams.get('error_description')).toMatch(/^CAE53003: /)
  })

  it('refuses a daemon, and never the stream of an API', async () => {
    await setPolicies(
      loop,
      [
        policy('No daemons from outside', {
          conditions: {
            users: { includeUsers: ['None'] },
            clientApplications: { includeServicePrincipals: ['ServicePrincipalsInMyTenant'] },
            ...OUTSIDE,
          },
          ...grant('block'),
        }),
      ],
      LOCATIONS,
    )
    const ask = (clientId: string, scope: string) =>
      loop.token({ grant_type: 'client_credentials', client_id: clientId, client_secret: SECRET, scope })
    expect((await ask('nightly', 'api://files/.default')).status).toBe(200)
    world.from = CAFE
    expect(await ask('nightly', 'api://files/.default')).toMatchObject({
      status: 400,
      body: { error: 'invalid_grant', suberror: 'message_only', error_codes: [53003] },
    })
    expect((await ask('files-api', 'ssf.read ssf.manage')).status).toBe(200)
  })

  it.each(['by its object id', 'by its client id'])('refuses a daemon that a policy names %s', async (how) => {
    const { id } = await loop.server.store.db.selectFrom('applications').select('id').where('app_id', '=', 'nightly').executeTakeFirstOrThrow()
    const name = how === 'by its client id' ? 'nightly' : id
    await setPolicies(loop, [
      policy('Not this one', {
        conditions: { users: { includeUsers: ['None'] }, clientApplications: { includeServicePrincipals: [name] } },
        ...grant('block'),
      }),
    ])
    const ask = (clientId: string) =>
      loop.token({ grant_type: 'client_credentials', client_id: clientId, client_secret: SECRET, scope: 'api://files/.default' })
    expect(await ask('nightly')).toMatchObject({ status: 400, body: { error_codes: [53003] } })
  })

  it('holds for an API that calls on in the name of a user, by where the user was', async () => {
    await setPolicies(loop, [], LOCATIONS)
    world.from = CAFE
    const { accessToken } = await flow('bob').tokens()
    world.from = OFFICE
    await setPolicies(
      loop,
      [policy('No mail from outside', { conditions: { applications: { includeApplications: ['mail-api'] }, ...OUTSIDE }, ...grant('block') })],
      LOCATIONS,
    )
    const onBehalf = () =>
      loop.token({
        ...{ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', requested_token_use: 'on_behalf_of', assertion: accessToken },
        ...{ client_id: 'files-api', client_secret: SECRET, scope: 'api://mail/Mail.Read' },
      })
    expect(await onBehalf()).toMatchObject({ status: 400, body: { suberror: 'message_only', error_codes: [53003] } })
    await setPolicies(loop, [], LOCATIONS)
    expect((await onBehalf()).status).toBe(200)
  })
})

describe('a policy that asks for a second factor', () => {
  it('lets somebody who has none register one in the midst of the sign-in', async () => {
    await setPolicies(loop, [policy('MFA', { conditions: await only('carol'), ...grant('mfa') })])
    const one = flow('carol')
    const page = await one.browser.open(one.url)
    const setup = await one.browser.open(page.url.href, { username: 'carol@contoso.test', password: PASSWORD })
    expect(setup.text).toContain('Set up an authenticator app')
    expect(await eventually(lastRecord, ({ code }) => code === 50079)).toMatchObject({ user: { name: 'carol@contoso.test' } })
    const wrong = await one.browser.open(setup.url.href, { code: '000000' })
    expect(wrong.status).toBe(401)
    const codes = await one.browser.open(setup.url.href, { code: submitCode(wrong.text) })
    expect(codes.text).toContain('Your recovery codes')
    const end = await one.browser.open(codes.url.href, undefined, 'http://localhost')
    const code = end.url.searchParams.get('code') as string
    const { status, body } = await one.redeem(code)
    expect(status).toBe(200)
    expect(claimsOf(String(body.access_token)).amr).toEqual(['pwd', 'otp', 'mfa'])
    expect((await one.refresh(String(body.refresh_token))).status).toBe(200)
  })

  it('turns a session into a question: silently by claims, in the browser by a page', async () => {
    await setPolicies(loop, [])
    const one = flow('dave')
    const tokens = await one.tokens(CP1)
    await setPolicies(loop, [policy('MFA', { conditions: await only('dave'), ...grant('mfa') })])
    expect(await one.refresh(tokens.refreshToken, CP1)).toMatchObject({
      status: 400,
      body: { error: 'interaction_required', suberror: 'basic_action', error_codes: [50079] },
    })
    const page = await one.browser.open(one.url, undefined, 'http://localhost')
    expect(page.text).toContain('Set up an authenticator app')
  })

  it('says where it may be registered from', async () => {
    await setPolicies(
      loop,
      [
        policy('MFA', { conditions: await only('dave'), ...grant('mfa') }),
        policy('Register in the office', {
          conditions: { ...(await only('dave')), applications: { includeUserActions: ['urn:user:registersecurityinfo'] }, ...OUTSIDE },
          ...grant('block'),
        }),
      ],
      LOCATIONS,
    )
    world.from = CAFE
    const one = flow('dave')
    const page = await one.browser.open(one.url)
    const stop = await one.browser.open(page.url.href, { username: 'dave@contoso.test', password: PASSWORD })
    expect(stop.status).toBe(403)
    world.from = OFFICE
    const again = flow('dave')
    const other = await again.browser.open(again.url)
    expect((await again.browser.open(other.url.href, { username: 'dave@contoso.test', password: PASSWORD })).text).toContain('Set up')
  })
})

describe('other controls', () => {
  it('a device that is not registered is refused by its number, at the page and at the token endpoint', async () => {
    await setPolicies(loop, [])
    const one = flow('alice')
    const tokens = await one.tokens(CP1)
    await setPolicies(loop, [policy('Compliant devices', { conditions: await only('alice'), ...grant('compliantDevice') })])
    expect((await one.refresh(tokens.refreshToken, CP1)).body).toMatchObject({ error: 'interaction_required', error_codes: [53000] })
    const page = await one.browser.open(one.url)
    expect(page).toMatchObject({ status: 403, text: expect.stringContaining('compliant devices only') })
  })

  it('a device code is refused where policies do not want that flow', async () => {
    await setPolicies(loop, [
      policy('No device codes', { conditions: { authenticationFlows: { transferMethods: 'deviceCodeFlow' } }, ...grant('block') }),
    ])
    const begun = await (
      await fetch(`${loop.authority}/oauth2/v2.0/devicecode`, {
        method: 'POST',
        body: new URLSearchParams({ client_id: 'files-native', scope: `${SCOPE} openid` }),
      })
    ).json()
    const browser = createBrowser()
    const page = await browser.open(begun.verification_uri_complete ?? begun.verification_uri)
    const confirm = await browser.open(page.url.href, { user_code: begun.user_code })
    const login = await browser.open(confirm.url.href, { confirm: 'yes', user_code: begun.user_code })
    const stop = await browser.open(login.url.href, { username: 'bob@contoso.test', password: PASSWORD })
    expect(stop.status).toBe(403)
    expect((await flow('bob').tokens()).accessToken).toBeTruthy()
  })

  it('D7: the sign-in frequency caps every token, and a sign-in that is nearly too old is asked for anew', async () => {
    const frequency = { signInFrequency: { isEnabled: true, type: 'hours', value: 1, frequencyInterval: 'timeBased' } }
    await setPolicies(loop, [policy('Hourly', { conditions: await only('bob'), sessionControls: frequency })])
    const guard = await loop.guard({ now })
    const one = flow('bob')
    const tokens = await one.tokens(CP1)
    const first = claimsOf(tokens.accessToken)
    expect(first.exp).toBe((first.auth_time as number) + 3600)
    world.ahead += 50 * 60
    const later = await one.refresh(tokens.refreshToken, CP1)
    expect(later.status).toBe(200)
    expect(claimsOf(String(later.body.access_token)).exp).toBe((first.auth_time as number) + 3600)
    // 4 minutes 10 seconds are left: no client caches what lives as shortly, so each call would ask for another one.
    world.ahead += 5 * 60 + 50
    const refused = await one.refresh(String(later.body.refresh_token), CP1)
    expect(refused).toMatchObject({ status: 400, body: { error: 'invalid_grant', suberror: 'bad_token', error_codes: [70043] } })
    const page = await one.browser.open(one.url)
    expect(page.text).toContain('name="password"')
    const end = await one.browser.open(page.url.href, { username: 'bob@contoso.test', password: PASSWORD }, 'http://localhost')
    const renewed = await one.redeem(end.url.searchParams.get('code') as string, CP1)
    expect(renewed.status).toBe(200)
    expect(claimsOf(String(renewed.body.access_token)).auth_time).toBeGreaterThan(first.auth_time as number)
    await guard.close()
  })

  it('continuous access evaluation is on unless a policy turns it off', async () => {
    await setPolicies(loop, [])
    const guard = await loop.guard({ now })
    const long = claimsOf((await flow('bob').tokens(CP1)).accessToken)
    expect(long.xms_ssm).toBe('1')
    await setPolicies(loop, [policy('Off', { conditions: await only('bob'), sessionControls: { continuousAccessEvaluation: { mode: 'disabled' } } })])
    const ordinary = claimsOf((await flow('bob').tokens(CP1)).accessToken)
    expect(ordinary.xms_ssm).toBeUndefined()
    expect(ordinary.exp - ordinary.iat).toBeLessThanOrEqual(90 * 60)
    await guard.close()
  })

  it('a session that must not persist gets a cookie for as long as the browser runs', async () => {
    const cookieOf = async (who: string) => {
      const seen: string[] = []
      const real = globalThis.fetch
      globalThis.fetch = async (input, init) => {
        const response = await real(input, init)
        seen.push(...response.headers.getSetCookie().filter((line) => line.startsWith('__Host-caegis-contoso=')))
        return response
      }
      await flow(who)
        .code()
        .finally(() => {
          globalThis.fetch = real
        })
      return seen.at(-1) as string
    }
    await setPolicies(loop, [
      policy('Never', { conditions: await only('bob'), sessionControls: { persistentBrowser: { isEnabled: true, mode: 'never' } } }),
    ])
    expect(await cookieOf('bob')).not.toMatch(/expires=/i)
    expect(await cookieOf('alice')).toMatch(/expires=/i)
  })
})

it('a policy that is only reported changes nothing, and the log says what it would have done', async () => {
  await setPolicies(loop, [policy('Trial', { state: 'enabledForReportingButNotEnforced', conditions: await only('alice'), ...grant('block') })])
  const { accessToken } = await flow('alice').tokens()
  expect(accessToken).toBeTruthy()
  expect(await lastRecord()).toMatchObject({ code: 0, policies: { applied: [{ displayName: 'Trial', result: 'reportOnlyFailure' }] } })
})

it('what was decided is kept with the session, by the facts that it was decided by', async () => {
  await setPolicies(loop, [policy('MFA outside', { conditions: OUTSIDE, ...grant('mfa') })], LOCATIONS)
  const { accessToken } = await flow('alice').tokens(CP1)
  const claims = claimsOf(accessToken)
  const row = await loop.server.store.db.selectFrom('decisions').selectAll().where('sid', '=', String(claims.sid)).executeTakeFirstOrThrow()
  expect(row).toMatchObject({ app_id: 'files-native', resource: 'api://files', outcome: 'allow', capable: 1, tokens_until: claims.exp })
  expect(JSON.parse(row.signals)).toMatchObject({
    address: OFFICE,
    application: 'files-api',
    clientAppType: 'mobileAppsAndDesktopClients',
    flow: 'none',
  })
  const { policies_version } = await loop.server.store.db.selectFrom('tenants').select('policies_version').executeTakeFirstOrThrow()
  expect(row.version).toBe(policies_version)
})
