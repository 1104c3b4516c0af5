import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CryptoProvider, InteractionRequiredAuthError, PublicClientApplication } from '@azure/msal-node'
import { protect } from '@caegis/guard/node'
import { Secret, TOTP } from 'otpauth'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Browser, createBrowser } from '../packages/cli/src/demo/browser.ts'
import { createFlow } from './flow.ts'
import { eventually, type Loop, PASSWORD, SCOPE, SECRET, startLoop } from './loop.ts'
import { writeCountries } from './mmdb.ts'
import { grant, policy, setPolicies } from './policies-of.ts'

/** Where requests claim to come from; the server takes the loopback for a proxy that it trusts. */
const OFFICE = '198.51.100.7'
const CAFE = '203.0.113.9'
const FAR = '192.0.2.20'
const LISTED = '203.0.114.66'
const NOWHERE = '100.64.9.9'
const LEAKED = 'password-of-many'
const PEOPLE = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank', 'grace', 'heidi', 'ivan', 'judy', 'ken', 'lea', 'mike', 'nina']
const BACK = 'http://localhost'

/** Seconds by which this world is ahead, and the network that its requests come from. */
const world = { ahead: 0, from: OFFICE }
const now = () => Date.now() + world.ahead * 1000
const realFetch = globalThis.fetch
const folder = mkdtempSync(join(tmpdir(), 'caegis-risk-'))
let loop: Loop
let api: Server
let url: string

