import { decodeProtectedHeader } from 'jose'
import { Secret, TOTP } from 'otpauth'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { asPerson, CONFIRMED, ORGANIZATION, STOPPED } from './emergency.ts'
import { createFlow } from './flow.ts'
import { claimsOf, PASSWORD, SCOPE, SECRET, verdictOf } from './loop.ts'
import { type ServerPair, startPair } from './pair.ts'
import { createReceiver, openSse } from './signals-tenant.ts'

const REDIRECT = 'http://localhost'
const LEAD = 1200
/** Nothing but the sign-in page helps. */
const SIGN_IN = { status: 400, body: { error: 'interaction_required' } }
let pair: ServerPair
beforeAll(async () => {
  // Machines whose own clocks are five minutes off, one each way: they decide nothing.
  pair = await startPair({ skew: { a: -300, b: 300 } })
})
const ends: (() => unknown)[] = []
afterAll(async () => {
  for (const end of ends) await end()
  await pair.close()
})

/** Sends everything to one of the two from here on. */
const toward = (name: 'a' | 'b' | 'turns' | ((path: string) => 'a' | 'b')) => {
  pair.balancer.toward = name
}
const idOf = async (name: string) => {
  const { id } = await pair.b.store.db.selectFrom('users').select('id').where('upn', '=', `${name}@contoso.test`).executeTakeFirstOrThrow()
  return id
}
const flowOf = (name: string, more: Parameters<typeof createFlow>[1] = {}) =>
  createFlow(pair, { username: `${name}@contoso.test`, capable: true, ...more })
const change = async (method: string, path: string, body?: object) => {
  const answer = await pair.graph(method, path, body)
  expect(answer.status, `${method} ${path}`).toBeLessThan(300)
  return answer
}
const revoke = (name: string) => change('POST', `/users/${name}@contoso.test/revokeSignInSessions`)
/** Opens the first page of a sign-in. */
const begin = (flow: ReturnType<typeof createFlow>) => flow.browser.open(flow.url, undefined, REDIRECT)
const person = (name: string) => ({ username: `${name}@contoso.test`, password: PASSWORD })

