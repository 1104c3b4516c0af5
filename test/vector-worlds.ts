import { randomUUID } from 'node:crypto'
import type { ProofSignal, UserSignal } from '@caegis/policy'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { Secret, TOTP } from 'otpauth'
import { type Browser, createBrowser } from '../packages/cli/src/demo/browser.ts'
import { DETECTION_TYPES } from '../packages/server/src/risk/finding.ts'
import { createAuthenticator, optionsOf } from './authenticator.ts'
import { createFlow } from './flow.ts'
import { claimsOf, type Loop, PASSWORD, SECRET } from './loop.ts'

export const BACK = 'http://localhost'
/** The client can answer a challenge. */
export const CP1 = { claims: JSON.stringify({ access_token: { xms_cc: { values: ['cp1'] } } }) }
export const APIS = ['files-api', 'files-spa']
export const scopeOf = (api: string) => `api://${api}/Files.Read`
const CLIENTS = { browser: 'vector-spa', mobileAppsAndDesktopClients: 'vector-native' }
const INVITED = 'b2bCollaborationGuest'

/** How somebody proves it, by the methods that a case names; what is not here nobody can do. */
const PROOFS = {
  password: { factor: 'none', methods: 'password', mfa: false },
  code: { factor: 'app', methods: 'password,softwareOath', mfa: true },
  recovery: { factor: 'app', methods: 'password,recovery', mfa: true },
  passkey: { factor: 'passkey', methods: 'fido2', mfa: true },
  'password and passkey': { factor: 'passkey', methods: 'password,fido2', mfa: true },
} as const
type ProofName = keyof typeof PROOFS
type Factor = (typeof PROOFS)[ProofName]['factor']

export function proofNamed({ methods, mfa }: ProofSignal): ProofName | undefined {
  const found = Object.entries(PROOFS).find(([, one]) => one.methods === methods.join(',') && one.mfa === mfa)
  return found?.[0] as ProofName | undefined
}

/** A sign-in that several cases share: everything of them that cannot be changed afterwards. */
export interface Wish {
  user: UserSignal
  proof: ProofName
  client: keyof typeof CLIENTS
  api: string
  flow: 'none' | 'deviceCodeFlow'
  device: boolean
  /** Whether it ever says what it runs on: what is said once is remembered with what comes of it. */
  platform: boolean
}

export interface Person {
  name: string
  /** As the cases name them. */
  id: string
  /** Object id. */
  oid: string
  factor: Factor
  secret?: string
  recovery?: string
  key?: ReturnType<typeof createAuthenticator>
  /** Of the last code that was used. */
  step: number
}

/** What a browser has before it. */
type Shown = Awaited<ReturnType<Browser['open']>>

export interface World {
  wish: Wish
  person: Person
  clientId: string
  /** Second of the first factor. */
  at: number
  accessToken: string
  refreshToken: string
}

const personKey = ({ id, groups, roles, guest }: UserSignal, factor: Factor) => JSON.stringify([id, groups, roles, guest ?? null, factor])
export const worldKey = (wish: Wish) => JSON.stringify([personKey(wish.user, PROOFS[wish.proof].factor), { ...wish, user: '' }])

