import { EVENT } from '@caegis/protocol'
import { describe, expect, it } from 'vitest'
import { createForeign, THEM } from './foreign.ts'
import { makeKey, until } from './loop.ts'
import { endReceivers, forSubject, started } from './receivers.ts'

endReceivers()

describe('polled events', () => {
  it('are acted on once, however often they come', async () => {
    const foreign = createForeign()
    const { receiver, events } = started(foreign)
    await receiver.start()
    await foreign.send({ jti: 'one' })
    await until(() => foreign.acked.includes('one'))
    await foreign.send({ jti: 'one', sub_id: { format: 'email', email: 'other@them.test' } })
    await until(() => receiver.status().counts.duplicates > 0 && foreign.waiting.size === 0)
    expect(events).toHaveLength(1)
    expect(events[0]?.subject).toMatchObject({ sub: 'u-204' })
  })

  it('a restart with a persisted store does not act twice', async () => {
    const foreign = createForeign()
    const kept = new Set<string>()
    const seen = { has: async (iss: string, jti: string) => kept.has(iss + jti), add: async (iss: string, jti: string) => void kept.add(iss + jti) }
    const first = started(foreign, { seen })
    await first.receiver.start()
    await foreign.send({ jti: 'one' })
    await until(() => foreign.acked.length === 1)
    await first.receiver.close()
    const second = started(foreign, { seen })
    await second.receiver.start()
    await foreign.send({ jti: 'one' })
    await until(() => foreign.acked.length === 2)
    expect(first.events.length + second.events.length).toBe(1)
  })

  it('whose handler throws are not acknowledged, and come again; those behind them about the same subject wait, others do not', async () => {
    const foreign = createForeign()
    const done: string[] = []
    let failing = true
    const { receiver } = started(foreign, {
      on: {
        'session-revoked': async ({ jti }) => {
          if (jti === 'bad' && failing) throw new Error('database is down')
          done.push(jti)
        },
      },
    })
    await receiver.start()
    const sets = await Promise.all(
      [
        ['bad', 'alice'],
        ['after', 'alice'],
        ['other', 'bob'],
      ].map(async ([jti, sub]) => [jti as string, await foreign.sign(foreign.claims({ jti, ...forSubject(sub as string) }))] as const),
    )
    for (const [jti, jwt] of sets) foreign.waiting.set(jti, jwt)
    await until(() => done.length === 1 && receiver.status().counts.failed > 2)
    expect(done).toEqual(['other'])
    expect(foreign.acked).toEqual(['other'])
    failing = false
    await until(() => foreign.waiting.size === 0)
    expect(done).toEqual(['other', 'bad', 'after'])
    expect(foreign.errors).toEqual({})
  })

  it('a handler that hangs is a handler that fails', async () => {
    const foreign = createForeign()
    let first = true
    const done: string[] = []
    const { receiver } = started(foreign, {
      timing: { handler: 5 },
      on: {
        'session-revoked': ({ jti }) => {
          if (!first) return void done.push(jti)
          first = false
          return new Promise(() => {})
        },
      },
    })
    await receiver.start()
    await foreign.send({ jti: 'one' })
    await until(() => done.length === 1)
    expect(receiver.status().counts.failed).toBe(1)
  })

  it('what was handled is acknowledged before leaving', async () => {
    const foreign = createForeign()
    const { receiver, events } = started(foreign)
    await receiver.start()
    // From here on nothing gets through but an acknowledgement that asks for nothing.
    foreign.intercept = ({ path, body }) =>
      path.startsWith('/poll') && events.length > 0 && body?.maxEvents !== 0 ? new Response(null, { status: 503 }) : undefined
    await foreign.send({ jti: 'one' })
    await until(() => events.length === 1)
    await receiver.close()
    expect(foreign.acked).toContain('one')
  })

  it('go to the handler of their name, else to *; without either they are accepted and counted', async () => {
    const foreign = createForeign()
    const told: string[] = []
    const { receiver } = started(foreign, {
      on: {
        'session-revoked': () => void told.push('named'),
        'urn:them:event:odd': () => void told.push('uri'),
        '*': ({ type }) => void told.push(`* ${type}`),
      },
    })
    await receiver.start()
    expect(foreign.streams.values().next().value?.events_requested).toBeUndefined()
    await foreign.send()
    await foreign.send({ events: { 'urn:them:event:odd': {} } })
    await foreign.send({ events: { [EVENT.accountEnabled]: {} } })
    await until(() => foreign.acked.length === 3)
    expect(told.sort()).toEqual([`* ${EVENT.accountEnabled}`, 'named', 'uri'])

    const second = createForeign()
    const plain = started(second)
    await plain.receiver.start()
    await second.send({ events: { [EVENT.accountEnabled]: {} } })
    await until(() => second.acked.length === 1)
    expect(plain.receiver.status().counts).toMatchObject({ unhandled: 1, handled: 0 })
  })

  it('A6: the time of an event is its own stamp, unless that is a fault; then that of its SET', async () => {
    const foreign = createForeign()
    const { receiver, events } = started(foreign)
    await receiver.start()
    const iat = Math.floor(Date.now() / 1000) - 100
    for (const event_timestamp of [iat - 50.5, iat * 1000, -1, 'x']) {
      await foreign.send({ iat, events: { [EVENT.sessionRevoked]: { event_timestamp } } })
    }
    await until(() => events.length === 4)
    expect(events.map(({ at }) => at)).toEqual([iat - 51, iat, iat, iat])
  })

  it('A7: a critical member that no handler looks at means: accepted, counted, not acted on', async () => {
    const foreign = createForeign()
    foreign.metadata.critical_subject_members = ['session', 'org_unit']
    const { receiver, events } = started(foreign)
    await receiver.start()
    const complex = (member: string) => ({
      sub_id: { format: 'complex', user: { format: 'iss_sub', iss: THEM, sub: 'u' }, [member]: { format: 'opaque', id: 'x' } },
    })
    const critical = await foreign.send(complex('org_unit'))
    await foreign.send(complex('session'))
    await foreign.send(complex('group'))
    await until(() => foreign.acked.length === 3)
    expect(foreign.acked).toContain(critical)
    expect(events.map(({ subject }) => Object.keys(subject).at(-1))).toEqual(['session', 'group'])
    expect(receiver.status().counts).toMatchObject({ handled: 2, discarded: 1, refused: 0 })

    const another = createForeign()
    another.metadata.critical_subject_members = ['org_unit']
    const knowing = started(another, { understands: ['org_unit'] })
    await knowing.receiver.start()
    await another.send(complex('org_unit'))
    await until(() => knowing.events.length === 1)
  })

  it('A5: about whom the transmitter may not speak are refused', async () => {
    const cases: [object, boolean][] = [
      [{ format: 'iss_sub', iss: 'https://other.test', sub: 'u' }, false],
      [{ format: 'jwt_id', iss: 'https://other.test', jti: 'u' }, false],
      [
        {
          format: 'aliases',
          identifiers: [
            { format: 'iss_sub', iss: THEM, sub: 'u' },
            { format: 'iss_sub', iss: 'https://other.test', sub: 'u' },
          ],
        },
        false,
      ],
      [{ format: 'complex', tenant: { format: 'opaque', id: 'acme' } }, false],
      [{ format: 'complex', tenant: { format: 'opaque', id: 'acme' }, group: { format: 'opaque', id: 'g' } }, false],
      [{ format: 'complex', application: { format: 'opaque', id: 'files' } }, false],
      [{ format: 'complex', user: { format: 'iss_sub', iss: 'https://other.test', sub: 'u' } }, false],
      [{ format: 'email', email: 'a@them.test' }, true],
      [{ format: 'complex', user: { format: 'email', email: 'a@them.test' }, tenant: { format: 'opaque', id: 'acme' } }, true],
    ]
    const foreign = createForeign()
    const { receiver, events } = started(foreign)
    await receiver.start()
    const jtis = await Promise.all(cases.map(([sub_id]) => foreign.send({ sub_id })))
    await until(() => foreign.waiting.size === 0)
    for (const [i, [, allowed]] of cases.entries()) {
      expect(foreign.errors[jtis[i] as string]?.err, JSON.stringify(cases[i])).toBe(allowed ? undefined : 'access_denied')
    }
    expect(events).toHaveLength(2)

    const wide = createForeign()
    const trusting = started(wide, { trust: { issuers: 'any', domains: ['THEM.test'], wide: ['tenant', 'application'] } })
    await trusting.receiver.start()
    for (const [sub_id] of cases) await wide.send({ sub_id })
    const elsewhere = await wide.send({ sub_id: { format: 'email', email: 'a@them.test@elsewhere.test' } })
    await wide.send({ sub_id: { format: 'email', email: '"a@elsewhere.test"@them.test' } })
    await until(() => wide.waiting.size === 0)
    expect(Object.keys(wide.errors)).toEqual([elsewhere])
  })

  it('whose payload lacks what its type requires are invalid_request', async () => {
    const foreign = createForeign()
    const told: string[] = []
    const { receiver } = started(foreign, { on: { 'credential-change': ({ payload }) => void told.push(payload.change_type) } })
    await receiver.start()
    const bad = await foreign.send({ events: { [EVENT.credentialChange]: { credential_type: 'password' } } })
    await foreign.send({ events: { [EVENT.credentialChange]: { credential_type: 'retina', change_type: 'stolen' } } })
    await until(() => told.length === 1)
    expect(foreign.errors[bad].err).toBe('invalid_request')
    expect(told).toEqual(['stolen'])
  })
})

