import { describe, expect, it, vi } from 'vitest'
import { msalToken, withClaimsChallenge } from '../src/index.ts'
import { guarded, startApi } from './api.ts'

const request = { scopes: ['api://files/Files.Read'], account: { homeAccountId: 'a.b' } }

class InteractionRequiredAuthError extends Error {
  override name = 'InteractionRequiredAuthError'
  claims: string

  constructor(claims: string) {
    super('interaction_required')
    this.claims = claims
  }
}

describe('msalToken', () => {
  it('asks silently, without claims and with', async () => {
    const client = { acquireTokenSilent: vi.fn(async (_: object) => ({ accessToken: 'a' })) }
    const token = msalToken(client, request)
    expect([await token({}), await token({ claims: '{"x":1}' })]).toEqual(['a', 'a'])
    expect(client.acquireTokenSilent.mock.calls).toEqual([[request], [{ ...request, claims: '{"x":1}' }]])
  })

  it.each([
    ['the issuer`s claims', '{"issuer":1}', '{"issuer":1}'],
    ['the API`s, where the issuer names none', '', '{"api":1}'],
  ])('signs in again with %s', async (_, own, want) => {
    const client = { acquireTokenSilent: async () => Promise.reject(new InteractionRequiredAuthError(own)) }
    const interactive = vi.fn(async (_: object) => ({ accessToken: 'b' }))
    expect(await msalToken(client, request, { interactive })({ claims: '{"api":1}' })).toBe('b')
    expect(interactive).toHaveBeenCalledExactlyOnceWith({ ...request, claims: want })
  })

  it('lets the error out when nobody may be asked, after a redirect, and when it is another one', async () => {
    const required = new InteractionRequiredAuthError('{}')
    const other = Object.assign(new Error('network'), { name: 'BrowserAuthError' })
    const interactive = vi.fn(async () => {})
    await expect(msalToken({ acquireTokenSilent: () => Promise.reject(required) }, request)({})).rejects.toBe(required)
    await expect(msalToken({ acquireTokenSilent: () => Promise.reject(required) }, request, { interactive })({})).rejects.toBe(required)
    expect(interactive).toHaveBeenCalledTimes(1)
    await expect(msalToken({ acquireTokenSilent: () => Promise.reject(other) }, request, { interactive })({})).rejects.toBe(other)
    expect(interactive).toHaveBeenCalledTimes(1)
  })

  it('an answer without an access token is an error, not an empty Bearer', async () => {
    await expect(msalToken({ acquireTokenSilent: async () => ({ accessToken: '' }) }, request)({})).rejects.toMatchObject({ code: 'no_access_token' })
  })

  it('feeds the fetch', async () => {
    await using server = await startApi(guarded)
    const client = { acquireTokenSilent: async (asked: { claims?: string }) => ({ accessToken: asked.claims ? 'good' : 'dead' }) }
    const api = withClaimsChallenge(fetch, { origins: [server.origin], token: msalToken(client, request) })
    expect((await api(server.origin)).status).toBe(200)
  })
})