describe('a sign-in that one server begins and the other one ends', () => {
  it('by the page, with MSAL, and step by step', async () => {
    toward('a')
    const flow = flowOf('alice')
    const page = await begin(flow)
    toward('b')
    const end = await flow.browser.open(page.url.href, person('alice'), REDIRECT)
    toward('a')
    const { status, body } = await flow.redeem(end.url.searchParams.get('code') as string)
    expect(status).toBe(200)
    toward('b')
    expect((await flow.refresh(String(body.refresh_token))).status).toBe(200)

    // Each request for the same path goes to the other one.
    toward('turns')
    const bob = pair.person('bob')
    expect(claimsOf(await bob.signIn())).toMatchObject({ tid: expect.any(String) })
    expect(pair.balancer.served.get('a')).toBeGreaterThan(0)
    expect(pair.balancer.served.get('b')).toBeGreaterThan(0)
  })

  it('with a second factor', async () => {
    const browser = createBrowser()
    const account = `${pair.authority}/account`
    toward('a')
    const login = await browser.open(account)
    await browser.open(login.url.href, person('carol'))
    toward('b')
    const setup = await browser.open(account, { action: 'begin' })
    const secret = setup.text.match(/class="key">([A-Z2-7 ]+)</)?.[1]?.replaceAll(' ', '') as string
    // Three of them are good at a time, and each is good once.
    const code = (step: number) => new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: Date.now() + step * 30_000 })
    toward('a')
    expect((await browser.open(account, { action: 'confirm', code: code(0) })).text).toContain('codes')

    const flow = flowOf('carol')
    const page = await begin(flow)
    const half = await flow.browser.open(page.url.href, person('carol'), REDIRECT)
    expect(half.text).toContain('name="code"')
    toward('b')
    const resume = await flow.browser.submit(half.url.href, { code: code(1) })
    const end = await flow.browser.open(resume, undefined, REDIRECT)
    const { body } = await flow.redeem(end.url.searchParams.get('code') as string)
    expect(claimsOf(String(body.access_token)).amr).toEqual(['pwd', 'otp', 'mfa'])
    // What is spent at one is spent at both.
    toward('a')
    const again = flowOf('carol')
    const second = await again.browser.open((await begin(again)).url.href, person('carol'), REDIRECT)
    expect((await again.browser.open(second.url.href, { code: code(1) }, REDIRECT)).status).toBe(401)
  })

  it('by a device code', async () => {
    toward('a')
    const form = { client_id: 'files-native', scope: `${SCOPE} openid` }
    const answer = await fetch(`${pair.authority}/oauth2/v2.0/devicecode`, { method: 'POST', body: new URLSearchParams(form) })
    const begun = (await answer.json()) as Record<string, string>
    const browser = createBrowser()
    toward('b')
    const page = await browser.open((begun.verification_uri_complete ?? begun.verification_uri) as string)
    const confirm = await browser.open(page.url.href, { user_code: begun.user_code as string })
    toward('a')
    const login = await browser.open(confirm.url.href, { confirm: 'yes', user_code: begun.user_code as string })
    toward('b')
    const done = await browser.open(login.url.href, person('bob'))
    expect(done.status).toBe(200)
    const poll = () => pair.token({ grant_type: 'device_code', client_id: 'files-native', device_code: begun.device_code as string })
    toward('a')
    expect(await poll()).toMatchObject({ status: 200, body: { access_token: expect.any(String) } })
    toward('b')
    expect(await poll()).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
  })

  it('with an agreement that was asked for by the one and given at the other', async () => {
    toward('a')
    const flow = flowOf('dave', { clientId: 'album' })
    const page = await flow.browser.open((await begin(flow)).url.href, person('dave'), REDIRECT)
    expect(page.url.pathname).toContain('/consent/')
    toward('b')
    const end = await flow.browser.open(page.url.href, { answer: 'accept' }, REDIRECT)
    toward('a')
    expect((await flow.redeem(end.url.searchParams.get('code') as string)).status).toBe(200)
  })
})

describe('a refresh token', () => {
  it('E1: used at both at once leads to one successor, which both then know; its reuse is noticed by either', async () => {
    toward('a')
    const flow = flowOf('bob')
    const { refreshToken } = await flow.tokens()
    toward('turns')
    const answers = await Promise.all(Array.from({ length: 6 }, () => flow.refresh(refreshToken)))
    expect(answers.map(({ status }) => status)).toEqual(Array(6).fill(200))
    const successors = new Set(answers.map(({ body }) => body.refresh_token))
    expect(successors.size).toBe(1)
    toward('b')
    expect((await flow.refresh([...successors][0] as string)).status).toBe(200)
  })

  it('A3: of before a revocation at the one is refused by the other', async () => {
    toward('a')
    const flow = flowOf('bob')
    const { refreshToken } = await flow.tokens()
    await revoke('bob')
    toward('b')
    expect(await flow.refresh(refreshToken)).toMatchObject(SIGN_IN)
  })
})

