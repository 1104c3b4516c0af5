import { type Cutoff, EVENT } from '@caegis/protocol'
import { afterEach, describe, expect, it } from 'vitest'
import { createForeign, type Foreign, HEADER, PUSH, QUICK, THEM } from '../../ssf/test/foreign.ts'
import { until } from '../../ssf/test/loop.ts'
import { createForeignSource, type ForeignEvents } from '../src/foreign-source.ts'
import { createGuard, type Guard } from '../src/guard.ts'
import { createStaticKeys } from '../src/keys.ts'
import { silent } from '../src/log.ts'
import type { GuardOptions } from '../src/options.ts'
import { AUDIENCE, ec, ISSUER, jwkOf, mint, outcome, request, verdictOf } from './tokens.ts'

const open: Guard[] = []
afterEach(async () => {
  for (const guard of open.splice(0)) await guard.close()
})

const now = () => Math.floor(Date.now() / 1000)
/** A token of now: the transmitter's clock is the machine's. */
const token = (claims: object = {}) => mint({ iat: now() - 60, nbf: 0, exp: now() + 3000, ...claims })
const user = (sub: string, iss = ISSUER) => ({ sub_id: { format: 'iss_sub', iss, sub } })
const complex = (members: object) => ({ sub_id: { format: 'complex', ...members } })
const opaque = (id: string) => ({ format: 'opaque', id })

function start(events: Partial<ForeignEvents> = {}, options: Partial<GuardOptions> = {}, foreign: Foreign = createForeign()) {
  const kept: Cutoff[] = []
  const source = createForeignSource({
    issuer: ISSUER,
    events: { transmitter: THEM, credentials: { token: async () => 'good' }, ...events },
    ...{ fetch: foreign.fetch, now: () => Date.now(), log: silent, horizon: 100_000, lookEvery: 5, timing: QUICK },
    keep: (cutoffs) => void kept.push(...cutoffs),
  })
  const keys = createStaticKeys({ [ISSUER]: { keys: [jwkOf(ec, 'k1')] } })
  const guard = createGuard({ issuer: ISSUER, audience: AUDIENCE, source, keys, ...options })
  open.push(guard)
  return { foreign, guard, kept, check: (text: string) => verdictOf(guard.check(request(text))) }
}

describe('somebody else’s transmitter, polled', () => {
  it('says that it is best effort; what arrives becomes a cutoff, live connections end, and it is kept', async () => {
    const { foreign, guard, kept, check } = start()
    expect(outcome(check(token()))).toBe('not_ready')
    await guard.ready()
    expect(guard.status()).toMatchObject({ proof: 'contact', inSync: true, stale: false, head: undefined, source: { state: 'running', gaps: 0 } })
    const text = token()
    const verdict = check(text)
    if (!verdict.allowed) throw new Error(verdict.code)
    expect(verdict.signal.aborted).toBe(false)
    await foreign.send(user('alice'))
    await until(() => !check(text).allowed)
    expect(outcome(check(text))).toBe('revoked')
    expect(verdict.signal.aborted).toBe(true)
    expect(kept).toEqual([expect.objectContaining({ issuer: ISSUER, kind: 'user', id: 'alice', depth: 'sign-in' })])
    expect(guard.status()).toMatchObject({ applied: 1, cutoffs: 1 })
    // Acknowledged when it was applied.
    await until(() => foreign.acked.length === 1)
  })

  it('A5, A7: whom it may not name is refused, what no token names cannot be mapped: both are counted, none is applied', async () => {
    const { foreign, guard, check } = start()
    await guard.ready()
    await foreign.send(user('alice', THEM))
    await foreign.send(user('alice', 'https://strangers.example'))
    await foreign.send(complex({ tenant: opaque('contoso') }))
    await foreign.send(complex({ application: { format: 'iss_sub', iss: ISSUER, sub: 'files-spa' } }))
    await foreign.send(complex({ tenant: { format: 'iss_sub', iss: ISSUER, sub: 'contoso' } }))
    await foreign.send(complex({ group: opaque('admins') }))
    await foreign.send({ sub_id: { format: 'email', email: 'alice@contoso.example' } })
    await foreign.send({ ...user('bob'), events: { [EVENT.accountEnabled]: {} } })
    // Of our own extensions only the tokens' issuer may make use.
    const rows = [['user', 'alice', now(), 'access', now() + 100]]
    await foreign.send({ ...user('alice'), events: { 'urn:caegis:event:cutoffs': { cutoffs: rows } } })
    await until(() => foreign.acked.length === 9)
    expect(outcome(check(token()))).toBe('allowed')
    expect(guard.status()).toMatchObject({
      ...{ applied: 0, none: 1, unmappable: 2, refused: 6, cutoffs: 0 },
      details: { 'names another issuer': 3, 'may not name a app': 1, 'may not name a tenant': 1, 'may not list cutoffs': 1 },
    })
  })

  it('subjects by another name are this issuer’s users where the configuration says so, and kinds beyond the usual', async () => {
    const { foreign, guard, check } = start({ subjects: [THEM, ISSUER], kinds: ['user', 'session', 'app'] })
    await guard.ready()
    await foreign.send(user('alice', THEM))
    await until(() => !check(token()).allowed)
    await foreign.send(complex({ session: opaque('s-9') }))
    await until(() => !check(token({ sub: 'x', oid: 'x', sid: 's-9' })).allowed)
    await foreign.send(complex({ application: opaque('mail-spa') }))
    await until(() => !check(token({ sub: 'y', oid: 'y', sid: 's', client_id: 'mail-spa' })).allowed)
    expect(guard.status()).toMatchObject({ applied: 3, refused: 0 })
  })

  it('a bad event time is no way to cut off what is to come, or to be kept for ever', async () => {
    const { foreign, guard, kept } = start()
    await guard.ready()
    const events = { [EVENT.sessionRevoked]: { event_timestamp: Date.now(), caegis_until: 9e9, caegis_depth: 'claims' } }
    await foreign.send({ ...user('alice'), events })
    await until(() => kept.length === 1)
    const [{ t, until: end, depth } = { t: 0, until: 0, depth: '' }] = kept
    expect(t).toBeLessThanOrEqual(now())
    expect([end - t, depth]).toEqual([100_000, 'sign-in'])
  })

  it('B1: paused, lost or not reached is out of sync, in strict mode 503; back again it is in sync, and a gap is told', async () => {
    const { foreign, guard, check } = start({}, { staleness: 'strict' })
    await guard.ready()
    const text = token()
    expect(outcome(check(text))).toBe('allowed')
    foreign.intercept = ({ path }) => (path.startsWith('/poll/') ? new Response('x', { status: 502 }) : undefined)
    await until(() => !guard.status().inSync)
    expect(outcome(check(text))).toBe('out_of_sync')
    expect(guard.status().reason).toContain('cannot be heard')
    foreign.intercept = undefined
    await until(() => guard.status().inSync)
    expect(outcome(check(text))).toBe('allowed')
    foreign.streams.clear()
    await until(() => (guard.status().source as { gaps: number }).gaps === 1 && guard.status().inSync)
    expect(outcome(check(text))).toBe('allowed')
  })

  it('B3: a transmitter that refuses hydrates nobody', async () => {
    const foreign = createForeign()
    const { check, guard } = start({ credentials: { token: async () => 'bad' } }, {}, foreign)
    await until(() => foreign.asked.some(({ path }) => path === '/streams'))
    expect(outcome(check(token()))).toBe('not_ready')
    expect(guard.status()).toMatchObject({ hydrated: false, stale: true })
  })
})

