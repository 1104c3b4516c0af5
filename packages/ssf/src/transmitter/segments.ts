import { type Cutoff, cutoffsOf, EVENT, type Head, packColumns, parseColumns, trustOwn } from '@caegis/protocol'
import { openSegment, type SegmentName, sealSegment } from '../segment.ts'
import { asSet } from './meaning.ts'
import type { Settings } from './options.ts'
import type { SegmentList, SegmentRecord } from './store.ts'

export interface Segments {
  /** Segments and later cutoffs that hold, together, everything that is live where the log stood at `head`. */
  at(head: Omit<Head, 'status'>): Promise<{ segments: SegmentName[]; later: Cutoff[] }>
  /** Leaves out what is over, and makes everything anew where much of the rest is over too, or is said twice. */
  tend(): Promise<void>
}

/** Bytes of a segment: a few of them are fetched at once, each is checked and opened as a whole. */
const FULL_BYTES = 2_097_152
/** Bytes of a row but for its id. */
const ROW_BYTES = 20
/** Seconds for which a cutoff is named after its end: whoever checks a token may be late. */
const LEEWAY = 300
/** Cutoffs an event, on an average, of what a snapshot says by itself: one event may list a thousand. */
const LISTED = 4
/** Events that are looked through one by one; behind more, the live cutoffs say it sooner. */
const MAX_BEHIND = 100_000
/** Other nodes may be first again and again. */
const TURNS = 200

interface Later {
  cutoffs: Cutoff[]
  /** Where they end: before the head, when there are too many for one snapshot. */
  seq: number
  event: string | undefined
  isWhole: boolean
}

/**
 * Cuts what a snapshot holds into segments that never change, in the order of the log: what is new becomes a segment of its own once there is enough of it, and segments of
 * the same size become one of twice that, up to a full one. So a full one stays until everything in it is over, and whoever caches it needs it once.
 *
 *     live cutoffs, read at P ─> segments   P ── events ──> segment ── events ──> segment ── events ── head
 *                                                                                          inline ^
 *
 * The list says up to which event of the log its segments hold everything. Nodes that share a store take turns by its version: who comes too late looks again, and what he
 * has made for nothing is swept away.
 */
