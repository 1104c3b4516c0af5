import { once } from 'node:events'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { type Cutoff, EVENT, type Head, packCutoffs, type SecurityEvent, event as written } from '@caegis/protocol'
import type { Follower, FollowOptions } from '@caegis/ssf/receiver'
import * as receiver from '@caegis/ssf/receiver'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createLoop, ISSUER as LOOP_ISSUER, revoke, until } from '../../ssf/test/loop.ts'
import { createDiscovery } from '../src/discovery.ts'
import { createFollowSource } from '../src/follow-source.ts'
import { createGuard } from '../src/guard.ts'
import { silent } from '../src/log.ts'
import type { Sink } from '../src/source.ts'
import { makeCertificate } from './certificates.ts'
import { createClocks, cutoff, head, ISSUER, START } from './tokens.ts'

const followed = { options: undefined as FollowOptions | undefined, closed: 0, real: false }
const { follow } = receiver
// For this file alone: vitest takes spies back after each.
vi.spyOn(receiver, 'follow').mockImplementation((options) => {
  if (followed.real) return follow(options)
  followed.options = options
  return { status: () => ({}), close: async () => void followed.closed++ } as unknown as Follower
})

const SECRET = 'a:secret/with+signs'

function createIssuer(metadata: object = {}) {
  const calls: { form: URLSearchParams; headers: Record<string, string> }[] = []
  const state = { answer: () => Response.json({ access_token: `token-${calls.length}`, expires_in: 3600 }) }
  const fetch = (async (url: string, init: { body?: URLSearchParams; headers: Record<string, string> }) => {
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
    evaluates: ['ip' as const],
  }
  createFollowSource(options).start({} as Sink)
  const { token } = followed.options as FollowOptions
  return { calls, state, clocks, options, token }
}

describe('the API’s own token', () => {
  it('asks by client credentials for both stream scopes, once for all who ask, and again shortly before it expires', async () => {
    const { calls, clocks, token } = createIssuer({ token_endpoint_auth_methods_supported: ['client_secret_post'] })
    expect(await Promise.all([token({ fresh: false }), token({ fresh: false })])).toEqual(['token-1', 'token-1'])
    expect(Object.fromEntries(calls[0]?.form ?? [])).toEqual({
      ...{ grant_type: 'client_credentials', scope: 'ssf.read ssf.manage' },
      ...{ client_id: 'files-api', client_secret: SECRET },
    })
    clocks.pass(3569)
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
    for (const [code, answer] of [
      ['token_refused', () => new Response('no', { status: 401 })],
      ['unavailable', () => new Response('no', { status: 503 })],
      ['answer_malformed', () => Response.json({})],
      ['answer_malformed', () => new Response('{')],
    ] as const) {
      state.answer = answer
      const error = await token({ fresh: false }).catch((one: unknown) => one)
      expect(error).toMatchObject({ code })
      expect(JSON.stringify([error, String(error), String((error as Error).cause)])).not.toContain(SECRET)
    }
    state.answer = good
    expect(await token({ fresh: false })).toMatch(/^token-/)
  })
})

describe('a guard that cannot begin', () => {
  const guardOf = (fetch: typeof globalThis.fetch, issuer: string) => {
    followed.real = true
    const said: unknown[] = []
    const log = { ...silent, warn: (...one: unknown[]) => void said.push(one) }
    return { said, guard: createGuard({ issuer, audience: 'api://files', clientId: 'files-api', clientSecret: SECRET, fetch, log }) }
  }
  afterEach(() => {
    followed.real = false
  })

  it('says that the client secret is wrong, in the log and in its status', async () => {
    const loop = createLoop()
    const fetch = (async (url: string, init: RequestInit) => {
      if (url.endsWith('/token')) return new Response('no', { status: 401 })
      if (url.includes('openid-configuration'))
        return Response.json({ issuer: LOOP_ISSUER, jwks_uri: `${LOOP_ISSUER}/keys`, token_endpoint: `${LOOP_ISSUER}/token` })
      return loop.fetch(url, init)
    }) as typeof globalThis.fetch
    const { guard, said } = guardOf(fetch, LOOP_ISSUER)
    await until(() => guard.status().reason?.includes('token_refused') === true)
    expect(guard.status()).toMatchObject({
      reason: 'not hydrated yet (token_refused: token endpoint: status 401)',
      source: { error: 'token_refused' },
    })
    expect(JSON.stringify(said)).toContain('token_refused')
    expect(JSON.stringify(said)).toContain('check its id and secret')
    expect(JSON.stringify([said, guard.status()])).not.toContain(SECRET)
    await guard.close()
  })

  it('says that the metadata are of another issuer, as where a slash is missing', async () => {
    const fetch = (async () => Response.json({ issuer: `${ISSUER}/`, jwks_uri: `${ISSUER}/keys` })) as unknown as typeof globalThis.fetch
    const { guard, said } = guardOf(fetch, ISSUER)
    await until(() => guard.status().keyFetches?.failure !== undefined)
    expect(guard.status().keyFetches).toMatchObject({ failed: 1, failure: 'discovery_failed: names another issuer' })
    expect(JSON.stringify(said)).toContain('names another issuer')
    await guard.close()
  })

  it('says that the certificate of the issuer is not trusted, and what would mend it', async () => {
    const { cert, key } = makeCertificate('localhost')
    const server = createServer({ cert, key }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { guard, said } = guardOf(globalThis.fetch, `https://localhost:${(server.address() as AddressInfo).port}`)
    const words = 'network DEPTH_ZERO_SELF_SIGNED_CERT: its certificate is not trusted here; NODE_EXTRA_CA_CERTS'
    await until(() => guard.status().keyFetches?.failure !== undefined && guard.status().reason?.includes(words) === true)
    expect(guard.status().keyFetches?.failure).toContain(`discovery_failed: unreadable: ${words}`)
    expect(JSON.stringify(said)).toContain(words)
    await guard.close()
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  })

  it('leaves no request behind when it is closed, however often and by whomever', async () => {
    const open = new Set<AbortSignal>()
    const fetch = ((_: string, { signal }: { signal: AbortSignal }) =>
      new Promise((_resolve, reject) => {
        open.add(signal)
        signal.addEventListener('abort', () => {
          open.delete(signal)
          reject(signal.reason)
        })
      })) as unknown as typeof globalThis.fetch
    const { guard, said } = guardOf(fetch, ISSUER)
    await until(() => open.size > 0)
    const done = guard.close()
    await Promise.all([guard.close(), done])
    expect([open.size, said]).toEqual([0, []])
    await expect(guard.ready()).rejects.toMatchObject({ code: 'guard_closed' })
  })
})

describe('the source over the issuer’s stream', () => {
  const start = () => {
    const { options } = createIssuer()
    const log: unknown[] = []
    const sink: Sink = {
      merge: (cutoffs) => void log.push(['merge', ...cutoffs]),
      synced: (one) => void log.push(['synced', one]),
      heard: () => void log.push(['heard']),
      outOfSync: (reason) => void log.push(['outOfSync', reason]),
      keysChanged: () => void log.push(['keysChanged']),
      count: (...outcome) => void log.push(['count', ...outcome]),
      rules: (parts) => void log.push(['rules', ...parts]),
      rulesVersion: 7,
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
    expect(follow).toMatchObject({
      issuer: ISSUER,
      waitSeconds: 10,
      insecure: false,
      stream: { subjects: 'complex', alg: 'ES256', guard: true, evaluates: ['ip'] },
    })
    const cutoffs: Cutoff[] = [cutoff('user', 'bob', START)]
    const one: Head = head(3, START)
    follow.on.snapshot(cutoffs)
    follow.on.synced(one)
    follow.on.outOfSync('a gap')
    expect(log).toEqual([['merge', ...cutoffs], ['synced', one], ['keysChanged'], ['outOfSync', 'a gap']])
    await source.close()
    expect(followed.closed).toBe(1)
  })

  it('E2: after each snapshot the keys are fetched too, because it may stand in the place of the event that says so', () => {
    const { follow, log } = start()
    const rounds = () => log.filter((entry) => (entry as unknown[])[0] === 'keysChanged').length
    follow.on.synced(head(3, START))
    follow.on.synced(head(4, START))
    expect(rounds()).toBe(1)
    follow.on.outOfSync('a SET cannot be verified')
    expect(rounds()).toBe(1)
    follow.on.synced(head(5, START))
    follow.on.synced(head(6, START))
    expect(rounds()).toBe(2)
  })

  it('A7: what no token names, or a transmitter may not name, is counted with its reason and never as applied', () => {
    const { follow, log } = start()
    const email = { format: 'email', email: 'a@b.test' } as const
    const opaque = { format: 'opaque', id: 'x' } as const
    const strange = { format: 'iss_sub', iss: 'https://other.example', sub: 'alice' } as const
    const unmappable: SecurityEvent['subject'][] = [
      email,
      { format: 'phone_number', phone_number: '+12065550100' },
      { format: 'account', uri: 'acct:a@b.test' },
      { format: 'complex', group: opaque },
      { format: 'complex', org_unit: opaque },
      { format: 'complex', tenant: opaque, group: opaque },
      { format: 'complex', user: email, device: opaque },
    ]
    for (const subject of unmappable) follow.on.event(event(EVENT.accountDisabled, { subject }))
    follow.on.event(event(EVENT.accountDisabled, { subject: strange }))
    expect(log).toEqual([...unmappable.map(() => ['count', 'unmappable', expect.any(String)]), ['count', 'refused', expect.any(String)]])
  })

  it('many cutoffs of one event are merged in one go, and counted as one', () => {
    const { follow, log } = start()
    const cutoffs = [cutoff('session', 's1', START), cutoff('grant', 'alice\nspa', START, { depth: 'sign-in' })]
    follow.on.event(event(EVENT.cutoffs, { payload: { cutoffs: packCutoffs(cutoffs)[0] } }))
    expect(log).toEqual([
      ['merge', ...cutoffs.map((one) => ({ ...one, until: START + 100_000 }))],
      ['count', 'applied'],
    ])
  })

  it('a list of cutoffs that cannot be read is thrown back to the follower, after it was counted: nothing of it is merged', () => {
    const { follow, log } = start()
    const rows: unknown[] = packCutoffs([cutoff('session', 's1', START)])[0] ?? []
    expect(() => follow.on.event(event(EVENT.cutoffs, { payload: { cutoffs: [...rows, ['session', '', START, 'access', START]] } }))).toThrow()
    expect(log).toEqual([['count', 'unmappable', 'malformed cutoffs']])
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

describe('over a real stream', () => {
  it('a list of cutoffs arrives whole; one that cannot be read means out of sync until the snapshot has replaced it', async () => {
    const loop = createLoop()
    const token = () => Response.json({ access_token: 'good', expires_in: 3600 })
    const fetch: typeof globalThis.fetch = async (url, init) => (String(url).endsWith('/token') ? token() : loop.fetch(url, init))
    const log: string[] = []
    const merged = new Map<string, Cutoff>()
    const source = createFollowSource({
      ...{ issuer: LOOP_ISSUER, clientId: 'files-api', clientSecret: SECRET, horizon: 100_800, waitSeconds: 0.2, evaluates: ['ip'] },
      ...{ fetch, now: Date.now, log: silent },
      discovery: {
        known: undefined,
        read: async () => ({
          ...{ jwksUri: '', authorizationEndpoint: undefined },
          ...{ tokenEndpoint: 'https://host.test/token', tokenAuthMethods: ['client_secret_post'] },
        }),
      },
    })
    followed.real = true
    try {
      source.start({
        merge(cutoffs) {
          for (const one of cutoffs) merged.set(one.id, one)
        },
        heard: () => {},
        synced: ({ seq }) => void (log.at(-1) !== `synced ${seq}` && log.push(`synced ${seq}`)),
        outOfSync: (reason) => void log.push(reason),
        keysChanged() {},
        count() {},
        rules() {},
        rulesVersion: 0,
      })
      await until(() => log.at(-1) === 'synced 0')
      const t = Math.floor(Date.now() / 1000)
      const [cutoffs = []] = packCutoffs(
        ['s1', 's2'].map((id): Cutoff => ({ issuer: LOOP_ISSUER, kind: 'session', id, t, depth: 'access', until: t + 60 })),
      )
      const subject = { complex: { format: 'complex', tenant: { format: 'opaque', id: 'acme' } } } as const
      loop.store.commit({ ...written(EVENT.cutoffs, { cutoffs }), subject })
      await until(() => log.at(-1) === 'synced 1')
      expect([...merged]).toEqual(cutoffs.map(([kind, id, , depth]) => [id, { issuer: LOOP_ISSUER, kind, id, t, depth, until: t + 60 }]))

      loop.store.commit({ type: EVENT.cutoffs, subject, payload: { cutoffs: [...cutoffs, 'x'] } }, revoke('alice', { t }))
      await until(() => log.at(-1) === 'synced 3')
      expect(log).toEqual(['synced 0', 'synced 1', `cannot apply ${EVENT.cutoffs}`, 'synced 3'])
      expect(merged.has('alice')).toBe(true)
      // It is not asked for again.
      loop.store.commit(revoke('bob', { t }))
      await until(() => log.at(-1) === 'synced 4')
    } finally {
      followed.real = false
      await source.close()
    }
  })
})
