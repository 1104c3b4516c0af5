import { EVENT } from '@caegis/protocol'
import fc from 'fast-check'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { readDatabaseUrl } from '../packages/server/src/database-url.ts'
import { createAttempt } from '../packages/server/src/issuer/attempt.ts'
import { nextInstant, passFence } from '../packages/server/src/issuer/fence.ts'
import type { Tenant } from '../packages/server/src/issuer/tenant.ts'
import { createLog } from '../packages/server/src/log.ts'
import type { ChangeContext } from '../packages/server/src/store/change.ts'
import { createStore, type Store } from '../packages/server/src/store/store.ts'
import { type Postgres, query, startPostgres } from './postgres.ts'

const TENANT = 't'
const USERS = ['a', 'b']
const log = createLog('silent')
let postgres: Postgres
let url: string
/** Two servers, whose machines' clocks are five minutes off: one is late, the other early. */
let stores: [Store, Store]

beforeAll(async () => {
  postgres = await startPostgres()
  url = await postgres.database()
  const open = (skew: number) => createStore({ file: ':memory:', database: readDatabaseUrl(url, 12), now: () => Date.now() + skew * 1000, log })
  stores = [await open(-300), await open(300)]
  const { db } = stores[0]
  await db.insertInto('tenants').values({ id: TENANT, name: 'tenant', display_name: 'T', epoch: 'e', created_at: 0 }).execute()
  for (const id of [...USERS, 'c']) {
    const name = { upn: id, upn_key: id, display_name: id, password: null, password_at: null, deleted_at: null }
    await db
      .insertInto('users')
      .values({ tenant: TENANT, id, ...name, enabled: 1, roles: '[]', created_at: 0 })
      .execute()
  }
  await query(url, 'create sequence caegis_order')
})
beforeEach(async () => void (await shift(0)))
afterAll(async () => {
  for (const store of stores ?? []) await store.close()
  await postgres?.close()
})

/** Sets the database's clock, by seconds. */
const shift = (seconds: number) =>
  query(
    url,
    `create or replace function caegis_clock() returns double precision language sql volatile as 'select extract(epoch from clock_timestamp())::float8 + ${seconds}'`,
  )
const databaseNow = async () => Number((await query(url, 'select caegis_clock() as at'))[0]?.at)

/** What the database's own order says: read while the lock is still held. */
const place = async (db: ChangeContext['db']) => Number((await sql<{ at: number }>`select nextval('caegis_order') as at`.execute(db)).rows[0]?.at)

interface Done {
  user: string
  /** `iat` of a token, or where a cutoff stands. */
  at: number
  order: number
  asked: number
  answered: number
}
let steps = 0

/** A token, as the issuer makes one: decided again until it passes. */
async function mint(store: Store, user: string): Promise<Done> {
  const asked = steps++
  let order = 0
  const watched: Store = {
    ...store,
    transaction: (lock, work) =>
      store.transaction(lock, async (tx, clock) => {
        const result = await work(tx, clock)
        order = await place(tx)
        return result
      }),
  }
  for (let iat: number | undefined; ; ) {
    const attempt = createAttempt(iat ?? Math.floor(store.clock()), { capable: false, acrs: [] }, '')
    attempt.mints.push({ iat: attempt.iat, exp: attempt.iat + 3600, appId: '', user })
    const verdict = await passFence(watched, { id: TENANT } as Tenant, attempt)
    if (verdict.outcome === 'passed') return { user, at: attempt.iat, order, asked, answered: steps++ }
    iat = undefined
    if (verdict.outcome !== 'covered') continue
    const next = nextInstant(store.clock(), verdict.until, log)
    iat = next.iat
    await new Promise((resolve) => setTimeout(resolve, next.waitMs))
  }
}

async function revoke(store: Store, user: string): Promise<Done> {
  const asked = steps++
  let order = 0
  const { t } = await store.commit({
    ...{ tenant: TENANT, actor: { kind: 'system', reason: 'test' } },
    async edit({ db, publish }) {
      order = await place(db)
      publish({
        ...{ type: EVENT.sessionRevoked, reason: 'test', subject: { complex: { format: 'complex' } } },
        cut: { kind: 'user', id: user, depth: 'sign-in' },
      })
    },
  })
  return { user, at: t as number, order, asked, answered: steps++ }
}

/** Nothing that was minted before a revocation outlives it, and nothing that is minted after it is hit. */
function judge(mints: readonly Done[], revocations: readonly Done[]): void {
  for (const cut of revocations)
    for (const token of mints.filter(({ user }) => user === cut.user)) {
      const what = JSON.stringify({ token, cut })
      if (token.order < cut.order) expect(token.at, what).toBeLessThanOrEqual(cut.at)
      else expect(token.at, what).toBeGreaterThan(cut.at)
      // And by what callers see.
      if (token.answered < cut.asked) expect(token.order).toBeLessThan(cut.order)
      if (cut.answered < token.asked) expect(token.order).toBeGreaterThan(cut.order)
    }
}

