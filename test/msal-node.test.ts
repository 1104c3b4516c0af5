import { InteractionRequiredAuthError } from '@azure/msal-node'
import { readClaimsChallenge } from '@caegis/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { claimsOf, eventually, type Loop, startLoop, verdictOf } from './loop.ts'

describe('unmodified @azure/msal-node', () => {
  let loop: Loop
  beforeAll(async () => {
    loop = await startLoop()
  })
  afterAll(() => loop.close())

  it('is served from its cache, is challenged after a revocation, is told to ask the user, and comes back', async () => {
    const guard = await loop.guard()
    const alice = loop.person('alice')
    const token = await alice.signIn()
    expect(await alice.silent()).toBe(token)
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })

    expect((await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')).status).toBe(200)
    const denied = await eventually(
      () => verdictOf(guard, token),
      (verdict) => !verdict.allowed,
    )
    if (denied.allowed) throw new Error('unreachable')
    expect(denied).toMatchObject({ status: 401, code: 'revoked' })
    const challenge = readClaimsChallenge(denied.headers['WWW-Authenticate'])
    expect(challenge?.authorizationUri).toBe(`${loop.authority}/oauth2/v2.0/authorize`)

    const error = await alice.silent(challenge?.claims).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(InteractionRequiredAuthError)
    expect(error).toMatchObject({ errorCode: 'interaction_required', subError: 'basic_action', errorNo: 50173 })
    const { claims } = error as InteractionRequiredAuthError
    expect(JSON.parse(claims)).toEqual({ access_token: { nbf: { essential: true, value: String(challenge?.nbf) } } })

    const fresh = await alice.signIn(claims)
    expect(claimsOf(fresh).iat).toBeGreaterThanOrEqual(challenge?.nbf as number)
    expect(await verdictOf(guard, fresh)).toMatchObject({ allowed: true })
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: false })
  })

  it('I5: with cp1 and a live guard it gets a long-lived token, without a guard an ordinary one', async () => {
    const life = (token: string) => claimsOf(token).exp - claimsOf(token).iat
    const alice = loop.person('alice')
    const guard = await loop.guard()
    const long = await alice.signIn()
    expect(claimsOf(long)).toMatchObject({ xms_cc: ['cp1'], xms_ssm: '1' })
    expect(life(long)).toBeGreaterThanOrEqual(20 * 3600)
    expect(life(long)).toBeLessThanOrEqual(28 * 3600)

    await guard.close()
    for (const other of await loop.server.store.db.selectFrom('streams').select('id').execute()) {
      await loop.server.store.db.deleteFrom('streams').where('id', '=', other.id).execute()
    }
    const ordinary = await alice.silent('{"access_token":{"nbf":{"essential":true,"value":"1"}}}')
    expect(claimsOf(ordinary)).not.toHaveProperty('xms_ssm')
    expect(life(ordinary)).toBeGreaterThanOrEqual(3600)
    expect(life(ordinary)).toBeLessThanOrEqual(5400)
  })

  it('without cp1 it gets a 60 to 90 minute token and a plain 401 without claims', async () => {
    const guard = await loop.guard()
    const bob = loop.person('bob', { capabilities: [] })
    const token = await bob.signIn()
    const { iat, exp, ...claims } = claimsOf(token)
    expect(exp - iat).toBeGreaterThanOrEqual(3600)
    expect(exp - iat).toBeLessThanOrEqual(5400)
    expect(claims).not.toHaveProperty('xms_cc')
    expect(claims).not.toHaveProperty('xms_ssm')

    await loop.graph('PATCH', '/users/bob@contoso.test', { accountEnabled: false })
    const denied = await eventually(
      () => verdictOf(guard, token),
      (verdict) => !verdict.allowed,
    )
    if (denied.allowed) throw new Error('unreachable')
    expect(denied.status).toBe(401)
    expect(denied.headers['WWW-Authenticate']).toMatch(/^Bearer .*error="invalid_token"/)
    expect(denied.headers['WWW-Authenticate']).not.toContain('claims')
    expect(readClaimsChallenge(denied.headers['WWW-Authenticate'])).toBeUndefined()
  })
})