describe('what is revoked at one server', () => {
  it('a guard that is served by the other one refuses', async () => {
    toward('b')
    const guard = await pair.guard()
    const { accessToken } = await flowOf('alice').tokens()
    expect(await verdictOf(guard, accessToken)).toMatchObject({ allowed: true })
    toward((path) => (path.includes('/ssf/') ? 'b' : 'a'))
    await revoke('alice')
    await expect
      .poll(() => verdictOf(guard, accessToken), { timeout: 20_000, interval: 5 })
      .toMatchObject({ allowed: false, status: 401, code: 'revoked' })
    await guard.close()
  })

  it('I3, I4: a guard whose polls go to each in turn misses nothing, and never begins anew', async () => {
    toward('turns')
    const said: string[] = []
    const guard = await pair.guard({ log: listener(said) })
    const tokens = new Map<string, string>()
    for (const name of ['alice', 'dave', 'erin']) tokens.set(name, (await flowOf(name).tokens()).accessToken)
    const polls = () => pair.balancer.served.get('a') as number
    const begun = polls()
    for (const name of tokens.keys()) {
      await revoke(name)
      for (const [one, token] of tokens) {
        const verdict = expect.poll(() => verdictOf(guard, token), { timeout: 20_000, interval: 5 })
        if (one === name) await verdict.toMatchObject({ allowed: false, code: 'revoked' })
        else if ([...tokens.keys()].indexOf(one) > [...tokens.keys()].indexOf(name)) await verdict.toMatchObject({ allowed: true })
      }
    }
    for (let round = 0; round < 6; round++) {
      await revoke('bob')
      const { seq } = await pair.a.store.position((await pair.b.store.db.selectFrom('tenants').select('id').executeTakeFirstOrThrow()).id)
      await expect.poll(() => guard.status().head?.seq, { timeout: 20_000, interval: 5 }).toBe(seq)
    }
    expect(polls()).toBeGreaterThan(begun)
    expect(guard.status()).toMatchObject({ inSync: true, stale: false })
    expect(said).toEqual([])
    await guard.close()
  })

  it('a verification that was asked for at one comes with a poll that the other one holds', async () => {
    toward('b')
    const receiver = createReceiver(pair, 'mail-api')
    const id = await receiver.create()
    const held = receiver.poll(id, { returnImmediately: false })
    toward('a')
    expect((await receiver.call('POST', '/verify', { stream_id: id, state: 'across' })).status).toBe(204)
    const [set] = Object.values((await held).sets)
    expect(claimsOf(set as string)).toMatchObject({
      events: { 'https://schemas.openid.net/secevent/ssf/event-type/verification': { state: 'across' } },
    })
    await receiver.call('DELETE', `/streams?stream_id=${id}`)
  })

  it('C3: an administrator who was revoked at one is refused by the other inside the very change', async () => {
    toward('a')
    const second = await asPerson(pair, pair.person('admin', { scopes: [`${pair.origin}/.default`], username: 'second@contoso.test' }))
    expect((await second.call('PATCH', '/users/erin@contoso.test', { displayName: 'Erin' })).status).toBe(204)
    const { tid, oid, iat, sid } = claimsOf(second.token) as unknown as { tid: string; oid: string; iat: number; sid: string }
    await revoke('second')
    // Whatever its own guard has heard by then.
    const actor = { kind: 'user', id: oid, iat, sid, appId: 'caegis-cli', role: 'admin' } as const
    const edit = () => Promise.resolve()
    await expect(pair.b.store.commit({ tenant: tid, actor, edit })).rejects.toMatchObject({ code: 'actor_revoked' })
    toward('b')
    expect((await second.call('PATCH', '/users/erin@contoso.test', { displayName: 'Somebody' })).status).toBe(401)
    const row = await pair.a.store.db.selectFrom('users').select('display_name').where('upn', '=', 'erin@contoso.test').executeTakeFirst()
    expect(row?.display_name).toBe('Erin')
  })

  it('a policy that was edited at one decides at the other at once', async () => {
    toward('a')
    const flow = flowOf('erin')
    const { refreshToken } = await flow.tokens()
    const block = {
      ...{ displayName: 'Nobody', state: 'enabled' },
      conditions: { users: { includeUsers: [await idOf('erin')] }, applications: { includeApplications: ['All'] } },
      grantControls: { operator: 'OR', builtInControls: ['block'] },
    }
    const { id } = (await (await change('POST', '/identity/conditionalAccess/policies', block)).json()) as { id: string }
    toward('b')
    expect(await flow.refresh(refreshToken)).toMatchObject(SIGN_IN)
    await change('DELETE', `/identity/conditionalAccess/policies/${id}`)
    toward('a')
    expect((await flowOf('erin').tokens()).accessToken).toEqual(expect.any(String))
  })
})

