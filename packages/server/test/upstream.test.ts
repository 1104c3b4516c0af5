import { EVENT, type Subject } from '@caegis/protocol'
import type { ReceivedEvent } from '@caegis/ssf/receiver'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createDirectory, type Directory } from '../src/directory/directory.ts'
import type { Upstream } from '../src/directory/upstream.ts'
import type { Store } from '../src/store/store.ts'
import { type Act, createAct } from '../src/upstream/act.ts'
import { meaningOf, wantedTypes } from '../src/upstream/meaning.ts'
import { createMemory } from '../src/upstream/memory.ts'
import { readOutcomes } from '../src/upstream/outcomes.ts'
import { openStore } from './open-store.ts'

const US = 'https://id.test/one/v2.0'
const THEM = 'https://them.test'
const ADMIN = { kind: 'system', reason: 'test' } as const
const log = { debug() {}, info() {}, warn() {}, error() {} }
const upstream = (more: Partial<Upstream> = {}): Upstream => ({
  ...{ id: 'u1', issuer: THEM, displayName: 'Them', enabled: true, delivery: 'poll', audience: null, receiver: null },
  ...{ issuers: [THEM], domains: ['one.test'], source: 'hr', subject: 'externalId', actions: {}, createdAt: 1 },
  ...more,
})

let store: Store
let directory: Directory
let act: Act
let made = 0
const ids: Record<string, string> = {}

beforeEach(async () => {
  store = await openStore({ file: ':memory:', now: Date.now, log })
  for (const [id, issuer] of [
    ['one', US],
    ['two', 'https://id.test/two/v2.0'],
  ] as const)
    await store.db.insertInto('tenants').values({ id, name: id, display_name: id, epoch: 'e', created_at: 1, issuer }).execute()
  directory = createDirectory(store, 'one', US)
  act = createAct({ store, log, tenant: { id: 'one', issuer: US }, directory })
  for (const [name, mail] of [
    ['kim', 'kim@mail.one.test'],
    ['lee', 'shared@one.test'],
    ['max', 'Shared@one.test'],
  ] as const) {
    const user = { userPrincipalName: `${name}@one.test`, displayName: name, source: 'hr', externalId: `id-${name}`, mail }
    ids[name] = (await directory.createUser(ADMIN, user)).result
  }
})
afterEach(() => store.close())

const event = (type: string, subject: Subject, more: Partial<ReceivedEvent> = {}): ReceivedEvent => ({
  ...{ type, subject, payload: {}, jti: `set-${++made}`, iat: 1, at: 1, issuer: THEM },
  txn: `txn-${made}`,
  ...more,
})
const theirs = (sub: string, iss = THEM): Subject => ({ format: 'iss_sub', iss, sub })
const email = (address: string): Subject => ({ format: 'email', email: address })
const rows = (tenant = 'one') => store.db.selectFrom('events').selectAll().where('tenant', '=', tenant).orderBy('seq').execute()
const last = async () => {
  const row = (await rows()).at(-1)
  return row && { type: row.type, txn: row.txn, origin: row.origin, subject: JSON.parse(row.subject), payload: JSON.parse(row.payload) }
}
const enabled = async (name: string) => (await directory.user(ids[name] as string))?.accountEnabled

