import { createCipheriv, randomBytes } from 'node:crypto'
import { type Cutoff, cutoffPlace, cutoffsOf, EVENT, parseColumns, parseCutoffs, trustOwn } from '@caegis/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openSegment, type SegmentName, sealSegment } from '../src/segment.ts'
import {
  createTransmitter,
  type EventRow,
  type MemoryStore,
  type SegmentList,
  type SegmentRecord,
  type Transmitter,
  type TransmitterLimits,
} from '../src/transmitter/index.ts'
import { asSet } from '../src/transmitter/meaning.ts'
import { endFollowers, guardOf } from './followers.ts'
import { BASE, createLoop, ISSUER, type Loop, merge, revoke, snapshotOf, type Table, truth, until } from './loop.ts'

endFollowers()

const isSegment = (path: string) => path.includes('/segments/')
const namesIn = (snapshot: string): SegmentName[] =>
  snapshot
    .split('\n')
    .filter((line) => line.startsWith('{"segments"'))
    .flatMap((line) => JSON.parse(line).segments)
    .map(([digest, bytes, key]) => ({ digest, bytes, key }))
const inlineIn = (snapshot: string): Cutoff[] =>
  snapshot
    .split('\n')
    .filter((line) => line.startsWith('{"cutoffs"'))
    .flatMap((line) => parseCutoffs(JSON.parse(line).cutoffs, ISSUER))

/** Everything that a snapshot of one node tells, its segments being fetched from another. */
async function contentOf(manifest: Pick<Loop, 'transmitter'>, { segment }: Transmitter): Promise<Table> {
  const table: Table = new Map()
  const text = await snapshotOf(manifest)
  for (const name of namesIn(text)) {
    const { status, body } = await segment(name.digest)
    expect(status).toBe(200)
    const plain = openSegment(body as Uint8Array, name)
    expect((body as Uint8Array).byteLength).toBe(name.bytes)
    for (const batch of parseColumns(JSON.parse(Buffer.from(plain as Uint8Array).toString()), ISSUER)) for (const one of batch) merge(table, one)
  }
  for (const one of inlineIn(text)) merge(table, one)
  return table
}

async function listOf({ store }: Loop): Promise<SegmentList> {
  const list = await store.segmentList()
  if (!list) throw new Error('there is no list of segments')
  return list
}

function nodeOf(store: MemoryStore, loop: Loop, limits: Partial<TransmitterLimits>): Transmitter {
  return createTransmitter({ issuer: ISSUER, base: BASE, jwksUri: 'https://host.test/acme/keys', store, limits, sign: loop.sign })
}

/** The latest second of each key: of what can still hit a token, or of all that was ever said. */
function secondsOf(events: readonly EventRow[], from: number): Map<string, number> {
  const found = new Map<string, number>()
  for (const row of events) {
    const meaning = cutoffsOf(asSet(ISSUER, row), trustOwn(ISSUER), 100_800)
    if (meaning.outcome !== 'cutoffs') throw new Error('an event that means nothing')
    for (const one of meaning.cutoffs) if (one.until > from) found.set(cutoffPlace(one), Math.max(one.t, found.get(cutoffPlace(one)) ?? 0))
  }
  return found
}

