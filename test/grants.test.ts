import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { claimsOf, eventually, type Loop, startLoop, verdictOf } from './loop.ts'

let loop: Loop
beforeAll(async () => {
  loop = await startLoop()
})
afterAll(() => loop.close())

const revokeAll = (upn: string) => loop.graph('POST', `/users/${upn}/revokeSignInSessions`)

describe('a code that is presented again', () => {
  it('ends what came of it, access tokens included; the browser session and other clients live on', async () => {
    const guard = await loop.guard()
    const flow = createFlow(loop)
    const { accessToken, refreshToken, code } = await flow.tokens()
    const later = String((await flow.refresh(refreshToken)).body.access_token)
    expect((await verdictOf(guard, later)).allowed).toBe(true)
    expect((await flow.redeem(code)).body).toMatchObject({ error: 'invalid_grant', suberror: 'bad_token' })
    for (const token of [accessToken, later])
      await eventually(
        async () => (await verdictOf(guard, token)).allowed,
        (allowed) => !allowed,
      )
    expect((await flow.refresh(refreshToken)).status).toBe(400)
    // Nobody has to type a password for it.
    const again = createFlow(loop, { browser: flow.browser, more: { prompt: 'none' } })
    expect((await verdictOf(guard, (await again.tokens()).accessToken)).allowed).toBe(true)
  })

  it('without its verifier, or by another client, ends nothing: anybody may have seen it pass', async () => {
    const guard = await loop.guard()
    const flow = createFlow(loop)
    const { accessToken, refreshToken, code } = await flow.tokens()
    expect((await flow.redeem(code, { code_verifier: 'x'.repeat(43) })).status).toBe(400)
    expect((await flow.redeem(code, { client_id: 'caegis-cli' })).status).toBe(400)
    expect((await flow.refresh(refreshToken)).status).toBe(200)
    expect((await verdictOf(guard, accessToken)).allowed).toBe(true)
  })
})

describe('A3: what a revocation ends', () => {
  it('a refresh token that was rotated after it is as dead as its sign-in', async () => {
    const flow = createFlow(loop)
    const { refreshToken } = await flow.tokens()
    const next = String((await flow.refresh(refreshToken)).body.refresh_token)
    await revokeAll('alice@contoso.test')
    for (const token of [refreshToken, next]) {
      const { status, body } = await flow.refresh(token)
      expect({ status, error: body.error, codes: body.error_codes }).toEqual({ status: 400, error: 'interaction_required', codes: [50173] })
    }
  })

  it('the cookie of a browser session asks for the password again', async () => {
    const flow = createFlow(loop)
    await flow.tokens()
    await revokeAll('alice@contoso.test')
    const silent = createFlow(loop, { browser: flow.browser, more: { prompt: 'none' } })
    expect((await silent.signIn()).searchParams.get('error')).toBe('login_required')
    const fresh = createFlow(loop, { browser: flow.browser })
    expect(claimsOf((await fresh.tokens()).accessToken).aud).toBe('api://files')
  })
})
