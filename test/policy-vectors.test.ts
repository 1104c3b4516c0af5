import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { createRisk } from '../packages/server/src/directory/risk.ts'
import { evidence } from './evidence.ts'
import { claimsOf, eventually, type Loop, PASSWORD, SECRET, startLoop } from './loop.ts'
import { writeCountries } from './mmdb.ts'
import { setPolicies } from './policies-of.ts'
import { type Answer, differencesOf, LIFETIMES } from './vector-answers.ts'
import { agoOf, asksCountry, isExact, LEFT_OUT, personNamed, reasonOf, stored, VECTORS, type Vector, wishOf } from './vector-cases.ts'
import { BACK, CP1, createWorlds, tenantOf, type Wish, type World, type Worlds, worldKey } from './vector-worlds.ts'

const AGENTS: Record<string, string> = {
  windows: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64)',
  macOS: 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)',
  iOS: 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)',
  linux: 'Mozilla/5.0 (X11; Linux x86_64)',
  android: 'Mozilla/5.0 (Linux; Android 15)',
}
const NO_PLATFORM = 'Toaster/1.0'
const OFFICE = '198.51.100.7'
/** Where nobody knows the country, where a record is damaged, and networks of each country that a case names. */
const COUNTRIES = ['DE', 'NL', 'LU']
const networkOf = (country: string | null | undefined) =>
  country === null ? '100.64.9' : country === undefined ? '100.64.8' : `100.64.${COUNTRIES.indexOf(country)}`

/** Seconds; the clock stands still but for where a test moves it. */
let clock = Math.floor(Date.now() / 1000)
let from = OFFICE
let agent = NO_PLATFORM
let cookies: string[] = []
let loop: Loop
let worlds: Worlds
const realFetch = globalThis.fetch
const folder = mkdtempSync(join(tmpdir(), 'caegis-vectors-'))

const run = VECTORS.filter((one) => reasonOf(one) === undefined)
const ofUsers = run.filter(({ signals }) => signals.servicePrincipal === undefined)
const wishes = new Map(ofUsers.map((one) => [worldKey(wishOf(one)), wishOf(one)]))
const found = new Map<Vector, string[]>()
const signedIn = new Map<string, World>()

beforeAll(async () => {
  globalThis.fetch = async (input, init) => {
    const headers = { ...Object.fromEntries(new Headers(init?.headers)), 'x-forwarded-for': from, 'user-agent': agent }
    const response = await realFetch(input, { ...init, headers })
    cookies.push(...response.headers.getSetCookie().filter((line) => line.startsWith('__Host-caegis-contoso=')))
    return response
  }
  const countries = join(folder, 'countries.mmdb')
  const networks = COUNTRIES.map((country) => ({ network: `${networkOf(country)}.0/24`, country }))
  writeFileSync(countries, writeCountries([...networks, { network: `${networkOf(undefined)}.0/24`, country: undefined }]))
  const { people, text } = tenantOf([...wishes.values()])
  loop = await startLoop({
    now: () => clock * 1000,
    environment: { CAEGIS_TRUSTED_PROXIES: '127.0.0.1,::1', CAEGIS_COUNTRY_DB: countries, CAEGIS_LOOP_LIMIT: '100000' },
    // Guards of this file are live whatever the clock is moved by.
    settings: { lifetimes: LIFETIMES, maxStaleness: 1_000_000 },
    tenant: text,
  })
  worlds = createWorlds(loop, {
    now: () => clock,
    move: (seconds) => {
      clock += seconds
    },
  })
  await worlds.settle(people)
  for (const [key, wish] of wishes) {
    agent = wish.platform ? (AGENTS.windows as string) : NO_PLATFORM
    signedIn.set(key, await worlds.signIn(wish))
  }
  const began = clock
  for (const api of ['files-api', 'files-spa'])
    await loop.guard({ audience: `api://${api}`, clientId: api, now: () => clock * 1000, country: () => undefined })

  // Those in which seconds matter first, by age; then the clock moves on, so that no minute has more denials than are logged one by one.
  const exact = run.filter(isExact).toSorted((one, other) => agoOf(one) - agoOf(other))
  for (const one of exact) {
    clock = began + agoOf(one)
    found.set(one, differencesOf(one, await answerTo(one)))
  }
  for (const one of run.filter((vector) => !isExact(vector))) {
    clock += 7
    found.set(one, differencesOf(one, await answerTo(one)))
  }
}, 120_000)
afterAll(async () => {
  globalThis.fetch = realFetch
  await loop?.close()
  rmSync(folder, { recursive: true, force: true })
})

