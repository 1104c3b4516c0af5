import { type CutoffKey, pairId } from '@caegis/protocol'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createAttempt } from '../src/issuer/attempt.ts'
import { passFence } from '../src/issuer/fence.ts'
import type { Tenant } from '../src/issuer/tenant.ts'
import { createLog } from '../src/log.ts'
import type { Store } from '../src/store/store.ts'
import { openStore } from './open-store.ts'

const TENANT = 't'
const NOW = 1_700_000_000
let store: Store

beforeAll(async () => {
  store = await openStore({ file: ':memory:', now: () => NOW * 1000, log: createLog('silent') })
  const tenant = { id: TENANT, name: 'tenant', display_name: 'T', epoch: 'e', created_at: 0 }
  await store.db.insertInto('tenants').values(tenant).execute()
})
afterAll(() => store.close())

const pass = (more: object) => {
  const attempt = createAttempt(NOW, { capable: false, acrs: [] }, '')
  attempt.mints.push({ iat: NOW, exp: NOW + 3600, appId: 'api', user: 'alice', ...more })
  return passFence(store, { id: TENANT } as Tenant, attempt)
}
/** The keys of a token that came through these applications. */
const through = (...apps: string[]): CutoffKey[] => apps.map((app) => ({ kind: 'grant', id: pairId('alice', app) }))
const grant = (app: string, columns: object = {}) =>
  store.db
    .insertInto('grants')
    .values({ tenant: TENANT, user_id: 'alice', app_id: app, scopes: '[]', created_at: 0, ...columns })
    .execute()

it('A4: a token that one application gets through another waits for a cutoff of what either holds of the user', async () => {
  // The clock was set back since: the cutoff lies ahead of it.
  await grant('withdrawn', { valid_from: NOW + 1 })
  await grant('asked-again', { access_from: NOW + 2 })
  await grant('claims-changed', { claims_from: NOW + 3 })
  await grant('good')
  expect(await pass({ keys: through('good') })).toMatchObject({ outcome: 'passed' })
  expect(await pass({ keys: through('good', 'withdrawn') })).toEqual({ outcome: 'covered', until: NOW + 1 })
  expect(await pass({ keys: through('asked-again') })).toEqual({ outcome: 'covered', until: NOW + 2 })
  // A9: whether the token will have cp1 does not matter: the new one says what is true now.
  expect(await pass({ keys: through('claims-changed') })).toEqual({ outcome: 'covered', until: NOW + 3 })
})

it('remembers such a token with every application that it came through: until when a cutoff can hit it, and where none may lie below', async () => {
  await grant('first')
  expect(await pass({ keys: through('first'), exp: NOW + 7200 })).toMatchObject({ outcome: 'passed' })
  const rows = await store.db
    .selectFrom('grants')
    .select(['app_id', 'last_iat', 'tokens_until'])
    .where('app_id', 'in', ['first', 'api'])
    .orderBy('app_id')
    .execute()
  expect(rows).toEqual([
    { app_id: 'api', last_iat: NOW, tokens_until: NOW + 7200 },
    { app_id: 'first', last_iat: NOW, tokens_until: NOW + 7200 },
  ])
})