describe('whom a subject names', () => {
  it.each<[string, Subject, Partial<Upstream>, string]>([
    ['an external id of the source', theirs('id-kim'), {}, 'committed'],
    ['an external id of another source', theirs('id-kim'), { source: '' }, 'unknown'],
    ['a user name, where subjects are such', theirs('Kim@one.test'), { subject: 'userPrincipalName' }, 'committed'],
    ['a user name of a domain that is not listed', theirs('kim@one.test'), { subject: 'userPrincipalName', domains: ['x.test'] }, 'refused'],
    ['an id of ours', theirs('kim', US), {}, 'unknown'],
    ['an address that is a user name', email('KIM@one.test'), {}, 'committed'],
    ['an address of one user', email('Kim@Mail.one.test'), {}, 'committed'],
    ['an address of two', email('shared@one.test'), {}, 'ambiguous'],
    ['an account', { format: 'account', uri: 'acct:kim@one.test' }, {}, 'committed'],
    ['aliases of one user', { format: 'aliases', identifiers: [theirs('id-kim'), email('kim@one.test')] as never }, {}, 'committed'],
    ['aliases of which one is nobody', { format: 'aliases', identifiers: [theirs('nobody'), email('kim@one.test')] as never }, {}, 'committed'],
    ['aliases of two users', { format: 'aliases', identifiers: [theirs('id-kim'), email('lee@one.test')] as never }, {}, 'ambiguous'],
    ['aliases of nobody', { format: 'aliases', identifiers: [theirs('nobody')] as never }, {}, 'unknown'],
    ['a user and a device', { format: 'complex', user: theirs('id-kim') as never, device: { format: 'opaque', id: 'd' } }, {}, 'committed'],
    ['a session alone', { format: 'complex', session: { format: 'opaque', id: 's' } }, {}, 'unmapped'],
    ['a user that has no name we know', { format: 'complex', user: { format: 'opaque', id: 'x' } }, {}, 'unmapped'],
  ])('%s', async (_, subject, more, outcome) => {
    expect(await act(upstream(more), event(EVENT.sessionRevoked, subject))).toBe(outcome)
    expect(await rows()).toHaveLength(outcome === 'committed' ? 1 : 0)
    if (outcome === 'committed') expect((await last())?.subject.complex.user).toEqual({ format: 'iss_sub', iss: US, sub: ids.kim })
    expect(await readOutcomes(store.db, 'one', 'u1')).toMatchObject([{ outcome, count: 1, lastSubject: subject }])
  })

  it('an id of ours, of those who are deleted, is nobody', async () => {
    const ours = theirs(ids.kim as string, US)
    expect(await act(upstream(), event(EVENT.sessionRevoked, ours))).toBe('committed')
    await directory.remove(ADMIN, ids.kim as string)
    expect(await act(upstream(), event(EVENT.sessionRevoked, ours))).toBe('unknown')
    expect(await act(upstream(), event(EVENT.sessionRevoked, theirs('id-kim')))).toBe('unknown')
  })

  it('C3: the emergency account is left alone, whatever it is called', async () => {
    await store.db
      .updateTable('users')
      .set({ break_glass: 1 })
      .where('id', '=', ids.kim as string)
      .execute()
    for (const subject of [theirs('id-kim'), email('kim@one.test'), theirs(ids.kim as string, US)]) {
      for (const type of [EVENT.accountDisabled, EVENT.sessionRevoked, EVENT.riskLevelChange])
        expect(await act(upstream(), event(type, subject, { payload: { principal: 'USER', current_level: 'HIGH' } }))).toBe('exempt')
    }
    expect(await rows()).toHaveLength(0)
  })
})