/** The tenant in which all of these can sign in; what a tenant file cannot say is written to the rows afterwards. */
export function tenantOf(wishes: readonly Wish[]): { people: Map<string, Wish>; text: string } {
  const people = new Map(wishes.map((wish) => [personKey(wish.user, PROOFS[wish.proof].factor), wish]))
  const groups = [...new Set(wishes.flatMap(({ user }) => user.groups))]
  const permissions = APIS.map(scopeOf)
  const text = JSON.stringify({
    tenant: { name: 'contoso', displayName: 'Contoso' },
    // What a vector says of the risk is put in by hand; nothing else may be found in so many sign-ins from so many places.
    risk: { off: DETECTION_TYPES },
    groups: groups.map((displayName) => ({ displayName })),
    users: [...people.values()].map(({ user }, number) => ({
      ...{ userPrincipalName: `${user.id}-${number}@contoso.test`, displayName: user.id, password: PASSWORD, groups: user.groups },
    })),
    applications: [
      ...APIS.map((appId) => ({
        ...{ appId, identifierUris: [`api://${appId}`], scopes: ['Files.Read'], cae: true, clientSecret: SECRET, optionalClaims: ['acrs'] },
      })),
      { appId: CLIENTS.browser, type: 'spa', redirectUris: [BACK], permissions },
      { appId: CLIENTS.mobileAppsAndDesktopClients, type: 'native', redirectUris: [BACK], permissions },
      ...['nightly', 'weekly'].map((appId) => ({
        ...{ appId, type: 'daemon', clientSecret: SECRET, permissions: ['graph/Device.ReadWrite.All', 'api://files-api/.default'] },
      })),
    ],
  })
  return { people, text }
}

