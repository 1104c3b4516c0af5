import type { Cutoff, CutoffKind } from '@caegis/protocol'
import type { ControlRow, DeadLetter, DeliveryRecord, EventRow, StreamRecord, TransmitterStore } from '@caegis/ssf/transmitter'
import { type Selectable, sql, type Transaction } from 'kysely'
import { EXPIRY_LEEWAY } from '../store/change.ts'
import { createLoader } from '../store/loader.ts'
import type { EventRecord, Schema } from '../store/schema.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'
import { createProgress } from './progress.ts'
import { ruleParts } from './rules.ts'
import { createSegmentStore } from './segment-store.ts'
import { createStreamRows } from './stream-rows.ts'

const BATCH = 1000

/** The log, the streams and the live cutoffs of one tenant, as the transmitter reads them. */
export function createStreamStore(
  store: Store,
  secrets: Secrets,
  tenant: string,
  issuer: string,
  record: (records: DeliveryRecord[]) => void,
  horizon: number,
): TransmitterStore & { firstStreams(limit: number): Promise<StreamRecord[]> } {
  const { db } = store
  const { pack, unpack, forget } = createStreamRows(secrets, tenant)
  const progress = createProgress(store, tenant)
  /** To write of a stream what goes with it: not while, or after, another server deletes it. */
  const alive = (id: string) => {
    const found = db.selectFrom('streams').where('tenant', '=', tenant).where('id', '=', id)
    return store.engine === 'postgres' ? found.forKeyShare() : found
  }
  /** With the instant, for their order. */
  const queued = (control: ControlRow) => JSON.stringify({ ...control, queuedAt: store.clock() })
  const rowsAfter = createLoader(async (questions) => {
    const found = new Map<string, EventRow[]>()
    for (const question of new Set(questions)) {
      const [after, limit] = question.split(' ').map(Number) as [number, number]
      const rows = await db
        .selectFrom('events')
        .selectAll()
        .where('tenant', '=', tenant)
        .where('seq', '>', after)
        .orderBy('seq')
        .limit(limit)
        .execute()
      found.set(question, rows.map(toEvent))
    }
    return found
  })
  const find = createLoader(async (ids) => {
    const rows = await db.selectFrom('streams').selectAll().where('tenant', '=', tenant).where('id', 'in', ids).execute()
    return new Map(rows.map((row) => [row.id, row]))
  })
  const controlsOf = createLoader(async (streams) => {
    const rows = await db.selectFrom('controls').select(['stream', 'event']).where('tenant', '=', tenant).where('stream', 'in', streams).execute()
    return Map.groupBy(rows, (row) => row.stream)
  })

  return {
    async head() {
      const position = await store.position(tenant)
      progress.noticed(position.epoch)
      return position
    },
    events: async (after, limit) => (await rowsAfter(`${after} ${limit}`)) ?? [],
    async positions(ids) {
      const found = new Map<string, number>()
      for (let at = 0; at < ids.length; at += BATCH) {
        const rows = await db
          .selectFrom('events')
          .select(['id', 'seq'])
          .where('tenant', '=', tenant)
          .where('id', 'in', ids.slice(at, at + BATCH))
          .execute()
        for (const { id, seq } of rows) found.set(id, seq)
      }
      return found
    },
    wait: (after, signal) => store.wait(tenant, after, signal),
    async createStream(record) {
      await db
        .insertInto('streams')
        .values({ tenant, id: record.id, receiver: record.receiver, ...pack(record) })
        .execute()
    },
    async getStream(id) {
      const late = progress.over(id)
      const row = await find(id)
      return row && late(unpack(row))
    },
    async listStreams(receiver) {
      const late = progress.over()
      const rows = await db.selectFrom('streams').selectAll().where('tenant', '=', tenant).where('receiver', '=', receiver).execute()
      return rows.map((row) => late(unpack(row)))
    },
    async allStreams(method) {
      const late = progress.over()
      let query = db.selectFrom('streams').selectAll().where('tenant', '=', tenant)
      // A thousand other streams are not worth reading at every commit; quotation marks within a string are escaped, so this finds members only.
      if (method !== undefined) query = query.where('config', 'like', `%"method":${JSON.stringify(method)}%`)
      const rows = await query.execute()
      return rows.map((row) => late(unpack(row))).filter((one) => method === undefined || one.delivery.method === method)
    },
    /** So many of all receivers' and no more, in the order of ids. */
    async firstStreams(limit) {
      const late = progress.over()
      const rows = await db.selectFrom('streams').selectAll().where('tenant', '=', tenant).orderBy('id').limit(limit).execute()
      return rows.map((row) => late(unpack(row)))
    },
    async updateStream(id, decide) {
      // Again where another server has written of it between the read and the write.
      const written = async (tx: Transaction<Schema>): Promise<StreamRecord | undefined | 'again'> => {
        const late = progress.over(id)
        const row = await tx.selectFrom('streams').selectAll().where('tenant', '=', tenant).where('id', '=', id).executeTakeFirst()
        if (!row) return undefined
        const known = late(unpack(row))
        const change = decide(known)
        if (!change) return known
        const { control, replaces } = change
        const acked = Math.max(known.acked, change.progress?.acked ?? 0)
        // What is taken away is undefined there, and left out.
        const after = pack({ ...known, ...change.config, ...change.progress, acked } as StreamRecord)
        const { numUpdatedRows } = await tx
          .updateTable('streams')
          .set(after)
          .where('tenant', '=', tenant)
          .where('id', '=', id)
          .where('config', '=', row.config)
          .where('progress', '=', row.progress)
          .executeTakeFirst()
        if (numUpdatedRows === 0n) return 'again'
        if (replaces) {
          const waiting = await tx.selectFrom('controls').select(['id', 'event']).where('tenant', '=', tenant).where('stream', '=', id).execute()
          const moot = waiting.filter(({ event }) => JSON.parse(event).type === replaces).map((one) => one.id)
          if (moot.length > 0) await tx.deleteFrom('controls').where('tenant', '=', tenant).where('stream', '=', id).where('id', 'in', moot).execute()
        }
        if (control) {
          await tx
            .insertInto('controls')
            .values({ tenant, stream: id, id: control.id, event: queued(control) })
            .execute()
        }
        return unpack({ ...row, ...after })
      }
      const changed = await store.transaction({ name: `stream ${tenant} ${id}` }, async (tx) => {
        for (;;) {
          const done = await written(tx)
          if (done !== 'again') return done
        }
      })
      store.wake(tenant)
      return changed
    },
    async deleteStream(id) {
      await store.transaction({ name: `stream ${tenant} ${id}` }, async (tx) => {
        await tx.deleteFrom('streams').where('tenant', '=', tenant).where('id', '=', id).execute()
        await tx.deleteFrom('controls').where('tenant', '=', tenant).where('stream', '=', id).execute()
        await tx.deleteFrom('dead_letters').where('tenant', '=', tenant).where('stream', '=', id).execute()
        await tx.deleteFrom('delivery_counts').where('tenant', '=', tenant).where('stream', '=', id).execute()
      })
      progress.forget(id)
      forget(id)
      store.wake(tenant)
    },
    saveProgress: progress.save,
    async addControl(id, control) {
      const event = queued(control)
      await db
        .insertInto('controls')
        .columns(['tenant', 'stream', 'id', 'event'])
        .expression(alive(id).select(['tenant', 'id as stream', sql.val(control.id).as('id'), sql.val(event).as('event')]))
        .onConflict((clash) => clash.columns(['tenant', 'stream', 'id']).doUpdateSet({ event }))
        .execute()
      store.wake(tenant)
    },
    async listControls(id) {
      const rows = (await controlsOf(id)) ?? []
      return rows
        .map(({ event }) => JSON.parse(event) as ControlRow & { queuedAt?: number })
        .sort((a, b) => (a.queuedAt ?? a.at) - (b.queuedAt ?? b.at) || (a.event?.seq ?? 0) - (b.event?.seq ?? 0))
        .map(({ queuedAt, ...control }) => control)
    },
    async removeControls(id, ids) {
      if (ids.length === 0) return
      await db.deleteFrom('controls').where('tenant', '=', tenant).where('stream', '=', id).where('id', 'in', ids).execute()
    },
    async addDeadLetters(id, letters) {
      for (const one of letters) {
        const letter = JSON.stringify(one)
        await db
          .insertInto('dead_letters')
          .columns(['tenant', 'stream', 'id', 'seq', 'letter'])
          .expression(
            alive(id).select(['tenant', 'id as stream', sql.val(one.id).as('id'), sql.val(one.seq).as('seq'), sql.val(letter).as('letter')]),
          )
          .onConflict((clash) => clash.columns(['tenant', 'stream', 'id']).doUpdateSet({ letter }))
          .execute()
      }
    },
    async listDeadLetters(id) {
      const rows = await db.selectFrom('dead_letters').select('letter').where('tenant', '=', tenant).where('stream', '=', id).orderBy('seq').execute()
      return rows.map(({ letter }) => JSON.parse(letter) as DeadLetter)
    },
    async removeDeadLetters(id, ids) {
      if (ids.length === 0) return
      await db.deleteFrom('dead_letters').where('tenant', '=', tenant).where('stream', '=', id).where('id', 'in', ids).execute()
    },
    recordDeliveries: async (records) => record(records),
    cutoffs: () => liveCutoffs(store, tenant, issuer),
    ...createSegmentStore(store, secrets, tenant),
    rules: (since, api) => ruleParts(store, secrets, { tenant, api, since, horizon }),
  }
}