/** The policies of a case are the tenant's, and the caller is where and what the case says. */
async function enter(one: Vector, who?: World['person']): Promise<Answer['addresses']> {
  const { signals, seen } = one
  const groups = await loop.server.store.db.selectFrom('groups').select(['id', 'display_name']).execute()
  const applications = await loop.server.store.db.selectFrom('applications').select(['id', 'app_id']).execute()
  const { policies, locations } = stored(one, (kind, id) => {
    if (kind === 'user') return personNamed(worlds.people.values(), id, who)
    if (kind === 'group') return groups.find(({ display_name: name }) => name === id)?.id ?? id
    return applications.find(({ app_id: name }) => name === id)?.id ?? id
  })
  await setPolicies(loop, policies, locations)
  const addresses = new Map<string, string>()
  from = signals.address || 'unknown'
  agent = AGENTS[signals.platform ?? ''] ?? NO_PLATFORM
  if (asksCountry(one)) {
    from = `${networkOf(signals.country)}.1`
    if (seen) addresses.set(seen.address, `${networkOf(seen.country)}.2`)
  }
  return addresses
}

/** What the directory says of who asks is as the case says. */
async function setRows({ signals }: Vector, who?: World['person']): Promise<void> {
  const { db } = loop.server.store
  const { userRisk = 'none', proof, device, servicePrincipal } = signals
  if (who) {
    const risk = userRisk === 'none' ? { risk_at: null, password_at: 1 } : { risk_at: 2, password_at: proof?.passwordChanged ? 3 : 1 }
    await db
      .updateTable('users')
      .set({ risk_level: userRisk, ...risk })
      .where('id', '=', who.oid)
      .execute()
  }
  if (device) {
    const trust = { AzureAD: 'AzureAd', ServerAD: 'ServerAd' }[device.trustType ?? ''] ?? device.trustType ?? 'Workplace'
    const compliant = device.isCompliant == null ? null : Number(device.isCompliant)
    await db
      .updateTable('devices')
      .set({ compliant, trust_type: trust as never, display_name: device.displayName ?? 'Device' })
      .where('id', '=', worlds.device())
      .execute()
  }
  if (servicePrincipal)
    await db
      .updateTable('applications')
      .set({ risk_level: servicePrincipal.risk ?? 'none' })
      .where('app_id', '=', servicePrincipal.id)
      .execute()
}

async function answerTo(one: Vector): Promise<Answer> {
  const { signals, seen, want } = one
  const world = signals.servicePrincipal ? undefined : (signedIn.get(worldKey(wishOf(one))) as World)
  await setRows(one, world?.person)
  const addresses = await enter(one, world?.person)
  const at = seen && (addresses.get(seen.address) ?? seen.address)
  const api = signals.application as string
  const proved = at && world && evidence(loop, world.accessToken, at, { second: clock, api })
  const claims = JSON.stringify({
    access_token: {
      xms_cc: { values: ['cp1'] },
      ...(signals.contexts ? { acrs: { essential: true, values: signals.contexts } } : {}),
      ...(proved ? { xms_rp_ipaddr: { value: at }, caegis_evidence: { value: proved } } : {}),
    },
  })
  const form = world
    ? { grant_type: 'refresh_token', client_id: world.clientId, refresh_token: world.refreshToken }
    : { grant_type: 'client_credentials', client_id: signals.servicePrincipal?.id as string, client_secret: SECRET, scope: `api://${api}/.default` }
  const { status, body } = await loop.token({ ...form, claims })
  const token: Answer['claims'] = status === 200 ? claimsOf(String(body.access_token)) : { iat: 0, exp: 0 }
  if (world && status === 200) Object.assign(world, { accessToken: body.access_token, refreshToken: body.refresh_token })
  const { outcome } = await recordOf(status === 200 ? String(token.jti) : String(body.correlation_id))
  const wantsCookie = (want.session as { persistentBrowser?: unknown } | undefined)?.persistentBrowser !== undefined
  const cookie = wantsCookie && world ? await cookieOf(world.wish) : undefined
  return { status, body, claims: token, outcome, cookie, addresses }
}

/** How the browser keeps the session of a sign-in under the policies as they are. */
async function cookieOf(wish: Wish): Promise<Answer['cookie']> {
  cookies = []
  await worlds.signIn(wish)
  return /expires=/i.test(cookies.at(-1) as string) ? 'always' : 'never'
}

/** What the sign-in log says. @param key the token that was given out, or the correlation id of the refusal */
async function recordOf(key: string): Promise<{ code: number; outcome: Answer['outcome'] }> {
  const rows = () => loop.server.store.db.selectFrom('sign_ins').select('record').where('record', 'like', `%${key}%`).execute()
  const [row] = await eventually(rows, ({ length }) => length > 0, `a record of ${key}`)
  const { code, policies } = JSON.parse((row as { record: string }).record)
  return { code, outcome: policies }
}