it("A4: mints at two servers race with revocations at both, the machines' clocks five minutes apart each way: the database's order decides", async () => {
  const mints: Promise<Done>[] = []
  const revocations: Promise<Done>[] = []
  for (let i = 0; i < 40; i++) {
    const [one, other] = i % 2 === 0 ? stores : [stores[1], stores[0]]
    const user = USERS[i % 3 === 0 ? 1 : 0] as string
    mints.push(mint(one, user), mint(other, user))
    if (i % 10 === 5) revocations.push(revoke(i % 20 === 5 ? one : other, user))
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  judge(await Promise.all(mints), await Promise.all(revocations))
})

it('A4: whatever becomes of the database’s own clock, forward and back, while both mint and revoke', async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('mint' as const), store: fc.nat(1), user: fc.constantFrom(...USERS) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('revoke' as const), store: fc.nat(1), user: fc.constantFrom(...USERS) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('clock' as const), by: fc.integer({ min: -900, max: 900 }) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const) }) },
  )
  const mints: Done[] = []
  const revocations: Done[] = []
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 30, size: 'max' }), async (all) => {
      let open: Promise<unknown>[] = []
      for (const one of all) {
        if (one.kind === 'mint') open.push(mint(stores[one.store as 0 | 1], one.user).then((done) => mints.push(done)))
        else if (one.kind === 'revoke') open.push(revoke(stores[one.store as 0 | 1], one.user).then((done) => revocations.push(done)))
        else if (one.kind === 'clock') await shift(one.by)
        else {
          await Promise.all(open)
          open = []
        }
      }
      await Promise.all(open)
      // Those of all runs: instants only ever move on.
      judge(mints, revocations)
    }),
    { numRuns: 12, endOnFailure: true },
  )
  expect(mints.length).toBeGreaterThan(30)
})

it('A4(iii): a change that waited for its turn stands at the instant when it came, not when it was asked for', async () => {
  const [one, other] = stores
  const held = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  const first = one.transaction({ tenant: TENANT, shared: true }, async () => {
    held.resolve()
    await gate.promise
  })
  await held.promise
  const waiting = revoke(other, 'c')
  const queued = async () => (await query(url, "select 1 from pg_locks where locktype = 'advisory' and not granted")).length
  await expect.poll(queued, { timeout: 20_000 }).toBe(1)
  const asked = await databaseNow()
  await expect.poll(databaseNow, { timeout: 20_000 }).toBeGreaterThan(asked + 1)
  const now = Math.floor(await databaseNow())
  gate.resolve()
  await first
  expect((await waiting).at).toBeGreaterThanOrEqual(now)
})

it('B13: a change gets its turn in the midst of mints that never cease', async () => {
  let over = false
  let mints = 0
  const lane = async (store: Store) => {
    while (!over && mints < 3000) {
      mints++
      // Always some that share the lock: each is held for longer than it takes to ask for the next.
      await store.transaction({ tenant: TENANT, shared: true }, () => new Promise((resolve) => setTimeout(resolve, 20)))
    }
  }
  const lanes = [...Array(4).keys()].flatMap(() => stores.map(lane))
  await expect.poll(() => mints, { timeout: 20_000 }).toBeGreaterThan(20)
  await revoke(stores[0], 'c')
  over = true
  await Promise.all(lanes)
  expect(mints).toBeLessThan(3000)
})

it('B13: a change that fails takes none of its neighbours with it, and leaves no gap in the log', async () => {
  const bad = (store: Store) =>
    store.commit({
      ...{ tenant: TENANT, actor: { kind: 'system', reason: 'test' } },
      async edit({ db }) {
        await sql`insert into no_such_table values (1)`.execute(db)
      },
    })
  const before = (await stores[0].position(TENANT)).seq
  const ended = await Promise.allSettled(
    Array.from({ length: 12 }, (_, i) => (i % 3 === 0 ? bad : (store: Store) => revoke(store, 'c'))(stores[(i % 2) as 0 | 1])),
  )
  expect(ended.map(({ status }) => status)).toEqual(ended.map((_, i) => (i % 3 === 0 ? 'rejected' : 'fulfilled')))
  const rows = await stores[1].db.selectFrom('events').select('seq').where('seq', '>', before).orderBy('seq').execute()
  expect(rows.map(({ seq }) => seq)).toEqual(Array.from({ length: 8 }, (_, i) => before + 1 + i))
})