describe('somebody else’s transmitter, pushing', () => {
  it('takes what arrives through receiver(), if it is who was told the header', async () => {
    const { foreign, guard, check } = start({ push: PUSH.push })
    await guard.ready()
    const push = async (change: object, authorization: string) =>
      guard.receiver().handler({
        ...{ method: 'POST', headers: { 'content-type': 'application/secevent+jwt', authorization } },
        body: await foreign.sign(foreign.claims(change)),
      })
    expect(await push(user('alice'), 'Bearer wrong')).toMatchObject({ status: 401 })
    expect(outcome(check(token()))).toBe('allowed')
    expect(await push(user('alice'), HEADER)).toMatchObject({ status: 202 })
    await until(() => !check(token()).allowed)
    // A stream that says nothing proves nothing: it is contact, for as long as the transmitter says that the stream is enabled.
    expect(guard.status()).toMatchObject({ proof: 'contact', inSync: true })
    const id = [...foreign.streams.keys()][0] as string
    foreign.intercept = ({ method, path }) =>
      path === '/status' && method === 'GET'
        ? Response.json({ stream_id: id, status: 'paused' })
        : path === '/status'
          ? new Response(null, { status: 400 })
          : undefined
    await until(() => !guard.status().inSync)
    expect(guard.status().reason).toBe('the stream is paused')
    expect(check(token({ sub: 'bob', oid: 'bob', sid: 's-2' }))).toMatchObject({ allowed: true, stale: true })
  })

  it('a guard to whom nobody pushes has no receiver', async () => {
    const keys = createStaticKeys({ [ISSUER]: { keys: [jwkOf(ec, 'k1')] } })
    const guard = createGuard({ issuer: ISSUER, audience: AUDIENCE, events: 'none', keys })
    open.push(guard)
    expect(() => guard.receiver()).toThrow(TypeError)
  })

  it('is what the option `events` makes', async () => {
    const foreign = createForeign()
    const keys = createStaticKeys({ [ISSUER]: { keys: [jwkOf(ec, 'k1')] } })
    const events = { transmitter: THEM, credentials: { token: async () => 'good' }, ...PUSH }
    const guard = createGuard({ issuer: ISSUER, audience: AUDIENCE, events, keys, fetch: foreign.fetch })
    open.push(guard)
    await guard.ready()
    expect(guard.status()).toMatchObject({ proof: 'contact', source: { state: 'running' } })
    expect(await guard.receiver().handler({ headers: {}, body: '' })).toMatchObject({ status: 401 })
  })
})