beforeAll(async () => {
  const file = (name: string, content: string | Buffer) => {
    writeFileSync(join(folder, name), content)
    return join(folder, name)
  }
  const digests = [LEAKED, 'another', 'a third'].map((one) => createHash('sha1').update(one).digest('hex').toUpperCase()).sort()
  const place = (latitude: number, longitude: number) => ({ latitude, longitude, radius: 20 })
  const networks = [
    { network: '198.51.100.0/24', country: 'CH', place: place(47, 8) },
    { network: '203.0.113.0/24', country: 'CH', place: place(47, 8) },
    { network: '203.0.114.0/24', country: 'CH', place: place(47, 8) },
    { network: '192.0.2.0/24', country: 'AU', place: place(-33, 151) },
  ]
  globalThis.fetch = (input, init) =>
    realFetch(input, { ...init, headers: { ...Object.fromEntries(new Headers(init?.headers)), 'x-forwarded-for': world.from } })
  loop = await startLoop({
    now,
    environment: {
      ...{ CAEGIS_TRUSTED_PROXIES: '127.0.0.1,::1', CAEGIS_COUNTRY_DB: file('cities.mmdb', writeCountries(networks)) },
      CAEGIS_LEAKED_PASSWORDS: file('leaked.txt', digests.map((one, at) => `${one}:${at + 1}\r\n`).join('')),
      CAEGIS_RISKY_ADDRESSES: file('addresses.txt', '# not from there\n203.0.114.64/28\n'),
    },
    // Guards of this file are live whatever the clock is moved by.
    settings: { maxStaleness: 1_000_000 },
    tenant: JSON.stringify({
      tenant: { name: 'contoso', displayName: 'Contoso' },
      users: PEOPLE.map((one) => ({ userPrincipalName: `${one}@contoso.test`, displayName: one, password: one === 'erin' ? LEAKED : PASSWORD })),
      applications: [
        { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
        { appId: 'files-native', type: 'native', redirectUris: [BACK], permissions: [SCOPE] },
        { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/.default'] },
      ],
    }),
  })
  const guard = await loop.guard({ now, maxStaleness: 1_000_000 } as never)
  const guarded = protect(guard)
  api = createServer((request, response) => guarded(request, response, () => response.end('the file')))
  await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(api.address() as AddressInfo).port}/file`
})
afterAll(async () => {
  globalThis.fetch = realFetch
  api.closeAllConnections()
  await new Promise((resolve) => api.close(resolve))
  await loop.close()
  rmSync(folder, { recursive: true, force: true })
})
beforeEach(() => {
  world.from = OFFICE
  // Nobody is in the hour of the test before, and every guess is forgotten.
  world.ahead += 3 * 3600
})

const db = () => loop.server.store.db
const flow = (who: string, browser: Browser = createBrowser()) => createFlow(loop, { username: `${who}@contoso.test`, browser, capable: true })
const signIn = (who: string, browser?: Browser) => flow(who, browser).tokens()
const idOf = async (who: string) =>
  (await db().selectFrom('users').select('id').where('upn', '=', `${who}@contoso.test`).executeTakeFirstOrThrow()).id
const read = async (path: string) => (await (await loop.graph('GET', path)).json()) as Record<string, unknown> & { value: Record<string, unknown>[] }
const riskOf = async (who: string) => read(`/identityProtection/riskyUsers/${await idOf(who)}`)
const foundOf = async (who: string) =>
  (await read(`/identityProtection/riskDetections?$filter=userId eq '${await idOf(who)}'&$orderby=detectedDateTime desc`)).value
const why = ({ additionalInfo }: Record<string, unknown>): string =>
  JSON.parse(String(additionalInfo)).find(({ Key }: { Key: string }) => Key === 'why').Value
const newest = async (who: string) =>
  (await read(`/auditLogs/signIns?$filter=userId eq '${await idOf(who)}' and isInteractive eq true&$top=1`)).value[0]
const turn = (body: object) => loop.graph('PATCH', '/caegis/identityProtection/detections', body)

/** The status that the sample API answers with. */
async function call(token: string): Promise<number> {
  const response = await realFetch(url, { headers: { authorization: `Bearer ${token}` } })
  await response.text()
  return response.status
}
const refused = (token: string) =>
  eventually(
    () => call(token),
    (status) => status === 401,
    'the refusal',
  )

/** Wrong passwords on one page, as fast as the throttle lets them. */
async function guess(who: string, times: number) {
  const { browser, url: to } = createFlow(loop, { username: `${who}@contoso.test` })
  const page = await browser.open(to, undefined, BACK)
  for (let at = 0; at < times; at++) {
    const answer = await browser.open(page.url.href, { username: `${who}@contoso.test`, password: `guess ${at}` })
    expect(answer.status).toBe(401)
    world.ahead += 70
  }
  await loop.server.store.flush()
  return { browser, page }
}

/** Registers an authenticator app on the account page. @returns codes, each good once */
async function enrol(who: string, password = PASSWORD): Promise<() => string> {
  const browser = createBrowser()
  const account = `${loop.authority}/account`
  const page = await browser.open(account)
  await browser.open(page.url.href, { username: `${who}@contoso.test`, password })
  const setup = await browser.open(account, { action: 'begin' })
  const secret = Secret.fromBase32(setup.text.match(/class="key">([A-Z2-7 ]+)</)?.[1]?.replaceAll(' ', '') as string)
  const code = () => {
    world.ahead += 60
    return new TOTP({ secret }).generate({ timestamp: now() })
  }
  expect((await browser.open(account, { action: 'confirm', code: code() })).status).toBe(200)
  return code
}

describe('a sign-in', () => {
  it('after ten wrong passwords: the user is at high risk, guards refuse, the record says why; an administrator dismisses it', async () => {
    const { accessToken, refreshToken } = await signIn('alice')
    expect(await call(accessToken)).toBe(200)
    world.from = CAFE
    await guess('alice', 10)
    // Strangers put nobody at risk by failing.
    expect((await riskOf('alice')).error).toBeDefined()
    expect(await call(accessToken)).toBe(200)
    const before = (await loop.server.store.position(loop.tenant)).seq
    await signIn('alice')

    await refused(accessToken)
    const events = db().selectFrom('events').select(['type', 'payload']).where('seq', '>', before).orderBy('seq')
    expect((await events.execute()).map(({ type, payload }) => [type.split('/').at(-1), JSON.parse(payload)])).toMatchObject([
      ['risk-level-change', { principal: 'USER', current_level: 'HIGH', previous_level: 'LOW', initiating_entity: 'system' }],
    ])
    expect(await riskOf('alice')).toMatchObject({ riskLevel: 'high', riskState: 'atRisk' })
    const [found] = await foundOf('alice')
    expect(found).toMatchObject({ riskEventType: 'bruteForce', riskLevel: 'high', riskState: 'atRisk', activity: 'user', ipAddress: CAFE })
    expect(why(found as never)).toMatch(/^Within the hour 10 wrong passwords were tried for this account from 203\.0\.113\.0\/24/)
    expect(await read(`/identityProtection/riskDetections/${found?.id}`)).toMatchObject({ id: found?.id, userPrincipalName: 'alice@contoso.test' })
    expect(await newest('alice')).toMatchObject({ riskLevelDuringSignIn: 'high', riskState: 'atRisk', riskEventTypes_v2: ['bruteForce'] })
    expect((await newest('alice'))?.correlationId).toBe(found?.correlationId)

    // No policy asks for anything: what was good goes on, asked for anew.
    world.from = OFFICE
    expect((await flow('alice').refresh(refreshToken)).status).toBe(200)
    expect((await loop.graph('POST', '/identityProtection/riskyUsers/dismiss', { userIds: [await idOf('alice')] })).status).toBe(204)
    expect((await foundOf('alice'))[0]).toMatchObject({ riskState: 'dismissed', riskDetail: 'adminDismissedAllRiskForUser' })
    expect(await riskOf('alice')).toMatchObject({ riskLevel: 'none', riskState: 'dismissed' })
    const { value } = await read(`/identityProtection/riskyUsers/${await idOf('alice')}/history`)
    expect(value).toMatchObject([
      { riskState: 'dismissed', initiatedBy: 'nightly' },
      { riskLevel: 'high', riskState: 'atRisk', initiatedBy: null, activity: { riskEventTypes: ['bruteForce'] } },
    ])
  })

  it('after a spray of passwords from the same network is found; confirmed, everything of the user ends', async () => {
    const { refreshToken } = await signIn('bob')
    world.from = CAFE
    for (const one of [...PEOPLE.slice(2, 7), 'nobody1', 'nobody2', 'nobody3', 'nobody4', 'nobody5']) await guess(one, 1)
    await signIn('bob')
    const [found] = await foundOf('bob')
    expect(found).toMatchObject({ riskEventType: 'passwordSpray', riskLevel: 'high' })
    expect(why(found as never)).toContain('the passwords of 10 other accounts were tried in vain')
    // What was typed as a name may be a password in the wrong field.
    const rows = await db().selectFrom('risk_signals').selectAll().execute()
    expect(JSON.stringify([...rows, ...(await db().selectFrom('risk_detections').selectAll().execute())])).not.toMatch(
      /nobody\d|guess \d|correct horse/,
    )
    expect(new Set(rows.flatMap(({ name }) => name ?? [])).size).toBe(5)
    expect(Math.max(...rows.map(({ name }) => name?.length ?? 0))).toBe(4)

    expect((await loop.graph('POST', '/identityProtection/riskyUsers/confirmCompromised', { userIds: [await idOf('bob')] })).status).toBe(204)
    expect((await flow('bob').refresh(refreshToken)).status).toBe(400)
    expect((await foundOf('bob')).map(({ riskEventType, riskState }) => [riskEventType, riskState])).toEqual(
      expect.arrayContaining([
        ['passwordSpray', 'confirmedCompromised'],
        ['adminConfirmedUserCompromised', 'confirmedCompromised'],
      ]),
    )
  })

  it('from a listed address is of high risk until a second factor answers it, in that sign-in', async () => {
    const code = await enrol('carol')
    world.ahead += 60
    world.from = LISTED
    const { browser, url: to, redeem } = flow('carol')
    const page = await browser.open(to, undefined, BACK)
    const half = await browser.open(page.url.href, { username: 'carol@contoso.test', password: PASSWORD }, BACK)
    expect(half.text).toContain('name="code"')
    expect(await riskOf('carol')).toMatchObject({ riskLevel: 'high', riskState: 'atRisk' })
    // The decision knows what is answered by the code that it comes with.
    await setPolicies(loop, [policy('Nobody at high risk', { conditions: { userRiskLevels: ['high'] }, ...grant('block') })])
    const end = await browser.open(half.url.href, { code: code() }, BACK)
    expect(await riskOf('carol')).toMatchObject({ riskLevel: 'none', riskState: 'remediated', riskDetail: 'userPassedMFADrivenByRiskBasedPolicy' })
    const [found] = await foundOf('carol')
    expect(found).toMatchObject({ riskEventType: 'maliciousIPAddress', activity: 'signin', riskState: 'remediated' })
    expect(await newest('carol')).toMatchObject({ riskLevelDuringSignIn: 'high', riskState: 'remediated' })
    const { status, body } = await redeem(end.url.searchParams.get('code') as string)
    expect(status).toBe(200)

    // The same sign-in all the time: what it was measured at stays with it.
    await setPolicies(loop, [policy('No risky sign-ins', { conditions: { signInRiskLevels: ['high'] }, ...grant('block') })])
    expect(await flow('carol').refresh(String(body.refresh_token))).toMatchObject({ status: 400, body: { error_codes: [53003] } })
    await setPolicies(loop, [policy('A second factor', { conditions: { signInRiskLevels: ['high'] }, ...grant('mfa') })])
    expect((await flow('carol').refresh(String(body.refresh_token))).status).toBe(200)
    await setPolicies(loop, [])
  })

  it('from where nobody can travel to in time, in a new browser, is found, and lets nobody register the second factor that a policy asks for', async () => {
    await signIn('dave')
    world.ahead += 1800
    world.from = FAR
    await setPolicies(loop, [policy('A second factor', { conditions: { signInRiskLevels: ['medium', 'high'] }, ...grant('mfa') })])
    // Whoever has the password would register a second factor of their own.
    await expect(flow('dave').code()).rejects.toThrow(/does not allow this access/)
    const [found] = await foundOf('dave')
    expect(found).toMatchObject({ riskEventType: 'unlikelyTravel', riskLevel: 'medium', location: { countryOrRegion: 'AU' } })
    expect(why(found as never)).toContain('30 minutes after one from CH')
    expect(await riskOf('dave')).toMatchObject({ riskLevel: 'low', riskState: 'atRisk' })
    // He was there all the time.
    world.from = OFFICE
    await signIn('dave')
    expect((await loop.graph('POST', '/identityProtection/riskyUsers/confirmSafe', { userIds: [await idOf('dave')] })).status).toBe(204)
    expect(await riskOf('dave')).toMatchObject({ riskLevel: 'none', riskState: 'confirmedSafe', riskDetail: 'adminConfirmedUserSafe' })
    await setPolicies(loop, [])
  })

  it('in a new browser and network is unfamiliar, once there are habits; a known browser is not', async () => {
    const own = createBrowser()
    const again = { username: 'frank@contoso.test', browser: own, more: { prompt: 'login' } }
    for (let times = 0; times < 3; times++) await createFlow(loop, again).tokens()
    world.from = CAFE
    await createFlow(loop, again).tokens()
    world.from = OFFICE
    await signIn('frank')
    expect(await foundOf('frank')).toEqual([])
    world.from = LISTED.replace('66', '1')
    await signIn('frank')
    const [found] = await foundOf('frank')
    expect(found).toMatchObject({ riskEventType: 'unfamiliarFeatures', riskLevel: 'low', riskState: 'atRisk' })
    // Low and about one sign-in: nothing for the user.
    expect((await riskOf('frank')).error).toBeDefined()
    expect(await newest('frank')).toMatchObject({ riskLevelDuringSignIn: 'low', riskEventTypes_v2: ['unfamiliarFeatures'] })
  })

  it('is judged by what is found in the same moment, and is no habit of anybody where nobody was let in', async () => {
    world.from = LISTED
    await setPolicies(loop, [policy('Nobody at high risk', { conditions: { userRiskLevels: ['high'] }, ...grant('block') })])
    await expect(flow('mike').code()).rejects.toThrow(/does not allow this access/)
    await setPolicies(loop, [])
    expect(await riskOf('mike')).toMatchObject({ riskLevel: 'high' })
    const rows = db()
      .selectFrom('risk_signals')
      .select('outcome')
      .where('user_id', '=', await idOf('mike'))
    expect(await rows.where('outcome', '=', 'success').execute()).toEqual([])
  })

  it('of the emergency account is nobody’s to suspect', async () => {
    await db()
      .updateTable('users')
      .set({ break_glass: 1 })
      .where('id', '=', await idOf('heidi'))
      .execute()
    world.from = LISTED
    await setPolicies(loop, [policy('Nobody risky', { conditions: { signInRiskLevels: ['low', 'medium', 'high'] }, ...grant('block') })])
    await signIn('heidi')
    await setPolicies(loop, [])
    expect(await foundOf('heidi')).toEqual([])
    expect(await newest('heidi')).toMatchObject({ riskLevelDuringSignIn: 'none', riskEventTypes_v2: [] })
    expect((await riskOf('heidi')).error).toBeDefined()
  })

  it('of which nobody can tell is unknown, which policies enforce, and never a failure', async () => {
    const { refreshToken } = await signIn('ivan')
    await setPolicies(loop, [policy('No risky sign-ins', { conditions: { signInRiskLevels: ['high'] }, ...grant('block') })])
    expect((await flow('ivan').refresh(refreshToken)).status).toBe(200)
    // No place is known of it, and there was another one before.
    world.from = NOWHERE
    await expect(flow('ivan').code()).rejects.toThrow(/policy/i)
    await db()
      .updateTable('risk_signals')
      .set({ place: 'not JSON' })
      .where('user_id', '=', await idOf('ivan'))
      .execute()
    world.from = OFFICE
    await expect(flow('ivan').code()).rejects.toThrow(/policy/i)
    await setPolicies(loop, [])
    // The account page knows the risk of the session that it is opened with.
    const action = { applications: { includeUserActions: ['urn:user:registersecurityinfo'] }, signInRiskLevels: ['high'] }
    await setPolicies(loop, [policy('Nothing is registered then', { conditions: action, ...grant('block') })])
    await enrol('nina')
    await setPolicies(loop, [])
    await signIn('ivan')
    expect(await newest('ivan')).toMatchObject({ riskLevelDuringSignIn: 'unknownFutureValue', riskState: 'none' })
  })
})

describe('a refresh token', () => {
  it('that is presented again from another network ends its session, and puts the user at high risk', async () => {
    const { refreshToken } = await signIn('grace')
    const { status, body } = await flow('grace').refresh(refreshToken)
    expect(status).toBe(200)
    world.ahead += 60
    world.from = FAR
    expect((await flow('grace').refresh(refreshToken)).status).toBe(400)
    await refused(String(body.access_token))
    const [found] = await foundOf('grace')
    expect(found).toMatchObject({ riskEventType: 'anomalousToken', riskLevel: 'high', activity: 'user', ipAddress: FAR })
    expect(why(found as never)).toContain('presented again')
    expect(await riskOf('grace')).toMatchObject({ riskLevel: 'high', riskState: 'atRisk' })
  })

  it('that is presented again from the same network is an accident', async () => {
    const { refreshToken } = await signIn('judy')
    expect((await flow('judy').refresh(refreshToken)).status).toBe(200)
    world.ahead += 60
    expect((await flow('judy').refresh(refreshToken)).status).toBe(400)
    expect(await foundOf('judy')).toEqual([])
  })
})

describe('a leaked password', () => {
  it('with the policy that high risk needs a secure password change: MSAL is told, the person changes it, and is at risk no more', async () => {
    await turn({ leakedCredentials: 'off' })
    const code = await enrol('erin', LEAKED)
    const scopes = [SCOPE]
    const msal = new PublicClientApplication({
      auth: { clientId: 'files-native', authority: loop.authority, knownAuthorities: [new URL(loop.authority).host], clientCapabilities: ['cp1'] },
      system: { protocolMode: 'OIDC', networkClient: await overFetch() },
    } as never)
    const { verifier, challenge } = await new CryptoProvider().generatePkceCodes()
    const asked = { scopes, redirectUri: BACK }
    const begin = () => msal.getAuthCodeUrl({ ...asked, codeChallenge: challenge, codeChallengeMethod: 'S256' })
    const person = createBrowser()
    const first = await person.signIn(await begin(), BACK, { username: 'erin@contoso.test', password: LEAKED, code })
    const tokens = await msal.acquireTokenByCode({ ...asked, code: String(first.searchParams.get('code')), codeVerifier: verifier })
    expect(await call(tokens.accessToken)).toBe(200)
    expect(await foundOf('erin')).toEqual([])

    await setPolicies(loop, [policy('High risk', { conditions: { userRiskLevels: ['high'] }, ...grant('mfa', 'passwordChange') })])
    expect((await turn({ leakedCredentials: 'on' })).status).toBe(204)
    // The thief has the password, and nothing else.
    const thief = flow('erin')
    await expect(thief.browser.signIn(thief.url, BACK, { username: 'erin@contoso.test', password: LEAKED })).rejects.toThrow(/code/i)
    await refused(tokens.accessToken)
    expect((await foundOf('erin'))[0]).toMatchObject({ riskEventType: 'leakedCredentials', riskLevel: 'high', riskState: 'atRisk' })
    const silent = msal.acquireTokenSilent({ account: tokens.account as never, scopes, forceRefresh: true })
    await expect(silent).rejects.toBeInstanceOf(InteractionRequiredAuthError)
    await expect(silent).rejects.toMatchObject({ errorMessage: expect.stringContaining('50135') })

    const opened = await person.open(await begin(), undefined, BACK)
    const prompt = opened.text.includes('name="password"')
      ? await person.open(opened.url.href, { username: 'erin@contoso.test', password: LEAKED }, BACK)
      : opened
    const change = prompt.text.includes('name="code"') ? await person.open(prompt.url.href, { code: code() }, BACK) : prompt
    expect(change.text).toContain('name="new"')
    const next = 'nobody else has this one'
    const end = await person.open(change.url.href, { new: next, again: next }, BACK)
    world.ahead += 2
    const fresh = await msal.acquireTokenByCode({ ...asked, code: String(end.url.searchParams.get('code')), codeVerifier: verifier })
    expect(await call(fresh.accessToken)).toBe(200)
    expect(await riskOf('erin')).toMatchObject({ riskLevel: 'none', riskState: 'remediated', riskDetail: 'userPerformedSecuredPasswordChange' })
    expect((await foundOf('erin')).every(({ riskState }) => riskState === 'remediated')).toBe(true)
    await setPolicies(loop, [])
  })
})

describe('the detections', () => {
  it('say what they see, when they are wrong and whether they are on; one that is off has no say; the audit log tells who turned it', async () => {
    const { value } = await read('/caegis/identityProtection/detections')
    expect(value.map(({ type, status }) => [type, status])).toEqual(
      ['unlikelyTravel', 'unfamiliarFeatures', 'passwordSpray', 'bruteForce', 'anomalousToken', 'leakedCredentials', 'maliciousIPAddress'].map(
        (one) => [one, 'on'],
      ),
    )
    for (const { says, falseAlarms } of value) expect(String(says).length * String(falseAlarms).length).toBeGreaterThan(400)
    expect((await turn({ maliciousIPAddress: 'off' })).status).toBe(204)
    world.from = LISTED
    await signIn('ken')
    expect(await foundOf('ken')).toEqual([])
    expect((await read('/auditLogs/directoryAudits?$top=1')).value).toMatchObject([
      { activityDisplayName: 'Update risk detections', initiatedBy: { app: { appId: 'nightly' } } },
    ])
    for (const wrong of [{}, { maliciousIPAddress: 'maybe' }, { everything: 'off' }]) expect((await turn(wrong)).status).toBe(400)
    await turn({ maliciousIPAddress: 'on' })
    await signIn('ken')
    expect((await foundOf('ken')).map(({ riskEventType }) => riskEventType)).toEqual(['maliciousIPAddress'])
  })

  it('are turned by the tenant file, too', async () => {
    const other = { tenant: { name: 'fabrikam' }, risk: { off: ['bruteForce'] } }
    const { tenant } = await loop.server.apply(JSON.stringify(other))
    const row = await db().selectFrom('tenants').select('risk_off').where('id', '=', tenant).executeTakeFirstOrThrow()
    expect(row.risk_off).toBe('["bruteForce"]')
    await expect(loop.server.apply(JSON.stringify({ ...other, risk: { off: ['all'] } }))).rejects.toThrow(/risk\.off\.0/)
  })

  it('forget what is older than 30 days', async () => {
    await signIn('lea')
    const rows = async () =>
      (
        await db()
          .selectFrom('risk_signals')
          .select('id')
          .where('user_id', '=', await idOf('lea'))
          .execute()
      ).length
    expect(await rows()).toBe(1)
    world.ahead += 31 * 24 * 3600
    await loop.server.tidy()
    expect(await rows()).toBe(0)
  })

  it('forget, after 90 days, what is over or never meant anything for the user', async () => {
    const user = await idOf('lea')
    const row = (type: string, level: 'low' | 'medium', state: string) => ({
      ...{
        tenant: loop.tenant,
        id: `old ${type}`,
        user_id: user,
        user_name: 'lea',
        user_display_name: 'lea',
        type,
        level,
        about: 'signIn' as const,
        state,
      },
      ...{ detail: 'none', why: 'x', facts: '{}', sign_in: type, correlation: '', address: '', country: null, activity_at: 0, detected_at: 0 },
      updated_at: Math.floor(now() / 1000),
    })
    const all = [
      row('unfamiliarFeatures', 'low', 'atRisk'),
      row('unlikelyTravel', 'medium', 'atRisk'),
      row('maliciousIPAddress', 'medium', 'dismissed'),
    ]
    await db().insertInto('risk_detections').values(all).execute()
    const left = async () =>
      (await db().selectFrom('risk_detections').select('type').where('user_id', '=', user).orderBy('id').execute()).map(({ type }) => type)
    const before = await left()
    world.ahead += 89 * 24 * 3600
    await loop.server.tidy()
    expect(await left()).toEqual(before)
    world.ahead += 2 * 24 * 3600
    await loop.server.tidy()
    expect(await left()).toEqual(['unlikelyTravel'])
  })
})

/** MSAL by the same network as everything else here. */
async function overFetch() {
  const send = async (method: string, to: string, { headers, body }: { headers?: Record<string, string>; body?: string } = {}) => {
    const response = await fetch(to, { method, ...(headers ? { headers } : {}), ...(body === undefined ? {} : { body }) })
    return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.json() }
  }
  return {
    sendGetRequestAsync: (to: string, options?: object) => send('GET', to, options),
    sendPostRequestAsync: (to: string, options?: object) => send('POST', to, options),
  }
}
