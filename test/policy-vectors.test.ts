import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { evidence } from './evidence.ts'
import { claimsOf, eventually, type Loop, SECRET, startLoop } from './loop.ts'
import { writeCountries } from './mmdb.ts'
import { setPolicies } from './policies-of.ts'
import { type Answer, differencesOf, LIFETIMES } from './vector-answers.ts'
import { agoOf, asksCountry, isExact, LEFT_OUT, personNamed, reasonOf, stored, VECTORS, type Vector, wishOf } from './vector-cases.ts'
import { createWorlds, scopeOf, tenantOf, type Wish, type World, type Worlds, worldKey } from './vector-worlds.ts'

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
  const signedIn = new Map<string, World>()
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
    found.set(one, differencesOf(one, await answerTo(one, signedIn)))
  }
  for (const one of run.filter((vector) => !isExact(vector))) {
    clock += 7
    found.set(one, differencesOf(one, await answerTo(one, signedIn)))
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

async function answerTo(one: Vector, signedIn: Map<string, World>): Promise<Answer> {
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

describe.each([...new Set(run.map(({ file }) => file))])('%s', (file) => {
  it.each(run.filter((one) => one.file === file).map((one) => ({ name: one.name, one })))('$name', ({ one }) => {
    expect(found.get(one)).toEqual([])
  })
})

it('so many cases are run, and so many are left out for a reason that stands in the table', () => {
  const counts = Object.fromEntries(Object.keys(LEFT_OUT).map((reason) => [reason, VECTORS.filter((one) => reasonOf(one) === reason).length]))
  console.log(`${run.length} of ${VECTORS.length} cases were run by ${wishes.size} sign-ins; left out: ${JSON.stringify(counts, null, 1)}`)
  expect(run.length + Object.values(counts).reduce((sum, count) => sum + count)).toBe(VECTORS.length)
  expect(run.length / VECTORS.length).toBeGreaterThan(0.6)
  expect(scopeOf('files-api')).toBe('api://files-api/Files.Read')
})
