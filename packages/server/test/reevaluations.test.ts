import type { Insertable } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLog } from '../src/log.ts'
import type { Change } from '../src/store/change.ts'
import { type Scope, scheduleReevaluation } from '../src/store/reevaluations.ts'
import type { DecisionRow } from '../src/store/schema.ts'
import type { Store } from '../src/store/store.ts'
import { openStore } from './open-store.ts'

const NOW = 1_700_000_000
let store: Store

beforeEach(async () => {
  store = await openStore({ file: ':memory:', now: () => NOW * 1000, log: createLog('silent') })
  await store.db
    .insertInto('tenants')
    .values({ id: 't', name: 'tenant', display_name: 'T', epoch: 'e', created_at: 0, policies_version: 7, last_iat: NOW + 40 })
    .execute()
  await decided('alice-phone', { user_id: 'alice', device_id: 'phone' })
  await decided('alice', { user_id: 'alice' })
  await decided('bob', { user_id: 'bob' })
  await decided('nightly', { app_id: 'nightly', user_id: null })
  await decided('alice-over', { user_id: 'alice', tokens_until: NOW - 60 })
})
afterEach(() => store.close())

const decided = (id: string, rest: Partial<Insertable<DecisionRow>>) =>
  store.db
    .insertInto('decisions')
    .values({
      ...{ tenant: 't', id, user_id: null, sid: null, app_id: 'web', resource: 'api', device_id: null, capable: 1, version: 7, outcome: 'allow' },
      ...{ tokens_until: NOW + 60, fingerprint: 'f', signals: '{}', ...rest },
    })
    .execute()
const edit = (txn: string, ...scopes: Scope[]) =>
  store.commit({
    ...({ tenant: 't', txn, actor: { kind: 'system', reason: 'test' } } satisfies Omit<Change<void>, 'edit'>),
    async edit(context) {
      for (const scope of scopes) await scheduleReevaluation(context, scope)
    },
  })
const marked = async () => {
  const rows = await store.db.selectFrom('decisions').select(['id', 'job']).where('job', 'is not', null).orderBy('id').execute()
  return rows.map(({ id, job }) => `${id}: ${job}`)
}
const jobs = () => store.db.selectFrom('reevaluations').select(['id', 't', 'version', 'scope', 'state', 'total']).orderBy('id').execute()

describe('what an edit asks to be looked at again', () => {
  it('the decisions of its users, devices and applications that somebody lives by, and no others', async () => {
    await edit('users', { reason: 'r', users: ['alice', 'carol'] })
    expect(await marked()).toEqual(['alice: users', 'alice-phone: users'])
    await store.db.updateTable('decisions').set({ job: null }).execute()
    await edit('devices', { reason: 'r', devices: ['phone'] })
    expect(await marked()).toEqual(['alice-phone: devices'])
    await store.db.updateTable('decisions').set({ job: null }).execute()
    await edit('apps', { reason: 'r', apps: ['nightly', 'web'] })
    expect(await marked()).toEqual(['nightly: apps'])
    expect(await jobs()).toMatchObject([
      { id: 'apps', total: 1, state: 'running' },
      { id: 'devices', total: 1 },
      { id: 'users', total: 2, scope: '["alice","carol"]', version: 7 },
    ])
  })

  it('B12: its cutoffs will stand at the instant of the edit, and never below an iat that was minted before it', async () => {
    await edit('later', { reason: 'r' })
    expect(await jobs()).toMatchObject([{ id: 'later', t: NOW + 40, version: 7, scope: null }])
    await store.db.updateTable('tenants').set({ last_iat: 5 }).execute()
    await edit('now', { reason: 'r' })
    expect(await jobs()).toMatchObject([{ t: NOW + 40 }, { id: 'now', t: NOW }])
  })

  it('the first of two edits is remembered with a decision; asked twice, the scope of one edit is the wider', async () => {
    await edit('one', { reason: 'r', users: ['alice'] })
    await edit('two', { reason: 'r', users: ['alice', 'bob'] }, { reason: 'r' })
    expect(await marked()).toEqual(['alice: one', 'alice-phone: one', 'bob: two'])
    expect(await jobs()).toMatchObject([{ id: 'one' }, { id: 'two', scope: null, total: 3 }])
  })

  it('nothing where nobody can be concerned, and nothing when the edit does not come about', async () => {
    await edit('nobody', { reason: 'r', users: ['carol'], devices: [], apps: ['web'] })
    expect(await jobs()).toEqual([])
    const failed = store.commit({
      ...{ tenant: 't', actor: { kind: 'system', reason: 'test' } },
      async edit(context) {
        await scheduleReevaluation(context, { reason: 'r', users: ['alice'] })
        throw new Error('no')
      },
    })
    await expect(failed).rejects.toThrow('no')
    expect([await jobs(), await marked()]).toEqual([[], []])
    await store.db
      .updateTable('decisions')
      .set({ tokens_until: NOW - 60 })
      .execute()
    await edit('everybody', { reason: 'r' })
    expect(await jobs()).toEqual([])
  })

  it('an edit of which two changes are parts is one job, and begins anew', async () => {
    await edit('one', { reason: 'r', users: ['bob'] })
    await store.db.updateTable('reevaluations').set({ state: 'done', ended_at: NOW }).execute()
    await edit('one', { reason: 'r', users: ['alice'] })
    expect(await jobs()).toMatchObject([{ id: 'one', state: 'running', total: 3 }])
  })
})
