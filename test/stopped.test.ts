import { recover } from '@caegis/server'
import Provider from 'oidc-provider'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { passwordWork } from '../packages/server/src/directory/password.ts'
import { createAttempt } from '../packages/server/src/issuer/attempt.ts'
import { passFence } from '../packages/server/src/issuer/fence.ts'
import type { Tenant } from '../packages/server/src/issuer/tenant.ts'
import { administrator, CONFIRMED, daemon, emergency, log, ORGANIZATION, resume, STOPPED, stop, tenantRow } from './emergency.ts'
import { authorize, createFlow } from './flow.ts'
import { claimsOf, eventually, type Loop, PASSWORD, SCOPE, startLoop } from './loop.ts'

const PAST_CACHE = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'

interface Device {
  device_code: string
  user_code: string
  verification_uri: string
}

async function beginDevice(loop: Loop): Promise<Device> {
  const begun = await fetch(`${loop.authority}/oauth2/v2.0/devicecode`, {
    method: 'POST',
    body: new URLSearchParams({ client_id: 'files-native', scope: `${SCOPE} openid offline_access` }),
  })
  return (await begun.json()) as Device
}

const pollDevice = (loop: Loop, { device_code }: Device) => loop.token({ grant_type: 'device_code', client_id: 'files-native', device_code })

async function approveDevice({ verification_uri: page, user_code }: Device): Promise<void> {
  const browser = createBrowser()
  const hidden = (text: string) => text.match(/name="xsrf" value="([^"]*)"/)?.[1] as string
  const input = await browser.open(page)
  const confirm = await browser.open(page, { xsrf: hidden(input.text), user_code })
  const signIn = await browser.open(page, { xsrf: hidden(confirm.text), user_code, confirm: 'yes' })
  const done = await browser.open(signIn.url.href, { username: 'alice@contoso.test', password: PASSWORD })
  expect(done.text).toContain('You are signed in')
}