describe('what an event causes', () => {
  const high = { principal: 'USER', current_level: 'HIGH' }
  it.each<[string, string, object, object, string]>([
    ['session-revoked', EVENT.sessionRevoked, {}, {}, 'revoke'],
    ['sessions-revoked', EVENT.sessionsRevoked, {}, {}, 'revoke'],
    ['a compromised credential', EVENT.credentialCompromise, { credential_type: 'password' }, {}, 'revoke'],
    ['a new password', EVENT.credentialChange, { credential_type: 'password', change_type: 'update' }, {}, 'revoke'],
    ['another credential', EVENT.credentialChange, { credential_type: 'pin', change_type: 'delete' }, {}, 'reevaluate'],
    ['account-disabled', EVENT.accountDisabled, { reason: 'hijacking' }, {}, 'disable'],
    ['account-purged', EVENT.accountPurged, {}, {}, 'disable'],
    ['account-enabled', EVENT.accountEnabled, {}, {}, 'enable'],
    ['account-enabled, switched off', EVENT.accountEnabled, {}, { 'account-enabled': 'ignore' }, 'ignored'],
    ['high risk', EVENT.riskLevelChange, high, {}, 'reevaluate'],
    ['high risk, by configuration', EVENT.riskLevelChange, high, { 'risk-level-change': 'disable' }, 'disable'],
    ['low risk, whatever is configured', EVENT.riskLevelChange, { ...high, current_level: 'LOW' }, { 'risk-level-change': 'disable' }, 'ignored'],
    ['a level that nobody knows', EVENT.riskLevelChange, { ...high, current_level: 'AWFUL' }, {}, 'reevaluate'],
    ['a device that is not compliant', EVENT.deviceComplianceChange, { current_status: 'not-compliant' }, {}, 'reevaluate'],
    ['a compliant device', EVENT.deviceComplianceChange, { current_status: 'compliant' }, {}, 'ignored'],
    ['other claims', EVENT.tokenClaimsChange, { claims: { role: 'x' } }, {}, 'reevaluate'],
    ['less assurance', EVENT.assuranceLevelChange, { change_direction: 'decrease' }, {}, 'reevaluate'],
    ['more assurance', EVENT.assuranceLevelChange, { change_direction: 'increase' }, {}, 'ignored'],
    ['a credential that must change', EVENT.accountCredentialChangeRequired, {}, {}, 'reevaluate'],
    ['another name', EVENT.identifierChanged, {}, {}, 'ignored'],
    ['a recycled name', EVENT.identifierRecycled, {}, {}, 'ignored'],
    ['a session that began', EVENT.sessionEstablished, {}, {}, 'ignored'],
    ['ignored by configuration', EVENT.sessionRevoked, {}, { 'session-revoked': 'ignore' }, 'ignored'],
    ['depths of ours mean nothing from them', EVENT.sessionRevoked, { caegis_depth: 'access' }, {}, 'revoke'],
    ['lists of cutoffs', EVENT.cutoffs, { cutoffs: [['tenant', 'one', 1, 'sign-in', 2]] }, {}, 'unmapped'],
    ['what nobody has heard of', 'https://vendor.test/event/strange', {}, {}, 'unmapped'],
  ])('%s', (_, type, payload, actions, expected) => {
    const meaning = meaningOf({ type, payload: { ...payload } }, actions)
    expect(typeof meaning === 'string' ? meaning : meaning.action).toBe(expected)
  })

  it('what is passed on holds what the specification names, and nothing else', () => {
    const passed = (type: string, payload: object, actions = {}) =>
      meaningOf({ type, payload: { ...payload, more: 'x', reason_user: { en: 'x' } } }, actions)
    expect(passed(EVENT.tokenClaimsChange, { claims: { role: 'admin', ['n'.repeat(500)]: 1 } })).toEqual({
      ...{ action: 'reevaluate', type: EVENT.tokenClaimsChange },
      payload: { claims: { upstream: ['role', 'n'.repeat(128)] } },
    })
    expect(passed(EVENT.credentialChange, { credential_type: 'pi\u0000n', change_type: 'odd' })).toMatchObject({
      payload: { credential_type: 'pin', change_type: 'update' },
    })
    expect(passed(EVENT.deviceComplianceChange, { previous_status: 'odd', current_status: 'odd' })).toMatchObject({
      payload: { previous_status: 'compliant', current_status: 'not-compliant' },
    })
    // A type whose name alone means the end of sessions becomes one that can say less.
    expect(passed(EVENT.accountDisabled, {}, { 'account-disabled': 'reevaluate' })).toEqual({
      action: 'reevaluate',
      type: EVENT.sessionRevoked,
      payload: {},
    })
  })

  it('asks for what has an effect, and for no more', () => {
    const all = wantedTypes({})
    expect(all).toContain(EVENT.sessionsRevoked)
    expect(all).not.toContain(EVENT.sessionEstablished)
    expect(wantedTypes({ 'session-revoked': 'ignore' })).toEqual(all.filter((type) => type !== EVENT.sessionRevoked))
  })

  it('a revocation is of depth sign-in, a new decision of depth access', async () => {
    await act(upstream(), event(EVENT.sessionRevoked, theirs('id-kim')))
    await act(upstream(), event(EVENT.accountDisabled, theirs('id-lee'), { payload: {} }))
    await act(upstream({ actions: { 'session-revoked': 'reevaluate' } }), event(EVENT.sessionRevoked, theirs('id-max')))
    const found = await store.db.selectFrom('users').select(['id', 'valid_from', 'access_from']).execute()
    const of = (name: string) => found.find(({ id }) => id === ids[name])
    expect(of('kim')).toMatchObject({ valid_from: expect.toSatisfy((at: number) => at > 0), access_from: 0 })
    expect(of('lee')).toMatchObject({ valid_from: expect.toSatisfy((at: number) => at > 0), access_from: 0 })
    expect(of('max')).toMatchObject({ valid_from: 0, access_from: expect.toSatisfy((at: number) => at > 0) })
    expect((await last())?.payload).toMatchObject({ caegis_depth: 'access' })
  })
})