/** Signs in on the page under the policies of a case, as far as it goes. */
async function onPage(file: string, name: string, who: Partial<Wish> = {}) {
  const one = run.find((vector) => vector.file === file && vector.name === name)
  if (!one) throw new Error(`no case is called ${name}`)
  clock += 120
  const wish = { ...wishOf(one), ...who }
  const person = worlds.personOf(wish)
  await setRows(one, person)
  await enter(one, person)
  const { contexts } = one.signals
  const claims = contexts && { claims: JSON.stringify({ access_token: { acrs: { essential: true, values: contexts } } }) }
  const { flow, clientId } = await worlds.begin(wish, claims)
  const end = await worlds.prove(flow.browser, await flow.browser.open(flow.url), wish, person)
  const redeem = async () => flow.redeem(end.url.searchParams.get('code') as string, CP1)
  return { end, person, flow, clientId, redeem, title: end.text.match(/<h1[^>]*>([^<]*)</)?.[1] }
}

describe.each([...new Set(run.map(({ file }) => file))])('%s', (file) => {
  it.each(run.filter((one) => one.file === file).map((one) => ({ name: one.name, one })))('$name', ({ one }) => {
    expect(found.get(one)).toEqual([])
  })
})

it('no case is left out but for a reason that stands in the table, and for each no more than are known', () => {
  const counts = Object.keys(LEFT_OUT).map((reason) => [VECTORS.filter((one) => reasonOf(one) === reason).length, reason] as const)
  const told = counts.map(([count, reason]) => `${count} ${reason}`)
  console.log(`${run.length} of ${VECTORS.length} cases were run by ${wishes.size} sign-ins; left out:\n${told.join('\n')}`)
  expect(told).toEqual([
    '2 what if is asked of another endpoint',
    '5 a user action has no token',
    '3 no legacy client is served',
    '3 detections are turned off',
    '2 nobody is measured for insider risk',
    '2 no authentication is transferred',
    '12 a sign-in always says who, for what, by which client and flow, and how it was proved',
    '2 the risk of a user and of a sign-in is always known',
    '3 a device is always looked up',
    '11 the directory keeps fewer facts of a device',
    '2 the codes of countries are those of ISO 3166 here',
    '4 the directory knows a guest by the home alone',
    '4 no client is known to be approved or protected',
    '5 both factors have one instant',
    '1 nobody signs in by a code alone',
    '1 what names no platform is unknown, and not none of them',
    '1 applications of other tenants do not sign in',
    '1 the risk of an application is always known',
  ])
  expect(run.length + counts.reduce((sum, [count]) => sum + count, 0)).toBe(VECTORS.length)
  expect(run.length / VECTORS.length).toBeGreaterThan(0.75)
  expect(found.size).toBe(run.length)
})

describe('on the page', () => {
  it.each([
    ['users', 'all users are everybody', 'does not allow this access now'],
    ['users', 'a guest of any kind', 'does not allow this access now'],
    ['locations', 'outside of it', 'does not allow this access now'],
    ['locations', 'in another country', 'does not allow this access now'],
    ['conditions', 'a platform', 'does not allow this access now'],
    ['contexts', 'Kim asks for c2 and is blocked', 'does not allow this access now'],
    ['grants', 'a compliant device that is missing', 'compliant devices only'],
    ['grants', 'a device that is not compliant', 'compliant devices only'],
    ['grants', 'a device that no domain knows', 'devices of its domain only'],
    ['grants', 'an application that is not approved', 'does not let this application in'],
    ['grants', 'a password and a code resist no phishing', 'A second factor is needed'],
  ])('%s: %s: the sign-in ends there', async (file, name, words) => {
    const { end } = await onPage(file, name)
    expect(end).toMatchObject({ status: 403, text: expect.stringContaining(words) })
  })

  it.each([
    ['grants', 'mfa that is missing'],
    ['grants', 'OR asks for the first'],
    ['contexts', 'Lee asks for c1 without a second factor and is asked for it'],
    ['locations', 'a requirement outside'],
    ['templates', 'a guest'],
  ])('%s: %s: a second factor is set up', async (file, name) => {
    const { end } = await onPage(file, name)
    expect(end).toMatchObject({ status: 200, text: expect.stringContaining('Set up an authenticator app') })
  })

  it.each([
    ['users', 'a user who is excluded', {}],
    ['grants', 'mfa that was proved', { amr: ['pwd', 'otp', 'mfa'] }],
    ['grants', 'a passkey resists phishing', { amr: ['fido', 'mfa'] }],
    ['grants', 'a compliant device', { deviceid: expect.any(String) }],
    ['contexts', 'Kim asks for c1 and gets it', { acrs: ['c1'] }],
    ['contexts', 'Lee asks for c1 with a second factor', { acrs: ['c1', 'c2'], amr: ['fido', 'mfa'] }],
  ])('%s: %s: the token says so', async (file, name, claims) => {
    const { status, body } = await (await onPage(file, name)).redeem()
    expect(status).toBe(200)
    expect(claimsOf(String(body.access_token))).toMatchObject(claims)
  })
})