describe.each([
  ['and there is no emergency account', false],
  ['and there is an emergency account', true],
])('C2: while a tenant is stopped %s', (_name, rescued) => {
  let loop: Loop
  beforeEach(async () => {
    loop = await startLoop()
    if (rescued) await recover({ data: loop.data, database: loop.settings.database, tenant: 'contoso', log })
  })
  afterEach(() => loop.close())

  it('C2: nothing is issued for anything that was good before, nor for a secret or a password, until it is resumed; then only for those two', async () => {
    const alice = loop.person('alice')
    await alice.signIn()
    const flow = createFlow(loop)
    const { refreshToken } = await flow.tokens()
    const coded = createFlow(loop)
    const code = await coded.code()
    const [approved, pending] = [await beginDevice(loop), await beginDevice(loop)]
    await approveDevice(approved)
    // The password is proved, the redirect that completes the sign-in not followed; and a page that waits for the password.
    const half = createBrowser()
    const page = await half.open(createFlow(loop).url)
    const proof = await half.submit(page.url.href, { username: 'alice@contoso.test', password: PASSWORD })
    const waiting = createBrowser()
    const form = await waiting.open(createFlow(loop).url)
    // Signed in: a new code would come without a question.
    const signedIn = createFlow(loop, { browser: flow.browser })
    expect((await signedIn.signIn()).searchParams.get('code')).toEqual(expect.any(String))

    await stop(loop)
    for (const scope of ['api://files/.default', `${loop.origin}/.default`]) expect(await daemon(loop, scope)).toMatchObject(STOPPED)
    expect(await flow.refresh(refreshToken)).toMatchObject(STOPPED)
    expect(await coded.redeem(code)).toMatchObject(STOPPED)
    expect(await pollDevice(loop, approved)).toMatchObject(STOPPED)
    const unapproved = await pollDevice(loop, pending)
    expect(unapproved).toMatchObject(rescued ? { status: 400, body: { error: 'authorization_pending' } } : STOPPED)
    expect(await loop.token({ grant_type: 'password', username: 'alice@contoso.test', password: PASSWORD })).toMatchObject(STOPPED)
    const end = await half.open(proof)
    expect({ path: end.url.pathname, status: end.status }).toEqual(
      rescued ? { path: expect.stringContaining('/signin/'), status: 200 } : { path: expect.stringContaining('/authorize/'), status: 403 },
    )
    const posted = await waiting.open(form.url.href, { username: 'alice@contoso.test', password: PASSWORD })
    expect(posted).toMatchObject({ status: 403, text: expect.stringContaining('An administrator has stopped Contoso') })
    const silent = await authorize(loop, { prompt: 'none' })
    expect(silent.location).not.toContain('code=')
    const begun = await beginDevice(loop)
    if (rescued) expect(begun).toMatchObject({ user_code: expect.any(String) })
    else expect(begun).toMatchObject({ error: 'access_denied', error_codes: [5000224] })
    const again = await flow.browser.open(flow.url)
    expect(again.text).toContain(rescued ? 'Only the emergency account can sign in' : 'An administrator has stopped Contoso')
    expect(again.text.includes('name="password"')).toBe(rescued)
    await expect(alice.signIn()).rejects.toThrow(/has stopped Contoso/)
    const { last_iat, valid_from } = await tenantRow(loop)
    expect(last_iat).toBeLessThanOrEqual(valid_from)

    await resume(loop)
    expect((await daemon(loop)).status).toBe(200)
    expect(await flow.refresh(refreshToken)).toMatchObject({ status: 400, body: { error: 'interaction_required', error_codes: [50173] } })
    expect((await coded.redeem(code)).status).toBe(400)
    expect(await pollDevice(loop, approved)).toMatchObject({ status: 400, body: { error: 'interaction_required' } })
    // Nobody gets on from the proved password: it is asked for again, or the link is used up.
    expect((await half.open(proof)).text).toContain(rescued ? 'has expired' : 'name="password"')
    expect((await flow.browser.open(flow.url)).text).toContain('name="password"')
    expect(claimsOf(await alice.signIn()).iat).toBeGreaterThan(valid_from)
  })

  it('C2: the herd costs neither a password hash nor a step of the OpenID provider', async () => {
    const flow = createFlow(loop)
    const { refreshToken } = await flow.tokens()
    const code = await createFlow(loop).code()
    const device = await beginDevice(loop)
    await approveDevice(device)
    const browser = createBrowser()
    const form = await browser.open(createFlow(loop).url)
    await stop(loop)

    const entered = vi.spyOn(Provider.prototype as any, 'createContext')
    const hashed = passwordWork().begun
    const herd = () => [
      daemon(loop),
      flow.refresh(refreshToken),
      flow.refresh('an-unknown-refresh-token'),
      flow.redeem(code),
      pollDevice(loop, device),
      browser.open(form.url.href, { username: 'alice@contoso.test', password: PASSWORD }),
      browser.open(form.url.href, { username: 'nobody@contoso.test', password: PASSWORD }),
    ]
    const people = () => [browser.open(createFlow(loop).url), beginDevice(loop), browser.open(`${loop.authority}/oauth2/v2.0/device`)]
    try {
      const answers = await Promise.all(Array.from({ length: 10 }, () => [...herd(), ...(rescued ? [] : people())]).flat())
      // Never a 5xx, and nothing that makes MSAL block the client.
      for (const answer of answers as { status?: number; headers?: Headers }[]) {
        if (answer.status !== undefined) expect([400, 403]).toContain(answer.status)
        expect(answer.headers?.get('retry-after') ?? null).toBeNull()
      }
      expect(passwordWork().begun).toBe(hashed)
      expect(entered).not.toHaveBeenCalled()
      // The spies do count.
      await loop.daemonToken('files-api', 'ssf.read')
      expect(entered).toHaveBeenCalledOnce()
    } finally {
      entered.mockRestore()
    }
    await resume(loop)
    // The count does: the emergency account got a new password, and signed in with it.
    expect(passwordWork().begun).toBe(hashed + 2)
  })

  it('C2: unmodified MSAL gets one error that it neither retries nor turns into a prompt, and goes on after the resume with a sign-in', async () => {
    const alice = loop.person('alice')
    await alice.signIn()
    await stop(loop)
    const sent: string[] = []
    const real = globalThis.fetch
    globalThis.fetch = (input, init) => {
      sent.push(String(input instanceof Request ? input.url : input))
      return real(input, init)
    }
    try {
      for (let time = 0; time < 3; time++) {
        sent.length = 0
        const error = await alice.silent(PAST_CACHE).catch((thrown: unknown) => thrown)
        // An error that MSAL has thrown out of its own throttle would have no code.
        expect(error).toMatchObject({ name: 'ServerError', errorCode: 'access_denied', errorMessage: expect.stringContaining('CAE5000224') })
        expect(sent.filter((url) => url.includes('/oauth2/v2.0/token'))).toHaveLength(1)
      }
    } finally {
      globalThis.fetch = real
    }
    await resume(loop)
    const error = await alice.silent(PAST_CACHE).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ name: 'InteractionRequiredAuthError', errorNo: 50173 })
    expect(await alice.signIn((error as { claims: string }).claims)).toEqual(expect.any(String))
    expect(await alice.silent(PAST_CACHE)).toEqual(expect.any(String))
  })

  it('lets a page of any origin read why', async () => {
    await stop(loop)
    const { headers } = await createFlow(loop).refresh('unknown')
    expect(headers.get('access-control-allow-origin')).toBe('*')
    expect(headers.get('cache-control')).toBe('no-store')
    // Keys and discovery are for the guards.
    for (const path of ['/v2.0/.well-known/openid-configuration', '/discovery/v2.0/keys'])
      expect((await fetch(loop.authority + path)).status).toBe(200)
    await resume(loop)
  })
})