/** Every cutoff that can still hit a token, in batches; a page at a time, so that a million of them do not stand in memory at once. */
export async function* liveCutoffs(store: Store, tenant: string, issuer: string): AsyncGenerator<Cutoff[]> {
  let after: { kind: string; spares: 0 | 1; id: string } | undefined
  for (;;) {
    let query = store.db
      .selectFrom('cutoffs')
      .select(['kind', 'spares', 'id', 't', 'depth', 'until'])
      .where('tenant', '=', tenant)
      .where('until', '>', Math.floor(store.clock()) - EXPIRY_LEEWAY)
    const last = after
    // A row value: with `or`, SQLite would read and sort everything again for each page.
    if (last) query = query.where((eb) => eb(eb.refTuple('kind', 'spares', 'id'), '>', eb.tuple(last.kind, last.spares, last.id)))
    const rows = await query.orderBy('kind').orderBy('spares').orderBy('id').limit(BATCH).execute()
    if (rows.length > 0) {
      yield rows.map(({ kind, id, t, depth, until }) => ({ issuer, kind: kind as CutoffKind, id, t, depth, until }))
    }
    if (rows.length < BATCH) return
    after = rows.at(-1)
  }
}

export function toEvent(row: Selectable<EventRecord>): EventRow {
  const { seq, id, txn, type, at, origin } = row
  return { seq, id, txn, type, at, subject: JSON.parse(row.subject), payload: JSON.parse(row.payload), ...(origin !== null && { from: origin }) }
}