describe('segments of a snapshot', () => {
  const wrong: [string, (body: Buffer, loop: Loop) => Response | Promise<Response>][] = [
    ['poisoned', (body) => new Response(Buffer.concat([body.subarray(0, -1), Buffer.from([(body.at(-1) as number) ^ 1])]))],
    ['cut short', (body) => new Response(body.subarray(0, -1) as Buffer<ArrayBuffer>)],
    ['too long', (body) => new Response(Buffer.concat([body, Buffer.from('x')]))],
    ['without an end', () => new Response(new ReadableStream({ pull: (to) => to.enqueue(new Uint8Array(65_536)) }))],
    ['empty', () => new Response('')],
    ['another that is as large', (body) => new Response(randomBytes(body.length))],
    ['a page that says all is well', () => new Response('<html>', { headers: { 'content-type': 'text/html' } })],
    ['missing', () => new Response(null, { status: 404 })],
    ['not to be had', () => new Response(null, { status: 503 })],
    ['broken off', () => new Response(new ReadableStream({ start: (to) => to.error(new Error('reset')) }))],
    ['that of another tenant, sealed the same way', () => new Response(sealSegment(Buffer.from('[]')).body as Uint8Array<ArrayBuffer>)],
  ]
  it.each(wrong)('B3, B4: one that is %s hydrates nobody; the right one does', async (_, change) => {
    const loop = createLoop()
    loop.store.commit(revoke('alice'))
    let bad = 4
    loop.intercept = async ({ path }, next) => {
      const response = await next()
      return isSegment(path) && bad-- > 0 ? change(Buffer.from(await response.arrayBuffer()), loop) : response
    }
    const guard = guardOf(loop)
    await until(() => bad <= 2)
    expect(guard.heads).toEqual([])
    expect(guard.table.size).toBe(0)
    expect(guard.follower.status().position).toBeUndefined()
    await until(() => guard.heads.length > 0)
    expect(guard.table.has('user alice')).toBe(true)
  })

  it('B4: a cache that holds another is asked around, once and without a word', async () => {
    const loop = createLoop()
    loop.store.commit(revoke('alice'))
    loop.intercept = async ({ path, headers }, next) =>
      isSegment(path) && headers.get('cache-control') !== 'no-cache' ? new Response('what was here before') : next()
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    expect(guard.reasons).toEqual([])
    expect(guard.table.has('user alice')).toBe(true)
    expect(loop.requests.filter(({ path }) => isSegment(path))).toHaveLength(2)
  })

  it('B4: genuine segments that cannot be read, or do not open, hydrate nobody', async () => {
    for (const plain of [
      '',
      '{}',
      '[1]',
      '[["user","access",1,["a"],[0],[]]]',
      '[["group","access",1,["a"],[0],[9]]]',
      '[["user","access",1,["a"],[-2],[9]]]',
    ]) {
      const loop = createLoop()
      const { body, ...name } = sealSegment(Buffer.from(plain))
      await loop.store.addSegment(name.digest, body)
      const head = await loop.store.head()
      const list = { version: 1, epoch: head.epoch, seq: 0, event: undefined, base: 1, segments: [{ ...name, rows: 1, until: 1e12 }] }
      await loop.store.saveSegmentList(list)
      const guard = guardOf(loop)
      await until(() => guard.reasons.includes('snapshot refused (a segment cannot be read)'))
      expect(guard.heads).toEqual([])
    }
    const loop = createLoop()
    loop.store.commit(revoke('alice'))
    await snapshotOf(loop)
    const list = await loop.store.segmentList()
    const other = { ...(list as NonNullable<typeof list>), version: 2 }
    other.segments = other.segments.map((one) => ({ ...one, key: randomBytes(32).toString('base64url') }))
    await loop.store.saveSegmentList(other)
    const guard = guardOf(loop)
    await until(() => guard.reasons.includes('snapshot refused (a segment is another)'))
    expect(guard.heads).toEqual([])
  })

  it('B4: whoever was given a key, as every guard is, makes no other segment with it', async () => {
    const loop = createLoop()
    loop.store.commit(revoke('alice'))
    await snapshotOf(loop)
    const [{ key }] = (await listOf(loop)).segments as [SegmentRecord]
    const cipher = createCipheriv('aes-256-gcm', Buffer.from(key, 'base64url'), Buffer.alloc(12))
    const forged = Buffer.concat([cipher.update('[]'), cipher.final(), cipher.getAuthTag()])
    loop.intercept = ({ path }, next) => (isSegment(path) ? new Response(forged) : next())
    const guard = guardOf(loop)
    await until(() => guard.reasons.includes('snapshot refused (a segment is another)'))
    expect(guard.heads).toEqual([])
  })

  it('E7: tell nobody anything without the snapshot, and no token goes there', async () => {
    const loop = createLoop()
    loop.store.commit(...Array.from({ length: 50 }, (_, i) => revoke(`secret-name-${i}`)))
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    expect(guard.table.size).toBe(50)
    const asked = loop.requests.filter(({ path }) => isSegment(path))
    expect(asked).toHaveLength(1)
    expect([...(asked[0]?.headers.keys() ?? [])]).toEqual(['accept'])
    const [{ digest, key }] = (await listOf(loop)).segments as [SegmentRecord]
    const { status, headers, body } = await loop.transmitter.segment(digest)
    expect([status, headers['cache-control'], headers.etag]).toEqual([200, 'public, max-age=86400, immutable', `"${digest}"`])
    const bytes = Buffer.from(body as Uint8Array)
    for (const told of ['secret-name', 'user', key]) expect(bytes.includes(told)).toBe(false)
    expect(bytes.includes(Buffer.from(key, 'base64url'))).toBe(false)
    // One key opens one segment.
    loop.store.commit(...Array.from({ length: 1100 }, (_, i) => revoke(`more-${i}`)))
    await snapshotOf(loop)
    const all = (await listOf(loop)).segments
    expect(new Set(all.map((one) => one.key)).size).toBe(all.length)
    for (const asking of [`"${digest}"`, `W/"${digest}"`, `"x", "${digest}"`]) {
      expect(await loop.transmitter.segment(digest, asking)).toMatchObject({ status: 304, headers: { etag: `"${digest}"` } })
    }
    expect((await loop.transmitter.segment(digest, '"x"')).status).toBe(200)
    for (const name of ['', '..', `${digest}x`, 'A'.repeat(43), '%2e%2e']) expect((await loop.transmitter.segment(name)).status).toBe(404)
  })

  it('B4: whatever is committed, read and tended in between, and by whichever node: segments and the rest are the live cutoffs', async () => {
    type Step =
      | { kind: 'commit'; people: number[]; lasts: number }
      | { kind: 'list'; people: number[] }
      | { kind: 'read' | 'tend' | 'restore'; node: 0 | 1 }
      | { kind: 'wait' }
    const people = fc.array(fc.nat(99), { minLength: 1, maxLength: 9, size: 'max' })
    const node = fc.constantFrom(0 as const, 1 as const)
    const step: fc.Arbitrary<Step> = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('commit' as const), people, lasts: fc.constantFrom(100, 5000, 100_800) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('list' as const), people }) },
      { weight: 5, arbitrary: fc.record({ kind: fc.constant('read' as const), node }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('tend' as const), node }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('restore' as const), node }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('wait' as const) }) },
    )
    let segments = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async (steps) => {
        let clock = 1_800_000_000_000
        const limits = { segment: 12, later: 4 }
        const loop = createLoop({ now: () => clock, limits })
        const ever: EventRow[] = []
        const nodes = [loop.transmitter, nodeOf(loop.store, loop, limits)] as const
        for (const one of steps) {
          clock += 1000
          const second = clock / 1000
          if (one.kind === 'commit')
            ever.push(...loop.store.commit(...one.people.map((id) => revoke(`u${id}`, { t: second, until: second + one.lasts }))))
          if (one.kind === 'list') {
            const cutoffs = one.people.map((id) => ['user', `u${id}`, second, 'claims', second + 100])
            const subject = { complex: { format: 'complex' as const, tenant: { format: 'opaque' as const, id: 't' } } }
            ever.push(...loop.store.commit({ type: EVENT.cutoffs, subject, payload: { cutoffs } as never }))
          }
          if (one.kind === 'tend') await nodes[one.node].tidy()
          if (one.kind === 'restore') loop.store.restore(Math.max(0, (await loop.store.head()).seq - 3))
          if (one.kind === 'wait') clock += 3_600_000
          if (one.kind !== 'read') continue
          const found = await contentOf({ transmitter: nodes[one.node] }, nodes[one.node === 0 ? 1 : 0])
          const most = secondsOf(ever, 0)
          // An older cutoff of the same key may last longer: a guard may know either.
          for (const [key, t] of secondsOf(await loop.store.events(0, 10_000), second))
            expect([key, (found.get(key)?.t ?? -1) >= t]).toEqual([key, true])
          for (const [key, { t }] of found) expect([key, t <= (most.get(key) ?? -1)]).toEqual([key, true])
          segments = Math.max(segments, (await loop.store.segmentList())?.segments.length ?? 0)
        }
      }),
      { numRuns: 40 },
    )
    expect(segments).toBeGreaterThan(3)
  })

  it('a full one stays as it is while the log goes on, and goes when all of it is over', async () => {
    let clock = 1_800_000_000_000
    const limits = { segment: 64, later: 4 }
    const loop = createLoop({ now: () => clock, limits })
    const seen = new Map<string, number>()
    const written = new Map<string, number>()
    let most = 0
    for (let i = 0; i < 600; i++) {
      clock += 1000
      loop.store.commit(revoke(`u${i}`, { t: clock / 1000, until: clock / 1000 + 400 }))
      if (i % 3 > 0) continue
      for (const { digest } of namesIn(await snapshotOf(loop))) seen.set(digest, (seen.get(digest) ?? 0) + 1)
      const { segments } = (await loop.store.segmentList()) as { segments: SegmentRecord[] }
      most = Math.max(most, segments.length)
      for (const { digest, rows } of segments) {
        expect(rows).toBeLessThanOrEqual(64)
        written.set(digest, rows)
      }
    }
    // 400 live in pieces of at least 32, those that are growing, and one that is going.
    expect(most).toBeLessThan(22)
    const often = [...seen.values()].filter((count) => count > 50)
    expect(often.length).toBeGreaterThan(4)
    // On its way to a full one nothing is cut again and again.
    expect([...written.values()].reduce((sum, rows) => sum + rows, 0)).toBeLessThan(600 * 6)
    clock += 3_600_000
    await loop.transmitter.tidy()
    expect((await loop.store.segmentList())?.segments).toEqual([])
    expect(namesIn(await snapshotOf(loop))).toEqual([])
  })

  it('what is said again and again is made anew at some time, so that a snapshot is not much longer than what is live', async () => {
    const limits = { segment: 32, later: 4 }
    const loop = createLoop({ limits })
    for (let i = 0; i < 400; i++) {
      loop.store.commit(revoke(`u${i % 10}`))
      if (i % 20 === 0) await snapshotOf(loop)
      if (i % 100 === 0) await loop.transmitter.tidy()
    }
    await loop.transmitter.tidy()
    const { segments } = (await loop.store.segmentList()) as { segments: SegmentRecord[] }
    expect(segments.reduce((sum, { rows }) => sum + rows, 0)).toBeLessThanOrEqual(150)
    expect(await contentOf(loop, loop.transmitter)).toEqual(await truth(loop.store))
  })

  it('B5: of a log that lost its end without saying so, nothing is left out', async () => {
    const loop = createLoop({
      limits: { later: 3 },
      wrap: (store) => ({ ...store, head: async () => ({ ...(await store.head()), epoch: 'always' }) }),
    })
    for (let i = 0; i < 20; i++) loop.store.commit(revoke(`u${i}`))
    await snapshotOf(loop)
    for (const [lost, more] of [
      [20, 20],
      [15, 60],
      [7, 200],
      [0, 20],
    ] as const) {
      loop.store.restore(lost)
      for (let i = 0; i < more; i++) loop.store.commit(revoke(`after-${lost}-${i}`))
      expect([...(await contentOf(loop, loop.transmitter)).keys()].sort()).toEqual(
        expect.arrayContaining([...(await truth(loop.store)).keys()].sort()),
      )
    }
    // The same place once more, in between what no segment holds yet.
    const { seq } = await loop.store.head()
    for (const name of ['lost', 'found']) {
      loop.store.restore(seq)
      loop.store.commit(revoke(name))
      expect((await contentOf(loop, loop.transmitter)).has(`user ${name}`)).toBe(true)
    }
    // Cut back below the list, and not refilled.
    loop.store.restore(2)
    expect([...(await contentOf(loop, loop.transmitter)).keys()]).toEqual(expect.arrayContaining([...(await truth(loop.store)).keys()]))
  })

  it('a log that was cut, or that has gone on for long, is not read again: the live cutoffs are', async () => {
    let scans = 0
    const loop = createLoop({
      limits: { later: 10 },
      wrap: (store) => ({
        ...store,
        cutoffs() {
          scans++
          return store.cutoffs()
        },
      }),
    })
    loop.store.commit(revoke('alice'))
    await snapshotOf(loop)
    for (let i = 0; i < 9; i++) loop.store.commit(revoke(`u${i}`))
    await snapshotOf(loop)
    expect(scans).toBe(1)
    loop.store.cut(6)
    loop.store.commit(revoke('dave'))
    expect(await contentOf(loop, loop.transmitter)).toEqual(await truth(loop.store))
    expect(scans).toBe(2)
    // All of it: nothing new stands there, and nothing is looked for.
    loop.store.cut(100)
    await snapshotOf(loop)
    expect(scans).toBe(2)
    for (let i = 0; i < 11; i++) loop.store.commit(...Array.from({ length: 10_000 }, () => revoke('bob')))
    const text = await snapshotOf(loop)
    expect(scans).toBe(3)
    expect(namesIn(text).length).toBe(1)
  })

  it('a thousand guards that start at once cost one look into the log, and one making', async () => {
    let looks = 0
    let made = 0
    const loop = createLoop({
      wrap: (store) => ({
        ...store,
        events(after, limit) {
          if (limit > 1) looks++
          return store.events(after, limit)
        },
        addSegment(digest, body) {
          made++
          return store.addSegment(digest, body)
        },
      }),
    })
    loop.store.commit(revoke('alice'))
    const all = await Promise.all(Array.from({ length: 100 }, () => snapshotOf(loop)))
    expect(new Set(all.flatMap(namesIn).map(({ digest }) => digest)).size).toBe(1)
    expect(made).toBe(1)
    loop.store.commit(revoke('bob'), revoke('carol'))
    await Promise.all(Array.from({ length: 100 }, () => snapshotOf(loop)))
    expect(looks).toBe(1)
  })

  it('a resync fetches what is new only, and merges', async () => {
    const loop = createLoop({ limits: { later: 2 } })
    loop.store.commit(...Array.from({ length: 40 }, (_, i) => revoke(`u${i}`)))
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    let once = true
    loop.alter = async ({ path }, response) => {
      if (!path.includes('/poll/') || !once) return response
      once = false
      const body = (await response.json()) as { caegis_head: { seq: number } }
      return Response.json({ ...body, sets: {}, caegis_head: { ...body.caegis_head, seq: 1 } })
    }
    loop.store.commit(...Array.from({ length: 5 }, (_, i) => revoke(`v${i}`)))
    await until(() => guard.reasons.includes('the log went backwards') && guard.told.at(-1) === 'synced')
    await until(() => guard.table.size === 45)
    const asked = loop.requests.filter(({ path }) => isSegment(path)).map(({ path }) => path)
    expect(new Set(asked).size).toBe(asked.length)
    expect(asked.length).toBeGreaterThan(1)
  })
})