describe('B14: causes', () => {
  it('keep their txn and their origin; without one, it follows from the SET', async () => {
    await act(upstream({ receiver: 'partner' }), event(EVENT.sessionRevoked, theirs('id-kim'), { txn: 'theirs' }))
    expect(await last()).toMatchObject({ txn: 'theirs', origin: 'partner' })
    const { txn: _, ...bare } = event(EVENT.sessionRevoked, theirs('id-kim'))
    expect(await act(upstream(), bare)).toBe('committed')
    const first = (await last())?.txn
    expect(first).toMatch(/^[\w-]{43}$/)
    expect(await act(upstream(), bare)).toBe('duplicate')
    expect(await act(upstream(), { ...bare, jti: 'another' })).toBe('committed')
    expect((await last())?.txn).not.toBe(first)
  })

  it('do to each user each thing', async () => {
    const say = (type: string, name: string) => act(upstream(), event(type, theirs(name), { txn: 'one-cause' }))
    expect(await say(EVENT.sessionRevoked, 'id-kim')).toBe('committed')
    expect(await say(EVENT.accountDisabled, 'id-kim')).toBe('committed')
    expect(await say(EVENT.sessionRevoked, 'id-lee')).toBe('committed')
    expect(await say(EVENT.sessionRevoked, 'id-kim')).toBe('duplicate')
    // A password that was changed, and sessions that were revoked: the same thing here.
    const payload = { credential_type: 'password', change_type: 'update' }
    expect(await act(upstream(), event(EVENT.credentialChange, theirs('id-kim'), { txn: 'one-cause', payload }))).toBe('duplicate')
  })

  it('that do more are not kept from it by one that did less before, whoever heard of the cause first', async () => {
    const say = (id: string, action: 'reevaluate' | 'revoke' | 'disable') =>
      act(upstream({ id, actions: { 'session-revoked': action } }), event(EVENT.sessionRevoked, theirs('id-kim'), { txn: 'one-cause' }))
    const row = () => store.db.selectFrom('users').select(['valid_from', 'enabled']).where('id', '=', String(ids.kim)).executeTakeFirstOrThrow()
    expect(await say('weak', 'reevaluate')).toBe('committed')
    expect(await row()).toMatchObject({ valid_from: 0, enabled: 1 })
    expect(await say('strong', 'revoke')).toBe('committed')
    expect((await row()).valid_from).toBeGreaterThan(0)
    expect([await say('weak', 'reevaluate'), await say('u3', 'revoke')]).toEqual(['duplicate', 'duplicate'])
    expect(await rows()).toHaveLength(2)
  })

  it('two at once do it once', async () => {
    const same = (id: string) => act(upstream({ id }), event(EVENT.sessionRevoked, theirs('id-kim'), { txn: 'same' }))
    expect((await Promise.all([same('u1'), same('u2'), same('u3')])).sort()).toEqual(['committed', 'duplicate', 'duplicate'])
    expect(await rows()).toHaveLength(1)
  })

  it('of this tenant come back in vain, those of another tenant do not count', async () => {
    const { txn } = await directory.revokeSessions(ADMIN, ids.kim as string)
    expect(await act(upstream(), event(EVENT.accountDisabled, theirs('id-lee'), { txn }))).toBe('returned')
    const elsewhere = createDirectory(store, 'two', 'https://id.test/two/v2.0')
    const { result } = await elsewhere.createUser(ADMIN, { userPrincipalName: 'x@two.test', displayName: 'X' })
    const other = await elsewhere.revokeSessions(ADMIN, result)
    expect(await act(upstream(), event(EVENT.accountDisabled, theirs('id-lee'), { txn: other.txn }))).toBe('committed')
  })

  it('reach guests in other tenants, whose own upstreams repeat them in vain', async () => {
    const two = 'https://id.test/two/v2.0'
    const elsewhere = createDirectory(store, 'two', two)
    const guest = { userPrincipalName: 'kim@two.test', displayName: 'Kim', type: 'guest', home: { issuer: US, id: ids.kim as string } } as const
    await elsewhere.createUser(ADMIN, guest)
    expect(await act(upstream({ receiver: 'partner' }), event(EVENT.sessionRevoked, theirs('id-kim'), { txn: 'far' }))).toBe('committed')
    const [row] = await rows('two')
    // A name of this tenant says nothing in another.
    expect(row).toMatchObject({ txn: 'far', type: EVENT.sessionRevoked, origin: null })
    const there = createAct({ store, log, tenant: { id: 'two', issuer: two }, directory: elsewhere })
    expect(await there(upstream({ domains: ['two.test'] }), event(EVENT.sessionRevoked, email('kim@two.test'), { txn: 'far' }))).toBe('duplicate')
    expect(await rows('two')).toHaveLength(1)
  })
})

