import { randomUUID } from 'node:crypto'
import { type Cutoff, cutoffPlace, cutoffsOf, mergeCutoffs, type StreamStatus, trustOwn } from '@caegis/protocol'
import { asSet } from './meaning.ts'
import type { ControlRow, DeadLetter, DeliveryRecord, EventRow, SegmentList, StreamRecord, TransmitterStore } from './store.ts'

/** An event to commit; what is left out is filled in. */
export type NewEvent = Pick<EventRow, 'type' | 'subject'> & Partial<Pick<EventRow, 'id' | 'txn' | 'at' | 'payload' | 'from'>>

/** A store that forgets everything when the process ends: for tests, and for trying the package. */
export interface MemoryStore extends TransmitterStore {
  /** Appends events as one change. */
  commit(...events: NewEvent[]): EventRow[]
  setStatus(streamId: string, status: StreamStatus, reason?: string): void
  /** Gives the log a new epoch and, as a restore would, cuts it back to a position. */
  restore(seq: number): void
  /** Cuts it back and says so to nobody, as a restore from an older copy does. */
  lose(afterSeq: number): void
  /** Forgets the rows below a position. */
  cut(belowSeq: number): void
  /** Streams of every receiver. */
  streams(): StreamRecord[]
  /** Everything that was recorded. */
  deliveries(): DeliveryRecord[]
}

export interface MemoryStoreOptions {
  /** Whose cutoffs the snapshot holds. */
  issuer: string
  /** Milliseconds. */
  now?: () => number
  /** Seconds after which a cutoff that names no end may be forgotten; default 28 h. */
  horizon?: number
}

const MAX_LETTERS = 10_000
/** Milliseconds for which a segment is kept that no list names any more. */
const SEGMENT_KEPT = 3_600_000
const MAX_RECORDED = 100_000