describe('keys', () => {
  it('B6: a SET under a new key is verified after one look', async () => {
    const foreign = createForeign()
    const { receiver, events } = started(foreign)
    await receiver.start()
    await foreign.send()
    await until(() => events.length === 1)
    foreign.key = await makeKey('ES256', 'es-2')
    foreign.jwks = [foreign.key.jwk]
    await foreign.send()
    await until(() => events.length === 2)
    expect(foreign.errors).toEqual({})
  })

  it('B6: one that no key verifies waits for its key before it is reported', async () => {
    const foreign = createForeign()
    const { receiver, events } = started(foreign, { timing: { keyPatience: 60_000 } })
    await receiver.start()
    foreign.key = await makeKey('ES256', 'es-2')
    const jti = await foreign.send()
    const looks = () => foreign.asked.filter(({ path }) => path === '/keys').length
    await until(() => looks() > 3)
    expect(foreign.errors).toEqual({})
    foreign.jwks = [foreign.key.jwk]
    await until(() => foreign.acked.includes(jti))
    expect(events).toHaveLength(1)
  })

  it('however many unknown keys there are, the budget is what is fetched', async () => {
    const foreign = createForeign()
    let clock = Date.now()
    const { receiver } = started(foreign, { now: () => clock, timing: { refetchKeys: 1000 } })
    await receiver.start()
    for (let i = 0; i < 20; i++) await foreign.send({}, { kid: `strange-${i}` })
    await until(() => foreign.asked.filter(({ path }) => path.startsWith('/poll')).length > 5)
    expect(foreign.asked.filter(({ path }) => path === '/keys')).toHaveLength(1)
    expect(foreign.errors).toEqual({})
    clock += 1000
    await until(() => Object.keys(foreign.errors).length > 0)
    expect(Object.values(foreign.errors)[0]).toMatchObject({ err: 'invalid_key' })
  })
})

