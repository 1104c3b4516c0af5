import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SegmentList } from '@caegis/ssf/transmitter'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createSegmentStore, sweepSegments } from '../src/signals/segment-store.ts'
import { createSecrets } from '../src/store/secrets.ts'
import type { Store } from '../src/store/store.ts'
import { openStore } from './open-store.ts'

const log = { debug() {}, info() {}, warn() {}, error() {} }
const secrets = createSecrets('x'.repeat(32))
let data: string
let now: number
/** Two nodes that share one database. */
let nodes: [Store, Store]

const open = () => openStore({ file: join(data, 'caegis.db'), now: () => now, log })
const at = (node: 0 | 1, tenant = 'one') => createSegmentStore(nodes[node], secrets, tenant)
const listOf = (version: number, ...digests: string[]): SegmentList => ({
  ...{ version, epoch: 'e', seq: 1, event: 'x', base: 1 },
  segments: digests.map((digest) => ({ digest, bytes: 3, key: 'a-key-that-opens-it', rows: 1, until: 1e10 })),
})
const stored = async () => (await nodes[0].db.selectFrom('segments').select('digest').orderBy('digest').execute()).map(({ digest }) => digest)
const sweep = () => sweepSegments(nodes[1], () => false)

beforeEach(async () => {
  data = mkdtempSync(join(tmpdir(), 'caegis-test-'))
  now = 1_800_000_000_000
  nodes = [await open(), await open()]
})
afterEach(async () => {
  for (const node of nodes) await node.close()
  rmSync(data, { recursive: true, force: true })
})

describe('segments in the store', () => {
  it('B4: what one node has made and named, every node finds; of two who go on from the same list one is told no', async () => {
    expect(await at(1).segmentList()).toBeUndefined()
    const body = Uint8Array.from([0, 255, 128])
    await at(0).addSegment('a', body)
    await at(1).addSegment('b', body)
    const both = [at(0).saveSegmentList(listOf(1, 'a')), at(1).saveSegmentList(listOf(1, 'b'))]
    expect((await Promise.all(both)).sort()).toEqual([false, true])
    const first = await at(1).segmentList()
    expect(first).toEqual(await at(0).segmentList())
    expect([...((await at(1).getSegment('a')) as Uint8Array)]).toEqual([0, 255, 128])
    expect(await at(0).saveSegmentList(listOf(1, 'b'))).toBe(false)
    expect(await at(0).saveSegmentList(listOf(3, 'b'))).toBe(false)
    expect(await at(1).segmentList()).toEqual(first)
    expect(await at(1).saveSegmentList(listOf(2, 'a', 'b'))).toBe(true)
    expect(await at(0).segmentList()).toEqual(listOf(2, 'a', 'b'))
  })

  it('E7: the keys lie sealed, and another tenant sees nothing', async () => {
    await at(0).addSegment('a', new Uint8Array(3))
    await at(0).saveSegmentList(listOf(1, 'a'))
    const { sealed } = await nodes[0].db.selectFrom('segment_lists').select('sealed').executeTakeFirstOrThrow()
    expect(Buffer.from(sealed).toString('latin1')).not.toContain('a-key')
    expect(await at(1, 'two').getSegment('a')).toBeUndefined()
    expect(await at(1, 'two').segmentList()).toBeUndefined()
    await expect(at(1, 'two').saveSegmentList(listOf(1, 'a'))).rejects.toThrow('not stored')
    expect(await at(1, 'two').segmentList()).toBeUndefined()
  })

  it('stay for an hour after the last list that named them, and as long as one does', async () => {
    for (const digest of ['a', 'b', 'c']) await at(0).addSegment(digest, new Uint8Array(3))
    await at(0).saveSegmentList(listOf(1, 'a', 'b'))
    now += 3_500_000
    await at(1).saveSegmentList(listOf(2, 'b'))
    await sweep()
    expect(await stored()).toEqual(['a', 'b', 'c'])
    now += 200_000
    // One that nobody has ever named.
    await sweep()
    expect(await stored()).toEqual(['a', 'b'])
    now += 3_500_000
    await sweep()
    expect(await stored()).toEqual(['b'])
    now += 100_000_000
    await sweep()
    expect(await stored()).toEqual(['b'])
    await at(0).saveSegmentList(listOf(3))
    now += 3_700_000
    for (let i = 0; i < 50; i++) await at(0, `t${i}`).addSegment(`old-${i}`, new Uint8Array(1))
    now += 3_700_000
    await sweep()
    expect(await stored()).toEqual([])
  })
})