describe('disabled by several', () => {
  const say = (id: string, type: string, txn?: string) => act(upstream({ id }), event(type, theirs('id-kim'), txn === undefined ? {} : { txn }))

  it('stays so until all have let go', async () => {
    expect(await say('u1', EVENT.accountDisabled)).toBe('committed')
    expect(await say('u2', EVENT.accountDisabled)).toBe('unchanged')
    expect(await say('u1', EVENT.accountEnabled)).toBe('unchanged')
    expect(await enabled('kim')).toBe(false)
    expect(await say('u2', EVENT.accountEnabled)).toBe('committed')
    expect(await enabled('kim')).toBe(true)
    expect(await say('u3', EVENT.accountEnabled)).toBe('unchanged')
  })

  it('one that never did lifts nothing', async () => {
    await say('u1', EVENT.accountDisabled)
    expect(await say('u2', EVENT.accountEnabled)).toBe('unchanged')
    expect(await enabled('kim')).toBe(false)
  })

  it('a cause that changed nothing by one may change something by another', async () => {
    await say('u1', EVENT.accountDisabled)
    expect(await say('u2', EVENT.accountEnabled, 'back')).toBe('unchanged')
    expect(await say('u1', EVENT.accountEnabled, 'back')).toBe('committed')
  })

  it('whom somebody here disabled before is not theirs to enable', async () => {
    await directory.update(ADMIN, ids.kim as string, { enabled: false })
    expect(await say('u1', EVENT.accountDisabled)).toBe('unchanged')
    expect(await say('u1', EVENT.accountEnabled)).toBe('unchanged')
    expect(await enabled('kim')).toBe(false)
  })

  it('a local word takes over, in both directions', async () => {
    await say('u1', EVENT.accountDisabled)
    await directory.update(ADMIN, ids.kim as string, { enabled: false })
    expect(await say('u1', EVENT.accountEnabled)).toBe('unchanged')
    expect(await enabled('kim')).toBe(false)
    await directory.update(ADMIN, ids.kim as string, { enabled: true })
    expect(await say('u1', EVENT.accountDisabled)).toBe('committed')
  })
})

describe('what a receiver remembers', () => {
  it('is its own, in order, with a bound', async () => {
    const { seen, queue } = createMemory(store, { tenant: 'one', upstream: 'u1' }, () => true)
    const set = (jti: string) => ({ iss: THEM, jti, iat: 1, aud: ['a'], subject: theirs('x'), type: EVENT.sessionRevoked, payload: {} })
    expect(await seen.has(THEM, 'a')).toBe(false)
    expect(await queue.add(set('a'))).toBe('added')
    expect(await queue.add(set('b'))).toBe('added')
    expect(await queue.add(set('a'))).toBe('added')
    // Accepted is not acted on.
    expect(await seen.has(THEM, 'a')).toBe(false)
    expect((await queue.list()).map(({ jti }) => jti)).toEqual(['a', 'b'])
    await seen.add(THEM, 'a')
    await queue.remove(THEM, 'a')
    expect(await seen.has(THEM, 'a')).toBe(true)
    expect((await queue.list()).map(({ jti }) => jti)).toEqual(['b'])
    await seen.add(THEM, 'c')
    await seen.add(THEM, 'c')
    const other = createMemory(store, { tenant: 'one', upstream: 'u2' }, () => true)
    expect([await other.seen.has(THEM, 'a'), await other.queue.list()]).toEqual([false, []])
    for (let i = 0; i < 999; i++) await queue.add(set(`n${i}`))
    expect(await queue.add(set('one-too-many'))).toBe('full')
  })

  it('is acted on by one of several servers, whichever of them took it in', async () => {
    const names = { tenant: 'one', upstream: 'u1' }
    const set = { iss: THEM, jti: 'a', iat: 1, aud: ['a'], subject: theirs('x'), type: EVENT.sessionRevoked, payload: {} }
    const here = createMemory(store, names, () => true)
    const there = createMemory(store, names, () => false)
    expect(await there.queue.add(set)).toBe('elsewhere')
    expect(await there.queue.list()).toEqual([])
    expect(await here.queue.list()).toEqual([set])
  })
})
