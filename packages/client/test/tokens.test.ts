import { readFileSync } from 'node:fs'
import { describe, expect, it, vi } from 'vitest'
import { CaegisError, CLIENT_ERRORS, capableClaims, type Grant, grantToken, msalDaemonToken, type OidcUser, oidcToken } from '../src/index.ts'

const CP1 = '{"access_token":{"xms_cc":{"values":["cp1"]}}}'
const NBF = '{"access_token":{"nbf":{"essential":true,"value":"5"}}}'
const BOTH = '{"access_token":{"nbf":{"essential":true,"value":"5"},"xms_cc":{"values":["cp1"]}}}'
/** What openid-client and oidc-client-ts throw when the issuer says no. */
const answered = (error: string, cause?: object) => Object.assign(new Error(error, { cause }), { error })
const refused = { name: 'ClaimsChallengeError', code: 'challenge_refused' }

describe('capableClaims', () => {
  it.each([
    [undefined, CP1],
    [NBF, BOTH],
    ['{"id_token":{"x":null},"access_token":{"xms_cc":{"values":["old"]}}}', '{"id_token":{"x":null},"access_token":{"xms_cc":{"values":["cp1"]}}}'],
  ])('%s', (given, want) => expect(capableClaims(given)).toBe(want))
})

describe('grantToken', () => {
  const tokens = { access_token: 'one', refresh_token: 'r1', expires_in: 3600 }

  it('keeps what it has until a minute before its end, and spends each refresh token once', async () => {
    let clock = 0
    const kept: Grant[] = []
    const grant = vi.fn(async (_: object, refresh: string): Promise<Grant> => ({ access_token: `by ${refresh}`, refresh_token: `${refresh}+` }))
    const token = grantToken({ tokens, grant, keep: (one) => kept.push(one), now: () => clock })
    clock = 3_539_999
    expect(await token({})).toBe('one')
    clock = 3_540_000
    expect(await Promise.all([token({}), token({}), token({})])).toEqual(['by r1', 'by r1', 'by r1'])
    // Without expires_in it holds until it is challenged.
    clock = 1e12
    expect(await token({})).toBe('by r1')
    expect(await token({ claims: NBF })).toBe('by r1+')
    expect(grant.mock.calls).toEqual([
      [{ claims: CP1 }, 'r1'],
      [{ claims: BOTH }, 'r1+'],
    ])
    expect(kept.map(({ refresh_token }) => refresh_token)).toEqual(['r1+', 'r1++'])
  })

  it('a token that lives for a minute or less is kept for three quarters of its life', async () => {
    let clock = 0
    const grant = vi.fn(async (): Promise<Grant> => ({ access_token: `t${grant.mock.calls.length}`, expires_in: 60 }))
    const token = grantToken({ grant, now: () => clock })
    const at = (milliseconds: number) => {
      clock = milliseconds
      return token({})
    }
    expect([await at(0), await at(1), await at(44_999), await at(45_000), await at(89_999)]).toEqual(['t1', 't1', 't1', 't2', 't2'])
  })

  it('asks two different questions one after the other, and goes on after a failure', async () => {
    let running = 0
    let made = 0
    const grant = async (_: object, refresh: string): Promise<Grant> => {
      expect(++running).toBe(1)
      await new Promise((resolve) => setTimeout(resolve))
      running--
      if (++made === 1) throw new TypeError('fetch failed')
      return { access_token: `t${made} by ${refresh}`, refresh_token: `r${made}` }
    }
    const token = grantToken({ tokens, grant })
    const [first, second, third] = await Promise.allSettled([token({ claims: NBF }), token({ claims: '{}' }), token({ claims: '{"a":1}' })])
    expect(first).toMatchObject({ status: 'rejected', reason: expect.any(TypeError) })
    expect([second, third]).toEqual([
      { status: 'fulfilled', value: 't2 by r1' },
      { status: 'fulfilled', value: 't3 by r2' },
    ])
  })

  it('a refresh token that is not replaced goes on', async () => {
    const grant = vi.fn(async (_: object, __: string): Promise<Grant> => ({ access_token: 'two' }))
    const token = grantToken({ tokens, grant })
    await token({ claims: NBF })
    await token({ claims: '{}' })
    expect(grant.mock.calls.map(([, refresh]) => refresh)).toEqual(['r1', 'r1'])
  })

  it.each([
    ['the issuer`s claims', { claims: '{"issuer":1}' }, '{"issuer":1}'],
    ['the API`s, where the issuer names none', {}, NBF],
  ])('a refusal of a challenge is typed, with %s', async (_, cause, claims) => {
    const error = answered('interaction_required', cause)
    await expect(grantToken({ grant: () => Promise.reject(error) })({ claims: NBF })).rejects.toMatchObject({ ...refused, claims, cause: error })
  })

  it.each([
    ['a refusal where nothing was challenged', answered('invalid_client'), undefined],
    ['an issuer that is out of order', answered('temporarily_unavailable'), NBF],
    ['a network that is down', new TypeError('fetch failed'), NBF],
  ])('%s comes out untouched', async (_, error, claims) => {
    const token = grantToken({ grant: () => Promise.reject(error) })
    await expect(token(claims === undefined ? {} : { claims })).rejects.toBe(error)
  })
})