export function createSegments({ store, issuer, log, horizon, limits }: Settings): Segments {
  const { segment: full, later: most } = limits
  const trust = trustOwn(issuer)
  let building: Promise<void> | undefined
  let known: { key: string; later: Promise<Later | undefined> } | undefined

  return {
    async at(head) {
      for (let turn = 0; turn < TURNS; turn++) {
        const list = await store.segmentList()
        const later = list && (await after(list, head))
        if (list && later?.isWhole) return { segments: living(list, head.asOf), later: later.cutoffs }
        if (!later && (await store.head()).epoch !== head.epoch) throw new Error('the log was replaced while the snapshot was read')
        building ??= (list && later ? extend(list, later) : rebuild(list)).finally(() => {
          building = undefined
        })
        await building
      }
      throw new Error('the segments of the snapshot cannot be made')
    },
    async tend() {
      const list = await store.segmentList()
      if (!list) return
      const kept = living(list, (await store.head()).asOf)
      const rows = kept.reduce((sum, one) => sum + one.rows, 0)
      if (rows > 2 * list.base + 4 * full) await rebuild(list)
      else if (kept.length < list.segments.length) await save({ ...list, segments: kept }, list)
    },
  }

  /** What the log says since the list; undefined when that is not for the log to say (any more). */
  async function after(list: SegmentList, head: Omit<Head, 'status'>): Promise<Later | undefined> {
    if (list.epoch !== head.epoch || head.seq - list.seq > MAX_BEHIND) return undefined
    if (list.seq >= head.seq) {
      // Another node may have gone on meanwhile; the log itself cannot have gone back.
      const { seq } = list.seq > head.seq ? await store.head() : head
      const [last] = list.seq > 0 ? await store.events(list.seq - 1, 1) : []
      const isSame = last === undefined || (last.seq === list.seq && last.id === list.event)
      return seq >= list.seq && isSame ? { cutoffs: [], seq: list.seq, event: list.event, isWhole: true } : undefined
    }
    // Ids are random: the same event at the head means the same events before it. Many guards that start at once cost one look.
    const [last] = await store.events(head.seq - 1, 1)
    const key = `${list.seq} ${list.event} ${last?.id}`
    if (known?.key !== key) {
      known = { key, later: read(list, head.seq) }
      known.later.catch(() => {
        known = undefined
      })
    }
    return known?.later
  }

  async function read(list: SegmentList, end: number): Promise<Later | undefined> {
    const rows = await store.events(Math.max(0, list.seq - 1), most + 1)
    if (list.seq > 0) {
      const before = rows.shift()
      if (before?.seq !== list.seq || before.id !== list.event) return undefined
    }
    const later: Later = { cutoffs: [], seq: list.seq, event: list.event, isWhole: true }
    for (const row of rows) {
      if (row.seq > end || later.cutoffs.length >= LISTED * most) break
      if (row.seq !== later.seq + 1) return undefined
      const meaning = cutoffsOf(asSet(issuer, row), trust, horizon)
      if (meaning.outcome === 'cutoffs') later.cutoffs.push(...meaning.cutoffs)
      // Cutoffs that are surely there and cannot be read.
      else if (row.type === EVENT.cutoffs) return undefined
      later.seq = row.seq
      later.event = row.id
    }
    if (later.seq === list.seq) return undefined
    later.isWhole = later.seq === end && later.cutoffs.length < LISTED * most
    return later
  }

  async function extend(list: SegmentList, { cutoffs, seq, event }: Later): Promise<void> {
    const { asOf } = await store.head()
    const kept = living(list, asOf)
    let rows = cutoffs
    const joins = (one: SegmentRecord | undefined) => one && one.rows <= rows.length && one.rows + rows.length <= full && one.bytes < FULL_BYTES / 2
    for (let last = kept.at(-1); last && joins(last); last = kept.at(-1)) {
      kept.pop()
      rows = [...(await open(last)), ...rows]
    }
    for await (const made of write([rows], asOf)) kept.push(made)
    await save({ ...list, seq, event, segments: kept }, list)
  }

  async function rebuild(list: SegmentList | undefined): Promise<void> {
    // Position before content: what commits meanwhile is in both.
    const { epoch, seq, asOf } = await store.head()
    const [last] = seq > 0 ? await store.events(seq - 1, 1) : []
    const segments: SegmentRecord[] = []
    for await (const made of write(store.cutoffs(), asOf)) segments.push(made)
    const base = segments.reduce((sum, { rows }) => sum + rows, 0)
    await save({ epoch, seq, event: last?.seq === seq ? last.id : undefined, base, segments }, list)
    log.info('snapshot cut into segments', { cutoffs: base, segments: segments.length, seq })
  }

  async function save(list: Omit<SegmentList, 'version'>, before: SegmentList | undefined): Promise<void> {
    await store.saveSegmentList({ ...list, version: (before?.version ?? 0) + 1 })
  }

  async function* write(batches: AsyncIterable<Cutoff[]> | Iterable<Cutoff[]>, asOf: number): AsyncGenerator<SegmentRecord, void, undefined> {
    let rows: Cutoff[] = []
    let bytes = 0
    for await (const batch of batches) {
      for (const cutoff of batch) {
        if (isOver(cutoff.until, asOf)) continue
        bytes += ROW_BYTES + Buffer.byteLength(JSON.stringify(cutoff.id))
        rows.push(cutoff)
        if (rows.length < full && bytes < FULL_BYTES) continue
        yield await put(rows)
        rows = []
        bytes = 0
      }
    }
    if (rows.length > 0) yield await put(rows)
  }

  async function put(cutoffs: Cutoff[]): Promise<SegmentRecord> {
    const columns = packColumns(cutoffs)
    const { body, ...name } = sealSegment(Buffer.from(JSON.stringify(columns)))
    await store.addSegment(name.digest, body)
    const rows = columns.reduce((sum, [, , , ids]) => sum + ids.length, 0)
    return { ...name, rows, until: cutoffs.reduce((latest, { until }) => Math.max(latest, until), 0) }
  }

  async function open(segment: SegmentRecord): Promise<Cutoff[]> {
    const body = await store.getSegment(segment.digest)
    const plain = body && openSegment(body, segment)
    if (!plain) throw new Error('a segment of the snapshot is missing, or is another')
    return [...parseColumns(JSON.parse(Buffer.from(plain).toString()), issuer)].flat()
  }
}

function living({ segments }: SegmentList, asOf: number): SegmentRecord[] {
  return segments.filter(({ until }) => !isOver(until, asOf))
}

function isOver(until: number, asOf: number): boolean {
  return until + LEEWAY < asOf
}
