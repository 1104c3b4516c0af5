import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Cutoff, EVENT, parseColumns, parseCutoffs } from '@caegis/protocol'
import { createTransmitter } from '@caegis/ssf/transmitter'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readDatabaseUrl } from '../packages/server/src/database-url.ts'
import { createLog } from '../packages/server/src/log.ts'
import { sweepSegments } from '../packages/server/src/signals/segment-store.ts'
import { createStreamStore, liveCutoffs } from '../packages/server/src/signals/stream-store.ts'
import { createSecrets } from '../packages/server/src/store/secrets.ts'
import { createStore, type Store } from '../packages/server/src/store/store.ts'
import { openSegment } from '../packages/ssf/src/segment.ts'
import { type Postgres, startPostgres } from './postgres.ts'

const ISSUER = 'https://id.test/contoso/v2.0'
const TENANT = 'tenant-1'
const caller = { receiver: 'files-api', audience: 'api://files', scopes: new Set(['ssf.manage']) }
const log = createLog('silent')
const secrets = createSecrets('x'.repeat(32))

describe.each(['SQLite', 'PostgreSQL'])('segments of nodes that share %s', (engine) => {
  let postgres: Postgres | undefined
  let data: string
  let stores: Store[]
  let now = Date.now()
  beforeAll(async () => {
    data = mkdtempSync(join(tmpdir(), 'caegis-test-'))
    postgres = engine === 'PostgreSQL' ? await startPostgres() : undefined
    const url = await postgres?.database()
    const open = () => createStore({ file: join(data, 'caegis.db'), now: () => now, log, ...(url && { database: { ...readDatabaseUrl(url, 8) } }) })
    // One after the other: the first makes the tables.
    stores = [await open(), await open(), await open()]
    const epoch = 'e'
    await (stores[0] as Store).db
      .insertInto('tenants')
      .values({ id: TENANT, name: 'contoso', display_name: 'Contoso', epoch, created_at: 1 })
      .execute()
  }, 60_000)
  afterAll(async () => {
    for (const store of stores) await store.close()
    await postgres?.close()
    rmSync(data, { recursive: true, force: true })
  })

  const nodeOf = (store: Store) =>
    createTransmitter({
      ...{ issuer: ISSUER, base: 'https://id.test/contoso/ssf', jwksUri: 'https://id.test/keys', limits: { later: 5, segment: 40, streams: 1000 } },
      store: createStreamStore(store, secrets, TENANT, ISSUER, () => {}, 100_800),
      sign: async () => 'not looked at',
    })
  /** What a snapshot of one node holds, the segments of it being handed out by another. */
  async function contentOf(from: Store, other: Store): Promise<Map<string, number>> {
    const node = nodeOf(from)
    const { body } = await node.create(caller, { caegis: { subjects: 'complex', alg: 'ES256', guard: true } })
    const { stream_id: id } = body as { stream_id: string }
    const cutoffs: Cutoff[] = []
    for await (const text of (await node.snapshot(caller, id)).body as AsyncIterable<string>) {
      const line = JSON.parse(text)
      if (line.cutoffs) cutoffs.push(...parseCutoffs(line.cutoffs, ISSUER))
      for (const [digest, bytes, key] of line.segments ?? []) {
        const answer = await nodeOf(other).segment(digest)
        expect(answer.status).toBe(200)
        const plain = openSegment(answer.body as Uint8Array, { digest, bytes, key }) as Uint8Array
        cutoffs.push(...[...parseColumns(JSON.parse(Buffer.from(plain).toString()), ISSUER)].flat())
      }
    }
    await node.remove(caller, id)
    const found = new Map<string, number>()
    for (const { kind, id: whose, t } of cutoffs) found.set(`${kind} ${whose}`, Math.max(t, found.get(`${kind} ${whose}`) ?? 0))
    return found
  }
  async function live(): Promise<Map<string, number>> {
    const found = new Map<string, number>()
    for await (const batch of liveCutoffs(stores[0] as Store, TENANT, ISSUER)) for (const { kind, id, t } of batch) found.set(`${kind} ${id}`, t)
    return found
  }
  const revoke = (store: Store, token: string) =>
    store.commit({
      tenant: TENANT,
      actor: { kind: 'system', reason: 'test' },
      async edit({ publish }) {
        const second = Math.floor(now / 1000)
        const cut = { kind: 'token', id: token, iat: second - 5, exp: second + 3600, depth: 'access' } as const
        publish({ type: EVENT.sessionRevoked, subject: { complex: { format: 'jwt_id', iss: ISSUER, jti: token } }, reason: 'test', cut })
      },
    })

  it('B4: whoever commits, makes the snapshot and hands out its segments, and however many at once: nothing is missing', async () => {
    let count = 0
    for (let round = 0; round < 6; round++) {
      const commits = Array.from({ length: 9 }, () => revoke(stores[count % 3] as Store, `token-${count++ % 40}`))
      // While that goes on: what was committed before must be in each of them.
      const before = await live()
      const found = await Promise.all([0, 1, 2].map((i) => contentOf(stores[i] as Store, stores[(i + 1) % 3] as Store)))
      for (const one of found) for (const [key, t] of before) expect([key, (one.get(key) ?? -1) >= t]).toEqual([key, true])
      await Promise.all(commits)
      expect(await contentOf(stores[round % 3] as Store, stores[(round + 1) % 3] as Store)).toEqual(await live())
      now += 2000
    }
    const rows = await (stores[0] as Store).db.selectFrom('segments').select(['digest', 'left_at']).execute()
    expect(rows.filter(({ left_at: left }) => left === null).length).toBeGreaterThan(0)
    expect(rows.filter(({ left_at: left }) => left !== null).length).toBeGreaterThan(0)
  })

  it('a day later all of it is swept, and a snapshot can be made again', async () => {
    const { db } = stores[1] as Store
    await db.updateTable('segments').set({ left_at: 1 }).where('left_at', 'is not', null).execute()
    await sweepSegments(stores[2] as Store, () => false)
    expect((await db.selectFrom('segments').select('left_at').execute()).every(({ left_at: left }) => left === null)).toBe(true)
    expect(await contentOf(stores[1] as Store, stores[0] as Store)).toEqual(await live())
  })
})