describe('what both count, and hear', () => {
  it('wrong passwords at either count together', async () => {
    toward('turns')
    const statuses: number[] = []
    // Each has counted five or six by then, which is no reason to wait at either.
    for (let tries = 0; tries < 11; tries++) {
      const flow = flowOf('dave')
      const page = await begin(flow)
      toward(tries % 2 === 0 ? 'a' : 'b')
      statuses.push((await flow.browser.open(page.url.href, { username: 'dave@contoso.test', password: 'wrong' }, REDIRECT)).status)
    }
    expect(statuses.slice(0, 6)).toEqual(Array(6).fill(401))
    expect(statuses).toContain(429)
  })

  it('event streams of both tell what happened at either: changes, sign-ins, those that were refused too', async () => {
    toward('a')
    const token = await pair.daemonToken('watcher', `${pair.origin}/.default`)
    const topics = '/v1.0/caegis/live?topics=events,signIns'
    const streams = []
    for (const name of ['a', 'b'] as const) {
      toward(name)
      const sse = await openSse(`${pair.origin}${topics}`, token)
      ends.push(() => sse.close())
      streams.push(sse)
    }
    for (const [name, who] of [
      ['a', 'alice'],
      ['b', 'bob'],
    ] as const) {
      toward(name)
      const { accessToken } = await flowOf(who).tokens()
      const bad = await pair.token({
        grant_type: 'client_credentials',
        client_id: `wrong-${name}`,
        client_secret: SECRET,
        scope: 'api://files/.default',
      })
      expect(bad.status).toBe(401)
      const { headers } = await revoke(who)
      const txn = headers.get('caegis-txn')
      for (const sse of streams) {
        await expect.poll(() => sse.messages.filter(({ event }) => event === 'event').map(({ data }) => data.txn), { timeout: 20_000 }).toContain(txn)
        const signIns = () => sse.messages.filter(({ event }) => event === 'signIn').map(({ data }) => data.userPrincipalName)
        await expect.poll(signIns, { timeout: 20_000 }).toContain(`${who}@contoso.test`)
      }
      expect(accessToken).toEqual(expect.any(String))
    }
  })
})

describe('keys, and the end of everything', () => {
  const kids = async () => {
    const { keys } = (await (await fetch(`${pair.authority}/discovery/v2.0/keys`)).json()) as { keys: { kid: string }[] }
    return keys.map(({ kid }) => kid).sort()
  }
  const signer = async () => decodeProtectedHeader(await pair.daemonToken('nightly', 'api://files/.default')).kid as string

  it('E2: a key that was made at one is published by the other, and signs there when its time has come', async () => {
    toward('a')
    const old = await kids()
    const admin = await asPerson(pair, pair.person('admin', { scopes: [`${pair.origin}/.default`] }))
    expect((await admin.call('POST', '/caegis/keys/rotate')).status).toBeLessThan(300)
    toward('b')
    await expect.poll(kids, { timeout: 20_000 }).toHaveLength(old.length + 2)
    const both = await kids()
    expect(old).toContain(await signer())
    await pair.shift(LEAD + 5)
    await expect.poll(signer, { timeout: 20_000 }).toSatisfy((kid: string) => !old.includes(kid) && both.includes(kid))
    toward('a')
    await expect.poll(signer, { timeout: 20_000 }).toSatisfy((kid: string) => !old.includes(kid) && both.includes(kid))
    await pair.shift(0)
    await expect.poll(signer, { timeout: 20_000 }).toSatisfy((kid: string) => old.includes(kid))
  })

  it('C2: an emergency stop at one ends minting at the other', async () => {
    toward('a')
    const admin = await asPerson(pair, pair.person('admin', { scopes: [`${pair.origin}/.default`] }))
    expect((await admin.call('POST', `${ORGANIZATION}/stop`, CONFIRMED)).status).toBe(200)
    toward('b')
    const form = { grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope: 'api://files/.default' }
    expect(await pair.token(form)).toMatchObject(STOPPED)
  })
})

/** What a guard says that is worth a warning. */
function listener(said: string[]) {
  const keep = (text: string) => void said.push(text)
  return { debug() {}, info() {}, warn: keep, error: keep }
}