/** Makes people and sign-ins. @param clock moves the server's clock, in seconds, and says what it shows */
export function createWorlds(loop: Loop, clock: { now(): number; move(seconds: number): void }) {
  const { db } = loop.server.store
  const people = new Map<string, Person>()
  let device: { id: string; key: CryptoKey } | undefined
  const account = `${loop.authority}/account`
  const codeOf = (secret: string, at = clock.now()) => new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: at * 1000 })

  async function makePerson(name: string, { user, proof }: Wish): Promise<Person> {
    const { id: oid } = await db.selectFrom('users').select('id').where('upn', '=', name).executeTakeFirstOrThrow()
    const guest = user.guest && {
      type: 'guest' as const,
      home: user.guest.tenants === undefined ? null : JSON.stringify({ issuer: user.guest.tenants[0], id: user.id }),
    }
    await db
      .updateTable('users')
      .set({ roles: JSON.stringify(user.roles), ...guest })
      .where('id', '=', oid)
      .execute()
    const { factor } = PROOFS[proof]
    const person: Person = { name, id: user.id, oid, factor, step: 0 }
    if (factor === 'none') return person
    const browser = createBrowser()
    const page = await browser.open(account)
    const inside = await browser.open(page.url.href, { username: name, password: PASSWORD })
    if (factor === 'passkey') {
      const key = createAuthenticator({ origin: loop.origin, rpId: new URL(loop.origin).hostname })
      await browser.open(account, { action: 'add-passkey', name: 'Key', passkey: key.create(optionsOf(inside.text)) })
      return { ...person, key }
    }
    const setup = await browser.open(account, { action: 'begin' })
    const secret = secretOn(setup.text)
    const codes = await browser.open(account, { action: 'confirm', code: codeOf(secret) })
    return { ...person, secret, recovery: codes.text.match(/<li>([A-Z0-9-]+)<\/li>/)?.[1] as string }
  }

  async function makeDevice(): Promise<{ id: string; key: CryptoKey }> {
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
    const { kty, crv, x, y } = await exportJWK(publicKey)
    const { id } = (await (await loop.graph('POST', '/devices', { displayName: 'Device', publicKey: { kty, crv, x, y } })).json()) as { id: string }
    return { id, key: privateKey }
  }

  async function word(): Promise<Record<string, string>> {
    const { id, key } = device as { id: string; key: CryptoKey }
    const iat = clock.now()
    const claims = { iss: id, sub: id, aud: loop.issuer, iat, exp: iat + 300, jti: randomUUID() }
    return { device_assertion: await new SignJWT(claims).setProtectedHeader({ alg: 'ES256', typ: 'device+jwt' }).sign(key) }
  }

  /** Proves whatever the page asks for, one page after the other. */
  async function prove(browser: Browser, page: Shown, { proof }: Wish, person: Person, until = BACK): Promise<Shown> {
    let here = page
    if (proof !== 'passkey') here = await browser.open(here.url.href, { username: person.name, password: PASSWORD }, until)
    if (proof === 'code') {
      // Each code is good once; the one before and the one after are good as well.
      person.step = Math.max(Math.floor(clock.now() / 30) - 1, person.step + 1)
      here = await browser.open(here.url.href, { code: codeOf(person.secret as string, person.step * 30) }, until)
    }
    if (proof === 'recovery') here = await browser.open(here.url.href, { code: person.recovery as string }, until)
    if (proof === 'passkey' || proof === 'password and passkey')
      here = await browser.open(here.url.href, { passkey: (person.key as NonNullable<Person['key']>).get(optionsOf(here.text)) }, until)
    return here
  }

  const personOf = ({ user, proof }: Wish) => people.get(personKey(user, PROOFS[proof].factor)) as Person

  async function begin(wish: Wish, more: Record<string, string> = {}) {
    const person = personOf(wish)
    const clientId = CLIENTS[wish.flow === 'deviceCodeFlow' ? 'mobileAppsAndDesktopClients' : wish.client]
    const scope = `${scopeOf(wish.api)} openid offline_access`
    const all = { ...more, ...(wish.device ? await word() : {}) }
    return { person, clientId, scope, flow: createFlow(loop, { clientId, scope, username: person.name, more: all }) }
  }

  async function byDeviceCode(wish: Wish, person: Person, clientId: string, scope: string) {
    const form = new URLSearchParams({ client_id: clientId, scope })
    const begun = await (await fetch(`${loop.authority}/oauth2/v2.0/devicecode`, { method: 'POST', body: form })).json()
    const browser = createBrowser()
    const page = await browser.open(begun.verification_uri)
    const confirm = await browser.open(page.url.href, { user_code: begun.user_code })
    const login = await browser.open(confirm.url.href, { confirm: 'yes', user_code: begun.user_code })
    await prove(browser, login, wish, person)
    return loop.token({ grant_type: 'device_code', client_id: clientId, device_code: begun.device_code, ...CP1 })
  }

  return {
    people,
    device: () => (device as { id: string }).id,
    /** Everybody with what they prove, and the one device: nothing of it is at the instant of a sign-in. */
    async settle(wished: Map<string, Wish>): Promise<void> {
      device = await makeDevice()
      let number = 0
      for (const [key, wish] of wished) people.set(key, await makePerson(`${wish.user.id}-${number++}@contoso.test`, wish))
      clock.move(90)
    },
    begin,
    prove,
    personOf,
    codeOf,
    /** Signs in on the page, from the first to the last step. */
    async signIn(wish: Wish): Promise<World> {
      const { person, clientId, scope, flow } = await begin(wish)
      const answer =
        wish.flow === 'deviceCodeFlow'
          ? await byDeviceCode(wish, person, clientId, scope)
          : await (async () => {
              const end = await prove(flow.browser, await flow.browser.open(flow.url), wish, person)
              return flow.redeem(end.url.searchParams.get('code') ?? end.text, CP1)
            })()
      if (answer.status !== 200) throw new Error(`no tokens for ${JSON.stringify(wish)}: ${JSON.stringify(answer.body)}`)
      const accessToken = String(answer.body.access_token)
      const at = claimsOf(accessToken).auth_time as number
      return { wish, person, clientId, at, accessToken, refreshToken: String(answer.body.refresh_token) }
    },
  }
}

export type Worlds = ReturnType<typeof createWorlds>

/** The key of an authenticator app, as the page shows it. */
export const secretOn = (text: string) => text.match(/class="key">([A-Z2-7 ]+)</)?.[1]?.replaceAll(' ', '') as string

/** What a directory knows of a guest: one with an account elsewhere was invited, and of one without nobody can tell. */
export const isKnownGuest = ({ guest }: UserSignal) =>
  guest === undefined || guest.types.join() === (guest.tenants ? INVITED : `internalGuest,${INVITED}`)
