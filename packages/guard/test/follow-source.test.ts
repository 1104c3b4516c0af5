import type { Cutoff, Head, SecurityEvent } from '@caegis/protocol'
import type { FollowOptions } from '@caegis/ssf/receiver'
import { describe, expect, it, vi } from 'vitest'
import { createDiscovery } from '../src/discovery.ts'
import { createClientToken, createFollowSource } from '../src/follow-source.ts'
import { silent } from '../src/log.ts'
import type { Sink } from '../src/source.ts'
import { createClocks, cutoff, head, ISSUER, START } from './tokens.ts'

const followed = vi.hoisted(() => ({ options: undefined as FollowOptions | undefined, closed: 0 }))
vi.mock('@caegis/ssf/receiver', () => ({
  follow(options: FollowOptions) {
    followed.options = options
    return { status: () => ({}), close: async () => void followed.closed++ }
  },
}))

const SECRET = 'a:secret/with+signs'

function createIssuer(metadata: object = {}) {
  const calls: { form: URLSearchParams; headers: Record<string, string> }[] = []
  const state = { answer: () => Response.json({ access_token: `token-${calls.length}`, expires_in: 3600 }) }
  const fetch = (async (url: string, init: { body?: string; headers: Record<string, string> }) => {
    if (url.includes('.well-known'))
      return Response.json({ issuer: ISSUER, jwks_uri: `${ISSUER}/keys`, token_endpoint: `${ISSUER}/token`, ...metadata })
    expect(url).toBe(`${ISSUER}/token`)
    calls.push({ form: new URLSearchParams(init.body), headers: init.headers })
    return state.answer()
  }) as unknown as typeof globalThis.fetch
  const clocks = createClocks()
  const discovery = createDiscovery({ issuer: ISSUER, fetch })
  const options = {
    issuer: ISSUER,
    clientId: 'files-api',
    clientSecret: SECRET,
    discovery,
    fetch,
    now: clocks.now,
    log: silent,
    horizon: 100_000,
    waitSeconds: 10,
  }
  return { calls, state, clocks, options, token: createClientToken(options) }
}

describe('the API’s own token', () => {
  it('asks by client credentials for both stream scopes, once for all who ask, and again shortly before it expires', async () => {
    const { calls, clocks, token } = createIssuer({ token_endpoint_auth_methods_supported: ['client_secret_post'] })
    expect(await Promise.all([token({ fresh: false }), token({ fresh: false })])).toEqual(['token-1', 'token-1'])
    expect(Object.fromEntries(calls[0]?.form ?? [])).toEqual({
      ...{ grant_type: 'client_credentials', scope: 'ssf.read ssf.manage' },
      ...{ client_id: 'files-api', client_secret: SECRET },
    })
    clocks.pass(3539)
    expect(await token({ fresh: false })).toBe('token-1')
    clocks.pass(2)
    expect(await token({ fresh: false })).toBe('token-2')
    expect(await token({ fresh: true })).toBe('token-3')
    expect(await token({ fresh: false })).toBe('token-3')
  })

  it('sends the secret in the header where the issuer takes it only there', async () => {
    const { calls, token } = createIssuer()
    await token({ fresh: false })
    const [{ form, headers } = { form: new URLSearchParams(), headers: {} as Record<string, string> }] = calls
    expect(form.has('client_secret')).toBe(false)
    const [id = '', secret = ''] = Buffer.from((headers.authorization ?? '').slice('Basic '.length), 'base64')
      .toString()
      .split(':')
    expect([decodeURIComponent(id), decodeURIComponent(secret)]).toEqual(['files-api', SECRET])
  })

  it('I8: fails with a code, holds no secret in any text, and asks anew next time', async () => {
    const { state, token } = createIssuer()
    const good = state.answer
    for (const answer of [() => new Response('no', { status: 401 }), () => Response.json({}), () => new Response('{')]) {
      state.answer = answer
      const error = await token({ fresh: false }).catch((one: unknown) => one)
      expect(error).toMatchObject({ code: 'client_token_failed' })
      expect(JSON.stringify([error, String(error), String((error as Error).cause)])).not.toContain(SECRET)
    }
    state.answer = good
    expect(await token({ fresh: false })).toMatch(/^token-/)
  })
})

describe('the source over the issuer’s stream', () => {
  const start = () => {
    const { options } = createIssuer()
    const log: unknown[] = []
    const sink: Sink = {
      merge: (cutoffs) => void log.push(['merge', ...cutoffs]),
      synced: (one) => void log.push(['synced', one]),
      outOfSync: (reason) => void log.push(['outOfSync', reason]),
      keysChanged: () => void log.push(['keysChanged']),
      count: (...outcome) => void log.push(['count', ...outcome]),
    }
    const source = createFollowSource(options)
    source.start(sink)
    return { source, log, follow: followed.options as FollowOptions }
  }
  const event = (type: string, more: Partial<SecurityEvent> = {}): SecurityEvent => ({
    ...{ iss: ISSUER, jti: 'e', iat: START, aud: ['api://files'], type, payload: { event_timestamp: START - 1 } },
    ...{ subject: { format: 'complex', user: { format: 'iss_sub', iss: ISSUER, sub: 'alice' } } },
    ...more,
  })

  it('subscribes as a guard, and hands everything through', async () => {
    const { follow, log, source } = start()
    expect(follow).toMatchObject({ issuer: ISSUER, waitSeconds: 10, insecure: false, stream: { subjects: 'complex', alg: 'ES256', guard: true } })
    const cutoffs: Cutoff[] = [cutoff('user', 'bob', START)]
    const one: Head = head(3, START)
    follow.on.snapshot(cutoffs)
    follow.on.synced(one)
    follow.on.outOfSync('a gap')
    expect(log).toEqual([
      ['merge', ...cutoffs],
      ['synced', one],
      ['outOfSync', 'a gap'],
    ])
    await source.close()
    expect(followed.closed).toBe(1)
  })

  it('maps each event to one cutoff, and counts what came of it', () => {
    const { follow, log } = start()
    const revoked = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'
    follow.on.event(event(revoked))
    follow.on.event(event('https://schemas.openid.net/secevent/risc/event-type/account-enabled'))
    follow.on.event(event(revoked, { subject: { format: 'email', email: 'a@b.c' } }))
    follow.on.event(event(revoked, { subject: { format: 'iss_sub', iss: 'https://other.example', sub: 'x' } }))
    follow.on.event(event('urn:caegis:event:keys-changed'))
    follow.on.event(event('urn:caegis:event:location-rules-changed'))
    follow.on.event(event('urn:caegis:event:of-tomorrow'))
    expect(log).toEqual([
      ['merge', { issuer: ISSUER, kind: 'user', id: 'alice', t: START - 1, depth: 'sign-in', until: START - 1 + 100_000 }],
      ['count', 'applied'],
      ['count', 'none'],
      ['count', 'unmappable', expect.stringContaining('email')],
      ['count', 'refused', 'names another issuer'],
      ['keysChanged'],
      ['count', 'applied'],
      ['count', 'none'],
      ['count', 'unmappable', 'unknown event type'],
    ])
  })
})