describe('C2: a mint that races with the stop', () => {
  let loop: Loop
  beforeAll(async () => {
    loop = await startLoop()
  })
  afterAll(() => loop.close())

  /** Stops the next transaction of the fence at its door: the decision is taken, nothing has left yet. */
  function holdNextMint(): { held: Promise<void>; release(): void } {
    const { store } = loop.server
    const real = store.transaction
    const held = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    store.transaction = async (lock, work) => {
      // Leases and guesses have transactions too.
      if (!('tenant' in lock) || lock.also === undefined) return real(lock, work)
      store.transaction = real
      held.resolve()
      await gate.promise
      return real(lock, work)
    }
    return { held: held.promise, release: () => gate.resolve() }
  }

  it('C2: that was decided before it and would leave after it is refused: a daemon, a refresh token, a code, a password', async () => {
    const flow = createFlow(loop)
    const waiting = createBrowser()
    // What comes before the last step is done before the fence is watched.
    const prepare: Record<string, () => Promise<() => Promise<object>>> = {
      daemon: async () => () => daemon(loop),
      async 'refresh token'() {
        const { refreshToken } = await flow.tokens()
        return () => flow.refresh(refreshToken)
      },
      async code() {
        const code = await flow.code()
        return () => flow.redeem(code)
      },
      async password() {
        const form = await waiting.open(createFlow(loop).url)
        return () => waiting.open(form.url.href, { username: 'alice@contoso.test', password: PASSWORD })
      },
    }
    for (const [name, before] of Object.entries(prepare)) {
      const admin = await administrator(loop)
      const last = await before()
      const racing = holdNextMint()
      const answer = last()
      await racing.held
      expect((await admin.call('POST', `${ORGANIZATION}/stop`, CONFIRMED)).status, name).toBe(200)
      racing.release()
      const page = { status: 403, text: expect.stringContaining('has stopped Contoso') }
      expect(await answer, name).toMatchObject(name === 'password' ? page : STOPPED)
      await resume(loop)
    }
  })

  it('C2: however many race: no token with an iat after the stop leaves before the resume', async () => {
    const flows = await Promise.all(Array.from({ length: 4 }, () => createFlow(loop)))
    for (let round = 0; round < 3; round++) {
      const refreshTokens = await Promise.all(flows.map(async (flow) => (await flow.tokens()).refreshToken))
      const admin = await administrator(loop)
      const answers: Promise<{ status: number; body: Record<string, unknown> }>[] = []
      const fire = () => {
        for (let i = 0; i < 8; i++) answers.push(daemon(loop))
        flows.forEach((flow, i) => void answers.push(flow.refresh(refreshTokens[i] as string)))
      }
      fire()
      await Promise.race(answers)
      const stopping = admin.call('POST', `${ORGANIZATION}/stop`, CONFIRMED)
      fire()
      expect((await stopping).status).toBe(200)
      fire()
      const settled = await Promise.all(answers)
      const { valid_from: t } = await tenantRow(loop)
      const issued = settled.filter(({ status }) => status === 200)
      expect(issued.length).toBeGreaterThan(0)
      expect(issued.length).toBeLessThan(settled.length)
      for (const { body } of issued) expect(claimsOf(String(body.access_token)).iat).toBeLessThanOrEqual(t)
      for (const answer of settled) if (answer.status !== 200) expect(answer).toMatchObject(STOPPED)
      await resume(loop)
    }
  })

  it('C2: whatever way a token took, the fence of a stopped tenant lets out only those of streams and of the emergency account', async () => {
    const rescuer = await emergency(loop)
    const { oid: rescuerId } = claimsOf(await rescuer.signIn())
    const { oid: aliceId } = claimsOf(await loop.person('alice').signIn())
    const tenant = { id: loop.tenant } as Tenant
    const outcome = async (iat: number, mint: object) => {
      const attempt = createAttempt(iat, { capable: false, acrs: [] }, '')
      attempt.mints.push({ iat, exp: iat + 60, appId: 'files-api', ...mint })
      return (await passFence(loop.server.store, tenant, attempt)).outcome
    }
    const mints = [{}, { user: String(aliceId) }, { user: String(rescuerId) }, { stream: true }] as const
    const all = async () => {
      // A second that no cutoff so far covers.
      const iat = Math.floor(Date.now() / 1000) + 1
      await eventually(Date.now, (now) => now / 1000 > iat)
      const outcomes: string[] = []
      for (const mint of mints) outcomes.push(await outcome(iat, mint))
      return outcomes
    }
    expect(await all()).toEqual(['passed', 'passed', 'passed', 'passed'])
    await stop(loop)
    expect(await all()).toEqual(['stopped', 'stopped', 'passed', 'passed'])
    await resume(loop)
    // The cutoff stays, and does not concern the streams either.
    const { valid_from: t } = await tenantRow(loop)
    expect(await outcome(t, {})).toBe('covered')
    expect(await outcome(t, { stream: true })).toBe('passed')
    expect(await all()).toEqual(['passed', 'passed', 'passed', 'passed'])
  })
})
