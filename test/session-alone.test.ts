import { Secret, TOTP } from 'otpauth'
import { beforeEach, describe, expect, it } from 'vitest'
import { createRisk } from '../packages/server/src/directory/risk.ts'
import { enterWorld, flow, idOf, loop, now, only, submitCode, world } from './access-world.ts'
import { claimsOf, PASSWORD } from './loop.ts'
import { grant, policy, setPolicies } from './policies-of.ts'

const BACK = 'http://localhost'
const NEXT = { new: 'a thief chose this one', again: 'a thief chose this one' }

// What a thief has who copied the cookies of a browser, and knows nothing.
enterWorld()
beforeEach(() => setPolicies(loop, []))

const rowOf = (who: string) => loop.server.store.db.selectFrom('users').selectAll().where('upn', '=', `${who}@contoso.test`).executeTakeFirstOrThrow()
const factorsOf = async (who: string) =>
  loop.server.store.db
    .selectFrom('factors')
    .selectAll()
    .where('user_id', '=', await idOf(who))
    .execute()
async function raise(who: string) {
  const risk = createRisk(loop.server.store, loop.tenant, loop.issuer, { sayingWhich: (_, work) => work() })
  await risk.set({ kind: 'system', reason: 'a detection' }, await idOf(who), { level: 'high', state: 'atRisk', detail: 'none' })
}

/** Registers an authenticator app on the account page. @returns codes, each good once */
async function enrol(who: string): Promise<() => string> {
  const { browser } = flow(who)
  const account = `${loop.authority}/account`
  const page = await browser.open(account)
  await browser.open(page.url.href, { username: `${who}@contoso.test`, password: PASSWORD })
  const setup = await browser.open(account, { action: 'begin' })
  const secret = Secret.fromBase32(setup.text.match(/class="key">([A-Z2-7 ]+)</)?.[1]?.replaceAll(' ', '') as string)
  const code = () => {
    world.ahead += 60
    return new TOTP({ secret }).generate({ timestamp: now() })
  }
  expect((await browser.open(account, { action: 'confirm', code: code() })).text).toContain('Your recovery codes')
  return code
}

/** A browser in which somebody is signed in, and a page of it where a policy asks for more. */
async function signedIn(who: string, code?: () => string) {
  const one = flow(who)
  const person = { username: `${who}@contoso.test`, password: PASSWORD, ...(code ? { code } : {}) }
  const end = await one.browser.signIn(one.url, BACK, person)
  const { body } = await one.redeem(String(end.searchParams.get('code')))
  return { browser: one.browser, sid: String(claimsOf(String(body.access_token)).sid), refreshToken: String(body.refresh_token) }
}
const open = ({ browser }: Awaited<ReturnType<typeof signedIn>>, who: string) => browser.open(flow(who).url, undefined, BACK)
const revoke = async (sid: string) => expect((await loop.graph('POST', `/caegis/sessions/${sid}/revoke`)).status).toBe(204)

describe('a browser session alone', () => {
  it('sets no new password, where a policy asks for one: the old one is typed first, and the risk is over when its holder has changed it', async () => {
    const code = await enrol('alice')
    const session = await signedIn('alice', code)
    await raise('alice')
    // Newer than the end of everything that the risk may bring: it is the session that is looked at, not its age.
    world.ahead += 5
    await setPolicies(loop, [policy('High risk', { conditions: { userRiskLevels: ['high'] }, ...grant('mfa', 'passwordChange') })])
    const page = await open(session, 'alice')
    expect(page.text).toContain('name="password"')
    expect(page.text).not.toContain('name="new"')
    const { password } = await rowOf('alice')
    expect((await session.browser.open(page.url.href, NEXT)).status).toBe(400)
    expect(await rowOf('alice')).toMatchObject({ password, risk_level: 'high' })

    const again = await session.browser.open(page.url.href)
    const half = await session.browser.open(again.url.href, { username: 'alice@contoso.test', password: PASSWORD })
    const change = await session.browser.open(half.url.href, { code: code() })
    expect(change.text).toContain('name="new"')
    const next = 'her own new password'
    await session.browser.open(change.url.href, { new: next, again: next }, BACK)
    expect(await rowOf('alice')).toMatchObject({ risk_level: 'none', risk_state: 'remediated' })
  })

  it('sets no new password where an administrator asks for one, and a policy asks the session for more', async () => {
    const session = await signedIn('bob')
    expect((await loop.graph('PATCH', '/users/bob@contoso.test', { passwordProfile: { forceChangePasswordNextSignIn: true } })).status).toBe(204)
    await setPolicies(loop, [policy('MFA', { conditions: await only('bob'), ...grant('mfa') })])
    const page = await open(session, 'bob')
    expect(page.text).toContain('name="password"')
    const { password } = await rowOf('bob')
    expect((await session.browser.open(page.url.href, NEXT)).status).toBe(400)
    expect((await rowOf('bob')).password).toBe(password)
  })

  it('sets none either when that is asked for after the question for a second factor', async () => {
    const session = await signedIn('erin')
    const code = await enrol('erin')
    await setPolicies(loop, [policy('MFA', { conditions: await only('erin'), ...grant('mfa') })])
    const question = await open(session, 'erin')
    expect(question.text).toContain('name="code"')
    expect((await loop.graph('PATCH', '/users/erin@contoso.test', { passwordProfile: { forceChangePasswordNextSignIn: true } })).status).toBe(204)
    const page = await session.browser.open(question.url.href, { code: code() })
    expect(page.text).toContain('name="password"')
    expect((await session.browser.open(page.url.href, NEXT)).status).toBe(400)
  })

  it('registers no second factor when its sign-in is no longer a new one', async () => {
    const session = await signedIn('carol')
    await setPolicies(loop, [policy('MFA', { conditions: await only('carol'), ...grant('mfa') })])
    expect((await open(session, 'carol')).text).toContain('Set up an authenticator app')
    world.ahead += 31 * 60
    const page = await open(session, 'carol')
    expect(page.text).toContain('name="password"')
    expect(await factorsOf('carol')).toEqual([])
  })
})