describe('a user at high risk', () => {
  const rowOf = ({ oid }: World['person']) => loop.server.store.db.selectFrom('users').selectAll().where('id', '=', oid).executeTakeFirstOrThrow()
  const risk = () => createRisk(loop.server.store, loop.tenant, loop.issuer, { sayingWhich: (_, work) => work() })
  const high = { level: 'high', state: 'atRisk', detail: 'none' } as const
  const raise = async ({ oid }: World['person']) => void (await risk().set({ kind: 'system', reason: 'a detection' }, oid, high))
  const change = 'a password of today'

  it('proves a second factor, sets a new password, and is at risk no more: whoever had the old one has nothing', async () => {
    const one = run.find((vector) => vector.file === 'grants' && vector.name === 'then the password') as Vector
    const world = signedIn.get(worldKey(wishOf(one))) as World
    await setRows({ ...one, signals: { ...one.signals, userRisk: 'none' } }, world.person)
    await enter(one, world.person)
    clock += 60
    await raise(world.person)
    clock += 60
    const refused = await loop.token({ grant_type: 'refresh_token', client_id: world.clientId, refresh_token: world.refreshToken, ...CP1 })
    expect(refused).toMatchObject({ status: 400, body: { error: 'interaction_required', error_codes: [50135] } })

    const { flow } = await worlds.begin(world.wish)
    const page = await worlds.prove(flow.browser, await flow.browser.open(flow.url), world.wish, world.person)
    expect(page).toMatchObject({ status: 200, text: expect.stringContaining('name="new"') })
    expect(page.text).not.toContain('name="old"')
    const end = await flow.browser.open(page.url.href, { new: change, again: change }, BACK)
    // The change counts as a proof of the second after it.
    clock += 2
    const { status, body } = await flow.redeem(end.url.searchParams.get('code') as string, CP1)
    expect(status).toBe(200)
    expect(claimsOf(String(body.access_token)).amr).toEqual(['pwd', 'otp', 'mfa'])
    expect(await rowOf(world.person)).toMatchObject({
      ...{ risk_level: 'none', risk_state: 'remediated', risk_detail: 'userPerformedSecuredPasswordChange' },
    })
    expect((await flow.refresh(String(body.refresh_token), CP1)).status).toBe(200)
    const old = await loop.token({ grant_type: 'refresh_token', client_id: world.clientId, refresh_token: world.refreshToken, ...CP1 })
    expect(old).toMatchObject({ status: 400, body: { error_codes: [50173] } })
    const events = await loop.server.store.db.selectFrom('events').select(['type', 'payload']).orderBy('seq', 'desc').limit(2).execute()
    expect(events.map(({ type, payload }) => [type.split('/').at(-1), JSON.parse(payload).initiating_entity])).toEqual([
      ['risk-level-change', 'user'],
      ['credential-change', 'user'],
    ])
  })

  it('registers no second factor, and is at risk still after a change that a password alone was enough for', async () => {
    const one = run.find((vector) => vector.file === 'grants' && vector.name === 'a user at risk changes the password after mfa') as Vector
    const wish = wishOf(one)
    const person = worlds.personOf(wish)
    const begun = await onPage('grants', one.name)
    expect(begun.end.status).toBe(403)
    expect(begun.end.text).not.toContain('Set up')

    await setPolicies(loop, [])
    clock += 60
    await raise(person)
    clock += 60
    const browser = createBrowser()
    const account = `${loop.authority}/account`
    await browser.open((await browser.open(account)).url.href, { username: person.name, password: PASSWORD })
    await browser.open(account, { action: 'password' })
    const done = await browser.open(account, { action: 'new-password', old: PASSWORD, new: change, again: change })
    expect(done.text).toContain('Your password was changed')
    expect(await rowOf(person)).toMatchObject({ risk_level: 'high', risk_state: 'atRisk' })
    await enter(one, person)
    // Nor does the account page offer what the sign-in refuses.
    const setup = await browser.open(account, { action: 'begin' })
    expect(setup.text).not.toContain('class="key"')
  })
})
