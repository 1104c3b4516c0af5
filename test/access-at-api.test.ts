import { InteractionRequiredAuthError } from '@azure/msal-node'
import type { Checker, Verdict } from '@caegis/guard'
import { readClaimsChallenge } from '@caegis/protocol'
import { Secret, TOTP } from 'otpauth'
import { describe, expect, it } from 'vitest'
import { CAFE, CP1, enterWorld, flow, LOCATIONS, lastRecord, loop, now, OFFICE, OUTSIDE, only, submitCode, world } from './access-world.ts'
import { evidence } from './evidence.ts'
import { claimsOf, eventually, PASSWORD, SECRET } from './loop.ts'
import { grant, policy, setPolicies } from './policies-of.ts'

enterWorld()

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
    world.ahead += 60
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
    world.ahead += 301
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
    world.ahead += 301
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
    world.ahead += 301
    const again = await one.refresh(String(body.refresh_token), { claims })
    expect(again).toMatchObject({ status: 400, body: { error: 'interaction_required', error_codes: [70044] } })
    expect(JSON.parse(String(again.body.claims))).toEqual(JSON.parse(claims))
  })

  it('is asked for a newer sign-in where an API calls on in its name, and a page-less one is refused', async () => {
    await setPolicies(loop, [])
    const one = flow('alice')
    const { accessToken } = await one.tokens(CP1)
    world.ahead += 100
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