describe('what is half done from a session', () => {
  it('A3(d): ends with it: by an administrator before the second factor was registered', async () => {
    const session = await signedIn('dave')
    await setPolicies(loop, [policy('MFA', { conditions: await only('dave'), ...grant('mfa') })])
    const setup = await open(session, 'dave')
    expect(setup.text).toContain('Set up an authenticator app')
    await revoke(session.sid)
    const refused = await session.browser.open(setup.url.href, { code: submitCode(setup.text) })
    expect(refused).toMatchObject({ status: 401, text: expect.stringContaining('Your access changed meanwhile') })
    expect(await factorsOf('dave')).toEqual([])
    // Nor is anything begun from it.
    expect((await open(session, 'dave')).text).toContain('name="password"')
  })

  it('A3(d): ends with it: by a refresh token that was presented again', async () => {
    const session = await signedIn('dave')
    expect((await flow('dave').refresh(session.refreshToken)).status).toBe(200)
    await setPolicies(loop, [policy('MFA', { conditions: await only('dave'), ...grant('mfa') })])
    const setup = await open(session, 'dave')
    world.ahead += 60
    expect((await flow('dave').refresh(session.refreshToken)).status).toBe(400)
    expect((await session.browser.open(setup.url.href, { code: submitCode(setup.text) })).status).toBe(401)
    expect(await factorsOf('dave')).toEqual([])
  })

  it('A3(d): ends with it inside the change itself, when the revocation comes after the look at the session', async () => {
    const session = await signedIn('dave')
    await setPolicies(loop, [policy('MFA', { conditions: await only('dave'), ...grant('mfa') })])
    const setup = await open(session, 'dave')
    const { store } = loop.server
    const { commit } = store
    store.commit = async (edit) => {
      if (edit.actor.kind === 'holder') {
        store.commit = commit
        await revoke(session.sid)
      }
      return commit(edit)
    }
    const refused = await session.browser.open(setup.url.href, { code: submitCode(setup.text) })
    store.commit = commit
    expect(refused).toMatchObject({ status: 401, text: expect.stringContaining('Your access changed meanwhile') })
    expect(await factorsOf('dave')).toEqual([])
  })
})

it('new recovery codes are made where security information may be registered, and by nobody at high risk', async () => {
  const code = await enrol('carol')
  const { browser } = await signedIn('carol', code)
  const account = `${loop.authority}/account`
  const before = await factorsOf('carol')
  const refused = async () => {
    await browser.open(account)
    const page = await browser.open(account, { action: 'codes' })
    expect(page).toMatchObject({ status: 400, text: expect.stringContaining('role="alert"') })
    expect(page.text).not.toContain('Your recovery codes')
    expect(await factorsOf('carol')).toEqual(before)
  }
  const action = { applications: { includeUserActions: ['urn:user:registersecurityinfo'] } }
  await setPolicies(loop, [policy('Nowhere', { conditions: { ...(await only('carol')), ...action }, ...grant('block') })])
  await refused()
  await setPolicies(loop, [])
  await raise('carol')
  await refused()
  await loop.server.store.db
    .updateTable('users')
    .set({ risk_level: 'none', risk_state: 'dismissed' })
    .where('upn', '=', 'carol@contoso.test')
    .execute()
  await browser.open(account)
  expect((await browser.open(account, { action: 'codes' })).text).toContain('Your recovery codes')
})
