import { InteractionRequiredAuthError } from '@azure/msal-node'
import type { Checker, Verdict } from '@caegis/guard'
import { readClaimsChallenge } from '@caegis/protocol'
import { Secret, TOTP } from 'otpauth'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { evidence } from './evidence.ts'
import { createFlow, type FlowOptions } from './flow.ts'
import { claimsOf, eventually, type Loop, PASSWORD, SCOPE, SECRET, startLoop } from './loop.ts'
import { grant, policy, setPolicies } from './policies-of.ts'

/** The address that a request claims to come from; the server takes the loopback for a proxy that it trusts. */
const OFFICE = '198.51.100.7'
const CAFE = '203.0.113.9'
const LOCATIONS = [{ id: 'office', trusted: true, ranges: ['198.51.100.0/24', '2001:db8:1::/48'] }]
const OUTSIDE = { locations: { includeLocations: ['All'], excludeLocations: ['office'] } }
const CP1 = { claims: JSON.stringify({ access_token: { xms_cc: { values: ['cp1'] } } }) }

let ahead = 0
let from = OFFICE
let loop: Loop
const now = () => Date.now() + ahead * 1000
const realFetch = globalThis.fetch

beforeAll(async () => {
  // Every request of this file comes by way of the proxy, from where the test says.
  globalThis.fetch = (input, init) =>
    realFetch(input, { ...init, headers: { ...Object.fromEntries(new Headers(init?.headers)), 'x-forwarded-for': from } })
  loop = await startLoop({
    now,
    environment: { CAEGIS_TRUSTED_PROXIES: '127.0.0.1,::1' },
    tenant: JSON.stringify({
      tenant: { name: 'contoso', displayName: 'Contoso' },
      groups: [{ displayName: 'finance' }],
      users: [
        { userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: PASSWORD },
        { userPrincipalName: 'bob@contoso.test', displayName: 'Bob', password: PASSWORD, groups: ['finance'] },
        { userPrincipalName: 'carol@contoso.test', displayName: 'Carol', password: PASSWORD },
        { userPrincipalName: 'dave@contoso.test', displayName: 'Dave', password: PASSWORD },
        { userPrincipalName: 'erin@contoso.test', displayName: 'Erin', password: PASSWORD },
      ],
      applications: [
        {
          ...{ appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
          permissions: ['api://mail/Mail.Read'],
        },
        { appId: 'mail-api', identifierUris: ['api://mail'], scopes: ['Mail.Read'], cae: true, clientSecret: SECRET },
        { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE, 'api://mail/Mail.Read'] },
        { appId: 'files-spa', type: 'spa', redirectUris: ['http://localhost'], permissions: [SCOPE] },
        { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All', 'api://files/.default'] },
      ],
    }),
  })
})
afterAll(async () => {
  globalThis.fetch = realFetch
  await loop.close()
})
beforeEach(() => {
  from = OFFICE
})

const flow = (who = 'alice', more: FlowOptions = {}) => createFlow(loop, { username: `${who}@contoso.test`, ...more })
const idOf = async (who: string) => String((await (await loop.graph('GET', `/users/${who}@contoso.test`)).json()).id)
const only = async (who: string) => ({ users: { includeUsers: [await idOf(who)] } })
/** The newest record of the sign-in log. */
const lastRecord = async () => {
  const row = await loop.server.store.db.selectFrom('sign_ins').selectAll().orderBy('id', 'desc').limit(1).executeTakeFirstOrThrow()
  return JSON.parse(row.record)
}
const submitCode = (text: string) => {
  const secret = text.match(/class="key">([A-Z2-7 ]+)</)?.[1]?.replaceAll(' ', '') as string
  return new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: now() })
}