export function createMemoryStore({ issuer, now = Date.now, horizon = 100_800 }: MemoryStoreOptions): MemoryStore {
  let epoch: string = randomUUID()
  let log: EventRow[] = []
  /** How many rows were cut off. */
  let gone = 0
  const last = () => gone + log.length
  const streams = new Map<string, StreamRecord>()
  const controls = new Map<string, ControlRow[]>()
  const letters = new Map<string, DeadLetter[]>()
  const recorded: DeliveryRecord[] = []
  let list: SegmentList | undefined
  const segments = new Map<string, { body: Uint8Array; leftAt?: number }>()
  const waiting = new Set<{ after: number; wake: () => void }>()
  const wake = (seq = Number.POSITIVE_INFINITY) => {
    for (const one of waiting) if (one.after < seq) one.wake()
  }

  return {
    commit(...events) {
      const txn = randomUUID()
      const at = Math.floor(now() / 1000)
      const rows = events.map((event, i): EventRow => ({ id: randomUUID(), txn, at, payload: {}, ...event, seq: last() + 1 + i }))
      log.push(...rows)
      wake(last())
      return rows
    },
    setStatus(id, status, reason) {
      const stream = streams.get(id)
      if (!stream) return
      stream.status = status
      if (reason === undefined) delete stream.statusReason
      else stream.statusReason = reason
      wake()
    },
    restore(seq) {
      epoch = randomUUID()
      this.lose(seq)
    },
    lose(seq) {
      log = log.slice(0, Math.max(0, seq - gone))
      for (const stream of streams.values()) {
        stream.acked = Math.min(stream.acked, seq)
        stream.ackedAhead = stream.ackedAhead.filter((one) => one <= seq)
      }
      wake()
    },
    cut(belowSeq) {
      const kept = log.filter((row) => row.seq >= belowSeq)
      gone += log.length - kept.length
      log = kept
    },
    streams: () => structuredClone([...streams.values()]),
    deliveries: () => structuredClone(recorded),

    head: async () => ({ epoch, seq: last(), asOf: now() / 1000 }),
    events: async (after, limit) => structuredClone(log.slice(Math.max(0, after - gone), Math.max(0, after - gone) + limit)),
    async positions(ids) {
      const wanted = new Set(ids)
      return new Map(log.filter((row) => wanted.has(row.id)).map((row) => [row.id, row.seq]))
    },
    wait(after, signal) {
      if (last() > after || signal.aborted) return Promise.resolve()
      return new Promise((resolve) => {
        const one = {
          after,
          wake() {
            waiting.delete(one)
            signal.removeEventListener('abort', one.wake)
            resolve()
          },
        }
        waiting.add(one)
        signal.addEventListener('abort', one.wake)
      })
    },

    async createStream(record) {
      streams.set(record.id, structuredClone(record))
    },
    getStream: async (id) => structuredClone(streams.get(id)),
    listStreams: async (receiver) => structuredClone([...streams.values()].filter((stream) => stream.receiver === receiver)),
    allStreams: async (method) =>
      structuredClone([...streams.values()].filter((stream) => method === undefined || stream.delivery.method === method)),
    async updateStream(id, decide) {
      const stream = streams.get(id)
      if (!stream) return undefined
      const change = decide(structuredClone(stream))
      if (change) {
        const { config, progress, control, replaces } = structuredClone(change)
        Object.assign(stream, config, progress, { acked: Math.max(stream.acked, progress?.acked ?? 0) })
        for (const name of Object.keys(stream) as (keyof StreamRecord)[]) if (stream[name] === undefined) delete stream[name]
        const others = (controls.get(id) ?? []).filter((one) => one.type !== replaces)
        controls.set(id, control ? [...others, control] : others)
        wake()
      }
      return structuredClone(stream)
    },
    async deleteStream(id) {
      streams.delete(id)
      controls.delete(id)
      letters.delete(id)
      wake()
    },
    async saveProgress(id, { acked = 0, ackedAhead, ...progress }, of = epoch) {
      const stream = streams.get(id)
      if (!stream) return
      Object.assign(stream, structuredClone(progress))
      if (of !== epoch) return
      stream.acked = Math.max(stream.acked, acked)
      if (ackedAhead) stream.ackedAhead = [...ackedAhead]
    },
    async addControl(id, control) {
      if (!streams.has(id)) return
      controls.set(id, [...(controls.get(id) ?? []).filter((one) => one.id !== control.id), structuredClone(control)])
      wake()
    },
    listControls: async (id) => structuredClone(controls.get(id) ?? []),
    async removeControls(id, ids) {
      controls.set(
        id,
        (controls.get(id) ?? []).filter((control) => !ids.includes(control.id)),
      )
    },
    async addDeadLetters(id, added) {
      if (!streams.has(id)) return
      const ids = new Set(added.map((letter) => letter.id))
      const others = (letters.get(id) ?? []).filter((letter) => !ids.has(letter.id))
      letters.set(id, [...others, ...structuredClone(added)].sort((a, b) => a.seq - b.seq).slice(-MAX_LETTERS))
    },
    listDeadLetters: async (id) => structuredClone(letters.get(id) ?? []),
    async removeDeadLetters(id, ids) {
      letters.set(
        id,
        (letters.get(id) ?? []).filter((letter) => !ids.includes(letter.id)),
      )
    },
    async recordDeliveries(records) {
      recorded.push(...structuredClone(records))
      if (recorded.length > MAX_RECORDED) recorded.splice(0, recorded.length - MAX_RECORDED)
    },
    async *cutoffs() {
      const live = new Map<string, Cutoff>()
      for (const row of [...log]) {
        const meaning = cutoffsOf(asSet(issuer, row), trustOwn(issuer), horizon)
        if (meaning.outcome !== 'cutoffs') continue
        for (const cutoff of meaning.cutoffs) {
          const key = cutoffPlace(cutoff)
          const known = live.get(key)
          live.set(key, known ? mergeCutoffs(known, cutoff) : cutoff)
        }
      }
      const found = [...live.values()].filter(({ until }) => until >= now() / 1000)
      if (found.length > 0) yield found
    },
    segmentList: async () => structuredClone(list),
    async saveSegmentList(next) {
      if (next.version !== (list?.version ?? 0) + 1) return false
      list = structuredClone(next)
      const named = new Set(next.segments.map(({ digest }) => digest))
      for (const [digest, one] of segments) {
        if (named.has(digest)) delete one.leftAt
        else if (one.leftAt === undefined) one.leftAt = now()
        else if (one.leftAt + SEGMENT_KEPT < now()) segments.delete(digest)
      }
      return true
    },
    async addSegment(digest, body) {
      segments.set(digest, { body, leftAt: now() })
    },
    getSegment: async (digest) => segments.get(digest)?.body,
  }
}