describe('client credentials', () => {
  it('finds the token endpoint, keeps the token while it lasts, and asks anew after a 401', async () => {
    const foreign = createForeign()
    let given = 'old'
    foreign.intercept = ({ path, headers, body }) => {
      if (path === '/.well-known/oauth-authorization-server/t/acme') return new Response(null, { status: 404 })
      if (path === '/t/acme/.well-known/openid-configuration') return Response.json({ issuer: THEM, token_endpoint: 'https://them.test/token' })
      if (path !== '/token') return undefined
      expect(headers.get('authorization')).toBe(`Basic ${Buffer.from('files%3Aapi:s%2Fecret').toString('base64')}`)
      expect(body).toEqual({ grant_type: 'client_credentials', scope: 'ssf.read ssf.manage' })
      const token = given
      given = 'good'
      return Response.json({ access_token: token, token_type: 'Bearer', expires_in: 3600 })
    }
    const { receiver, events } = started(foreign, { credentials: { clientId: 'files:api', clientSecret: 's/ecret' } })
    await receiver.start()
    await foreign.send()
    await until(() => events.length === 1)
    expect(foreign.asked.filter(({ path }) => path === '/token')).toHaveLength(2)
    expect(JSON.stringify(foreign.logged)).not.toMatch(/ecret|good/)
  })

  it('sends the secret nowhere on the word of another issuer, and gives up when it is refused', async () => {
    const foreign = createForeign()
    foreign.intercept = ({ path }) =>
      path.startsWith('/.well-known/oauth') ? Response.json({ issuer: 'https://evil.test', token_endpoint: 'https://evil.test/token' }) : undefined
    const credentials = { clientId: 'files', clientSecret: 'secret' }
    await expect(started(foreign, { credentials }).receiver.start()).rejects.toMatchObject({ code: 'metadata_refused' })
    expect(foreign.asked.some(({ path }) => path === '/token')).toBe(false)
    foreign.intercept = ({ path }) => (path === '/token' ? new Response(null, { status: 401 }) : undefined)
    const named = { ...credentials, tokenEndpoint: 'https://them.test/token' }
    await expect(started(foreign, { credentials: named }).receiver.start()).rejects.toMatchObject({ code: 'token_refused' })
  })

  it.each(['named', 'found'])('sends the secret in the form to a %s endpoint where it is told to', async (how) => {
    const foreign = createForeign()
    foreign.intercept = ({ path, headers, body }) => {
      if (path.startsWith('/.well-known/oauth')) return Response.json({ issuer: THEM, token_endpoint: 'https://them.test/token' })
      if (path !== '/token') return undefined
      const takes = headers.get('authorization') === null && body?.client_id === 'files' && body.client_secret === 'secret'
      return takes ? Response.json({ access_token: 'good', expires_in: 3600 }) : new Response(null, { status: 401 })
    }
    const credentials = { clientId: 'files', clientSecret: 'secret', ...(how === 'named' && { tokenEndpoint: 'https://them.test/token' }) }
    const post = started(foreign, { credentials: { ...credentials, authMethod: 'post' } })
    await post.receiver.start()
    await expect(started(foreign, { credentials }).receiver.start()).rejects.toMatchObject({ code: 'token_refused' })
  })
})