describe('a policy that blocks', () => {
  it('ends the sign-in on a page that says why, with a number for the administrator; the application hears of it', async () => {
    await setPolicies(loop, [policy('Nobody from outside', { conditions: { ...(await only('alice')), ...OUTSIDE }, ...grant('block') })], LOCATIONS)
    from = CAFE
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
    from = CAFE
    const refused = await one.refresh(tokens.refreshToken, CP1)
    expect(refused).toMatchObject({ status: 400, body: { error: 'interaction_required', suberror: 'message_only', error_codes: [53003] } })
    expect(JSON.parse(String(refused.body.claims))).toEqual({ access_token: { capolids: { essential: true, values: ids } } })
    expect(refused.headers.get('retry-after')).toBeNull()
    from = OFFICE
    expect((await one.refresh(tokens.refreshToken, CP1)).status).toBe(200)
  })

  it('answers a silent request of the browser without a page', async () => {
    await setPolicies(loop, [], LOCATIONS)
    const one = flow('bob')
    await one.code()
    await setPolicies(loop, [policy('Nobody from outside', { conditions: OUTSIDE, ...grant('block') })], LOCATIONS)
    from = CAFE
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
    from = CAFE
    expect(await ask('nightly', 'api://files/.default')).toMatchObject({
      status: 400,
      body: { error: 'invalid_grant', suberror: 'message_only', error_codes: [53003] },
    })
    expect((await ask('files-api', 'ssf.read ssf.manage')).status).toBe(200)
  })

  it('holds for an API that calls on in the name of a user, by where the user was', async () => {
    await setPolicies(loop, [], LOCATIONS)
    from = CAFE
    const { accessToken } = await flow('bob').tokens()
    from = OFFICE
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
    from = CAFE
    const one = flow('dave')
    const page = await one.browser.open(one.url)
    const stop = await one.browser.open(page.url.href, { username: 'dave@contoso.test', password: PASSWORD })
    expect(stop.status).toBe(403)
    from = OFFICE
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
    ahead += 50 * 60
    const later = await one.refresh(tokens.refreshToken, CP1)
    expect(later.status).toBe(200)
    expect(claimsOf(String(later.body.access_token)).exp).toBe((first.auth_time as number) + 3600)
    // 4 minutes 10 seconds are left: no client caches what lives as shortly, so each call would ask for another one.
    ahead += 5 * 60 + 50
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

describe('an address that the API saw', () => {
  const block = policy('Nobody from outside', { conditions: OUTSIDE, ...grant('block') })
  const refreshed = async (rp: string, { proof, more = {} }: { proof?: (token: string) => string | undefined; more?: object } = {}) => {
    const one = flow('bob')
    const tokens = await one.tokens(CP1)
    const value = proof ? proof(tokens.accessToken) : evidence(loop, tokens.accessToken, rp, { second: Math.floor(now() / 1000) })
    const asked = {
      xms_cc: { values: ['cp1'] },
      xms_rp_ipaddr: { value: rp },
      ...(value === undefined ? {} : { caegis_evidence: { value } }),
      ...more,
    }
    return { one, tokens, answer: await one.refresh(tokens.refreshToken, { claims: JSON.stringify({ access_token: asked }) }) }
  }
  const claims = (answer: { body: Record<string, unknown> }) => claimsOf(String(answer.body.access_token))

  it('D3: outside, and the issuer sees the office: an hour, for this address and this policy', async () => {
    const [id] = await setPolicies(loop, [block], LOCATIONS)
    const guard = await loop.guard({ now })
    const { answer, tokens } = await refreshed(CAFE)
    expect(answer.status).toBe(200)
    const token = claims(answer)
    expect(token).toMatchObject({ capolids_latebind: [id], caegis_ip: { address: CAFE, policies: [id] } })
    expect(token.exp - token.iat).toBe(3600)
    // What never met a guard that refused it lives long, and is left to the guards.
    const before = claimsOf(tokens.accessToken)
    expect(before).toMatchObject({ capolids_latebind: [id], xms_ssm: '1' })
    expect(before.caegis_ip).toBeUndefined()
    expect(await lastRecord()).toMatchObject({ code: 0, address: OFFICE, rpAddress: CAFE })
    await guard.close()
  })

  it('D3: strict mode denies it, and so does a policy that names the place', async () => {
    const strict = policy('Strict', { conditions: await only('bob'), sessionControls: { continuousAccessEvaluation: { mode: 'strictLocation' } } })
    await setPolicies(loop, [block, strict], LOCATIONS)
    expect((await refreshed(CAFE)).answer).toMatchObject({ status: 400, body: { suberror: 'message_only', error_codes: [53003] } })
    expect(await eventually(lastRecord, ({ code }) => code === 53003)).toMatchObject({ address: OFFICE, rpAddress: CAFE })

    const listed = policy('Not from there', { conditions: { locations: { includeLocations: ['cafes'] } }, ...grant('block') })
    await setPolicies(loop, [listed], [...LOCATIONS, { id: 'cafes', trusted: false, ranges: [`${CAFE}/32`] }])
    expect((await refreshed(CAFE)).answer).toMatchObject({ status: 400, body: { error_codes: [53003] } })
    expect((await refreshed('203.0.113.10')).answer.status).toBe(200)
  })

  it('D2: without evidence, or with evidence that is old, of another address, of another session or of another API, it counts for nothing', async () => {
    const strict = policy('Strict', { conditions: await only('bob'), sessionControls: { continuousAccessEvaluation: { mode: 'strictLocation' } } })
    await setPolicies(loop, [block, strict], LOCATIONS)
    const second = Math.floor(now() / 1000)
    const other = (await flow('bob').tokens(CP1)).accessToken
    const proofs: Record<string, (token: string) => string | undefined> = {
      none: () => undefined,
      old: (token) => evidence(loop, token, CAFE, { second: second - 301 }),
      'of tomorrow': (token) => evidence(loop, token, CAFE, { second: second + 86_400 }),
      'of another address': (token) => evidence(loop, token, '203.0.113.200', { second }),
      'of another session': () => evidence(loop, other, CAFE, { second }),
      'of another API': (token) => evidence(loop, token, CAFE, { second, api: 'mail-api' }),
      nonsense: () => 'x'.repeat(100),
    }
    for (const [what, proof] of Object.entries(proofs)) {
      const { answer } = await refreshed(CAFE, { proof })
      expect([what, answer.status]).toEqual([what, 200])
      expect([what, claims(answer).caegis_ip]).toEqual([what, undefined])
    }
    // And the other way round: nobody gets an exception by saying where an API saw him.
    await setPolicies(loop, [block], LOCATIONS)
    expect(claims((await refreshed(CAFE, { proof: () => undefined })).answer).caegis_ip).toBeUndefined()
  })

  it('D4: where both addresses are allowed, the token says so all the same: rules may be older at the guard', async () => {
    const [id] = await setPolicies(loop, [block], LOCATIONS)
    const guard = await loop.guard({ now })
    const { answer } = await refreshed('198.51.100.200')
    expect(claims(answer)).toMatchObject({ caegis_ip: { address: '198.51.100.200', policies: [id] } })
    const v6 = await refreshed('2001:db8:1:2:3:4:5:6')
    expect(claims(v6.answer).caegis_ip).toEqual({ address: '2001:db8:1:2::/64', policies: [id] })
    await guard.close()
  })

  it('D5: what is met inside and outside alike is not left to guards', async () => {
    const [id] = await setPolicies(
      loop,
      [policy('Known devices outside', { conditions: { ...(await only('bob')), ...OUTSIDE }, ...grant('compliantDevice') })],
      LOCATIONS,
    )
    const guard = await loop.guard({ now })
    expect(claimsOf((await flow('bob').tokens(CP1)).accessToken).capolids_latebind).toEqual([id])
    // No policy of hers depends on where she is.
    expect(claimsOf((await flow('alice').tokens(CP1)).accessToken).capolids_latebind).toBeUndefined()
    await guard.close()
  })
})

describe('authentication contexts', () => {
  const ask = (context: string) => ({
    claims: JSON.stringify({ access_token: { xms_cc: { values: ['cp1'] }, acrs: { essential: true, value: context } } }),
  })
  const about = (context: string) => ({ applications: { includeAuthenticationContextClassReferences: [context] } })

  it('are given where their policies are met, refused where not, and given where no policy names them', async () => {
    await setPolicies(loop, [
      policy('MFA for c1', { conditions: about('c1'), ...grant('mfa') }),
      policy('Nobody for c2', { conditions: about('c2'), ...grant('block') }),
    ])
    const one = flow('bob')
    const { accessToken, refreshToken } = await one.tokens(CP1)
    expect(claimsOf(accessToken).acrs).toBeUndefined()
    expect(await one.refresh(refreshToken, ask('c1'))).toMatchObject({ status: 400, body: { error: 'interaction_required', error_codes: [50079] } })
    expect(await one.refresh(refreshToken, ask('c2'))).toMatchObject({ status: 400, body: { suberror: 'message_only', error_codes: [53003] } })
    const c3 = await one.refresh(refreshToken, ask('c3'))
    expect(claimsOf(String(c3.body.access_token)).acrs).toEqual(['c3'])
  })

  it('are stepped up to on the page, by claims or by acr_values (RFC 9470), and kept with what comes of it', async () => {
    await setPolicies(loop, [policy('MFA for c1', { conditions: about('c1'), ...grant('mfa') })])
    const secrets: string[] = []
    const who = 'dave'
    const step = async (more: Record<string, string>, code?: () => string) => {
      const one = flow(who, { more })
      const page = await one.browser.open(one.url)
      let next = await one.browser.open(page.url.href, { username: `${who}@contoso.test`, password: PASSWORD }, 'http://localhost')
      if (next.text.includes('class="key"')) {
        secrets.push(next.text.match(/class="key">([A-Z2-7 ]+)</)?.[1]?.replaceAll(' ', '') as string)
        next = await one.browser.open(next.url.href, { code: submitCode(next.text) })
        next = await one.browser.open(next.url.href, undefined, 'http://localhost')
      } else if (code && next.text.includes('name="code"')) next = await one.browser.open(next.url.href, { code: code() }, 'http://localhost')
      const { status, body } = await one.redeem(next.url.searchParams.get('code') as string, CP1)
      expect(status).toBe(200)
      return { one, body, claims: claimsOf(String(body.access_token)) }
    }
    const first = await step(ask('c1'))
    expect(first.claims).toMatchObject({ acrs: ['c1'], acr: 'c1', amr: ['pwd', 'otp', 'mfa'] })
    const again = await first.one.refresh(String(first.body.refresh_token), CP1)
    expect(claimsOf(String(again.body.access_token)).acrs).toEqual(['c1'])
    ahead += 60
    const code = () => new TOTP({ secret: Secret.fromBase32(secrets[0] as string) }).generate({ timestamp: now() })
    const second = await step({ acr_values: 'c1' }, code)
    expect(second.claims).toMatchObject({ acrs: ['c1'], acr: 'c1' })
    // Where a policy comes to forbid it, the ordinary token goes on without it.
    await setPolicies(loop, [policy('Nobody for c1', { conditions: about('c1'), ...grant('block') })])
    const plain = await second.one.refresh(String(second.body.refresh_token), CP1)
    expect(plain.status).toBe(200)
    expect(claimsOf(String(plain.body.access_token)).acrs).toBeUndefined()
  })
})

describe('an unmodified msal-node client and a guard that asks for more', () => {
  const denied = (verdict: Verdict) => {
    if (verdict.allowed) throw new Error('allowed')
    return { verdict, claims: readClaimsChallenge(verdict.headers['WWW-Authenticate'])?.claims as string }
  }
  const refusal = (asking: Promise<string>) =>
    asking.then(
      () => expect.unreachable(),
      (error: unknown) => {
        expect(error).toBeInstanceOf(InteractionRequiredAuthError)
        return error as InteractionRequiredAuthError
      },
    )
  const check = async (guard: Checker, token: string) => guard.check({ headers: { authorization: `Bearer ${token}` } })

  it('signs in anew where the sign-in is too old, silently refused before, and passes', async () => {
    await setPolicies(loop, [])
    const route = (await loop.guard({ now })).require({ scope: 'Files.Read', maxAge: 300 })
    const alice = loop.person('alice')
    const first = await alice.signIn()
    expect(await check(route, first)).toMatchObject({ allowed: true })
    ahead += 301
    const { claims, verdict } = denied(await check(route, first))
    expect(verdict).toMatchObject({ status: 401, code: 'insufficient_user_authentication' })
    expect(JSON.parse(claims)).toEqual({ access_token: { auth_time: { essential: true, max_age: '300' } } })
    const error = await refusal(alice.silent(claims))
    expect(error).toMatchObject({ errorCode: 'interaction_required', subError: 'basic_action', errorNo: 70044 })
    expect(JSON.parse(error.claims)).toEqual(JSON.parse(claims))
    // The browser still has its session: without the claims it would be let through.
    const fresh = await alice.signIn(error.claims)
    expect(claimsOf(fresh).auth_time).toBeGreaterThan(claimsOf(first).auth_time as number)
    expect(await check(route, fresh)).toMatchObject({ allowed: true })
    // Young enough: no page is needed.
    expect(claimsOf(await alice.silent(claims)).auth_time).toBe(claimsOf(fresh).auth_time)
  })

  it('steps up to a context with a second factor, in one go with the age, and passes', async () => {
    await setPolicies(loop, [
      policy('MFA for c1', { conditions: { applications: { includeAuthenticationContextClassReferences: ['c1'] } }, ...grant('mfa') }),
    ])
    const route = (await loop.guard({ now })).require({ acrs: 'c1', maxAge: 300 })
    const erin = loop.person('erin' as 'alice')
    const first = await erin.signIn()
    ahead += 301
    const { claims } = denied(await check(route, first))
    expect(JSON.parse(claims)).toEqual({
      access_token: { acrs: { essential: true, value: 'c1' }, auth_time: { essential: true, max_age: '300' } },
    })
    const error = await refusal(erin.silent(claims))
    // What the client repeats on the page is what the API asked for, whatever stood in the way first.
    expect(JSON.parse(error.claims)).toMatchObject(JSON.parse(claims))
    const one = flow('erin', { more: { claims: error.claims } })
    const page = await one.browser.open(one.url)
    const setup = await one.browser.open(page.url.href, { username: 'erin@contoso.test', password: PASSWORD }, 'http://localhost')
    const codes = await one.browser.open(setup.url.href, { code: submitCode(setup.text) })
    const end = await one.browser.open(codes.url.href, undefined, 'http://localhost')
    const { body } = await one.redeem(end.url.searchParams.get('code') as string, CP1)
    expect(claimsOf(String(body.access_token))).toMatchObject({ acrs: ['c1'], amr: ['pwd', 'otp', 'mfa'] })
    expect(await check(route, String(body.access_token))).toMatchObject({ allowed: true })
    // What a policy asks for is said together with what the API asks for.
    ahead += 301
    const again = await one.refresh(String(body.refresh_token), { claims })
    expect(again).toMatchObject({ status: 400, body: { error: 'interaction_required', error_codes: [70044] } })
    expect(JSON.parse(String(again.body.claims))).toEqual(JSON.parse(claims))
  })

  it('is asked for a newer sign-in where an API calls on in its name, and a page-less one is refused', async () => {
    await setPolicies(loop, [])
    const one = flow('alice')
    const { accessToken } = await one.tokens(CP1)
    ahead += 100
    const claims = '{"access_token":{"auth_time":{"essential":true,"max_age":"60"}}}'
    const onBehalf = (more: object) =>
      loop.token({
        ...{ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', requested_token_use: 'on_behalf_of', assertion: accessToken },
        ...{ client_id: 'files-api', client_secret: SECRET, scope: 'api://mail/Mail.Read' },
        ...more,
      })
    expect((await onBehalf({})).status).toBe(200)
    expect(await onBehalf({ claims })).toMatchObject({ status: 400, body: { error: 'interaction_required', claims } })
    const silent = (more: Record<string, string>) =>
      one.browser.open(`${one.url}&${new URLSearchParams({ prompt: 'none', ...more })}`, undefined, 'http://localhost')
    expect((await silent({})).url.searchParams.get('code')).toBeTruthy()
    expect((await silent({ claims })).url.searchParams.get('error')).toBe('login_required')
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