describe('msalDaemonToken', () => {
  const request = { scopes: ['api://files/.default'] }
  const rejecting = (error: Error) => msalDaemonToken({ acquireTokenByClientCredential: () => Promise.reject(error) }, request)

  it('hands claims on, and takes no empty answer', async () => {
    const asked = vi.fn(async (_: object) => ({ accessToken: 't' }))
    const token = msalDaemonToken({ acquireTokenByClientCredential: asked }, request)
    expect([await token({}), await token({ claims: NBF })]).toEqual(['t', 't'])
    expect(asked.mock.calls).toEqual([[request], [{ ...request, claims: NBF }]])
    const failure = await msalDaemonToken({ acquireTokenByClientCredential: async () => null }, request)({}).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(CaegisError)
    expect(failure).toMatchObject({ code: 'no_access_token' })
  })

  it.each([
    ['ServerError', 'invalid_client', NBF, true],
    ['InteractionRequiredAuthError', 'interaction_required', NBF, true],
    ['ServerError', '', NBF, false],
    ['ClientAuthError', 'network_error', NBF, false],
    ['ServerError', 'invalid_client', undefined, false],
  ])('%s %s, claims %s: typed %s', async (name, errorCode, claims, typed) => {
    const error = Object.assign(new Error(errorCode), { name, errorCode })
    const thrown = await rejecting(error)(claims === undefined ? {} : { claims }).catch((one: unknown) => one)
    if (typed) expect(thrown).toMatchObject({ ...refused, claims: NBF, cause: error })
    else expect(thrown).toBe(error)
  })
})

describe('oidcToken', () => {
  function manager(user: OidcUser | null, silent: () => Promise<OidcUser | null>) {
    return { getUser: async () => user, signinSilent: vi.fn((_: object) => silent()) }
  }
  const fresh = async () => ({ access_token: 'fresh' })

  it('takes the token that is there, renews one that has ended, and goes past it with claims, saying cp1', async () => {
    const living = manager({ access_token: 'living', expired: false }, fresh)
    expect(await oidcToken(living)({})).toBe('living')
    expect(living.signinSilent).not.toHaveBeenCalled()
    expect(await oidcToken(living)({ claims: NBF })).toBe('fresh')
    expect(living.signinSilent.mock.calls).toEqual([[{ extraQueryParams: { claims: BOTH }, extraTokenParams: { claims: BOTH } }]])
    for (const user of [{ access_token: 'ended', expired: true }, null]) {
      const ended = manager(user, fresh)
      const token = oidcToken(ended)
      expect(await Promise.all([token({}), token({})])).toEqual(['fresh', 'fresh'])
      expect(ended.signinSilent.mock.calls).toEqual([[{ extraQueryParams: { claims: CP1 }, extraTokenParams: { claims: CP1 } }]])
    }
  })

  it('lets the person sign in where the issuer says so, and only there', async () => {
    const interactive = vi.fn(async () => ({ access_token: 'by popup' }))
    const wants = manager(null, () => Promise.reject(answered('login_required')))
    expect(await oidcToken(wants, { interactive })({ claims: NBF })).toBe('by popup')
    expect(interactive).toHaveBeenCalledExactlyOnceWith(BOTH)
    const error = new Error('no window')
    await expect(
      oidcToken(
        manager(null, () => Promise.reject(error)),
        { interactive },
      )({ claims: NBF }),
    ).rejects.toBe(error)
    expect(interactive).toHaveBeenCalledTimes(1)
    // What the sign-in itself throws is not touched.
    const declined = answered('access_denied')
    await expect(oidcToken(wants, { interactive: (): Promise<void> => Promise.reject(declined) })({ claims: NBF })).rejects.toBe(declined)
  })

  it('without anybody to ask, and after a redirect, the challenge ends typed', async () => {
    const error = answered('invalid_grant')
    const dead = manager(null, () => Promise.reject(error))
    await expect(oidcToken(dead)({ claims: NBF })).rejects.toMatchObject({ ...refused, claims: NBF, cause: error })
    await expect(oidcToken(dead, { interactive: async () => {} })({ claims: NBF })).rejects.toMatchObject(refused)
    await expect(oidcToken(dead)({})).rejects.toBe(error)
    await expect(oidcToken(manager(null, async () => null))({})).rejects.toMatchObject({ code: 'no_access_token' })
  })
})

it('every code that this package throws is in its README', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  for (const code of Object.keys(CLIENT_ERRORS)) expect(readme).toContain(`\n| \`${code}\` | `)
})
