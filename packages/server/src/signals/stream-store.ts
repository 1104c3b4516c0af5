import type { Cutoff, CutoffDepth, CutoffKind } from '@caegis/protocol'
import type { DeadLetter, Delivery, DeliveryRecord, EventRow, StreamProgress, StreamRecord, TransmitterStore } from '@caegis/ssf/transmitter'
import { EXPIRY_LEEWAY } from '../store/change.ts'
import type { EventRecord } from '../store/schema.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'

const BATCH = 1000

/** The log, the streams and the live cutoffs of one tenant, as the transmitter reads them. */
export function createStreamStore(
  store: Store,
  secrets: Secrets,
  tenant: string,
  issuer: string,
  record: (records: DeliveryRecord[]) => void,
): TransmitterStore {
  const { db } = store
  /** What a receiver wants to see in pushes is its secret: it lies sealed, and nobody reads it back. */
  const pack = (id: string, config: { delivery?: Delivery | undefined }): string => {
    const { authorizationHeader, ...delivery } = config.delivery ?? { method: '' }
    if (authorizationHeader === undefined) return JSON.stringify(config)
    const sealed = Buffer.from(secrets.seal(`stream:${tenant}:${id}`, authorizationHeader)).toString('base64')
    return JSON.stringify({ ...config, delivery: { ...delivery, sealed } })
  }
  const toStream = (row: { id: string; config: string; progress: string }): StreamRecord => {
    const config = JSON.parse(row.config)
    const { sealed, ...delivery } = config.delivery as Delivery & { sealed?: string }
    const opened =
      sealed === undefined ? {} : { authorizationHeader: secrets.open(`stream:${tenant}:${row.id}`, Buffer.from(sealed, 'base64')) as string }
    return { ...config, delivery: { ...delivery, ...opened }, ...JSON.parse(row.progress) }
  }
  const stream = (id: string) => db.selectFrom('streams').selectAll().where('tenant', '=', tenant).where('id', '=', id).executeTakeFirst()

  return {
    head: () => store.position(tenant),
    async events(after, limit) {
      const rows = await db
        .selectFrom('events')
        .selectAll()
        .where('tenant', '=', tenant)
        .where('seq', '>', after)
        .orderBy('seq')
        .limit(limit)
        .execute()
      return rows.map(toEvent)
    },
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
      const { config, progress } = split(record)
      await db
        .insertInto('streams')
        .values({ tenant, id: record.id, receiver: record.receiver, config: pack(record.id, config), progress: JSON.stringify(progress) })
        .execute()
    },
    async getStream(id) {
      const row = await stream(id)
      return row && toStream(row)
    },
    async listStreams(receiver) {
      const rows = await db.selectFrom('streams').selectAll().where('tenant', '=', tenant).where('receiver', '=', receiver).execute()
      return rows.map(toStream)
    },
    async allStreams(method) {
      const rows = await db.selectFrom('streams').selectAll().where('tenant', '=', tenant).execute()
      return rows.map(toStream).filter((one) => method === undefined || one.delivery.method === method)
    },
    async updateStream(id, decide) {
      const changed = await store.transaction(async (tx) => {
        const row = await tx.selectFrom('streams').selectAll().where('tenant', '=', tenant).where('id', '=', id).executeTakeFirst()
        if (!row) return undefined
        const change = decide(toStream(row))
        if (!change) return toStream(row)
        const { control, replaces } = change
        const { config, progress: before } = split(toStream(row))
        const progress = { ...before, ...change.progress, acked: Math.max(before.acked, change.progress?.acked ?? 0) }
        const after = {
          config: pack(id, { ...config, ...change.config }),
          progress: JSON.stringify(progress),
        }
        await tx.updateTable('streams').set(after).where('tenant', '=', tenant).where('id', '=', id).execute()
        if (replaces) {
          const known = await tx.selectFrom('controls').select(['id', 'event']).where('tenant', '=', tenant).where('stream', '=', id).execute()
          const moot = known.filter(({ event }) => JSON.parse(event).type === replaces).map((one) => one.id)
          if (moot.length > 0) await tx.deleteFrom('controls').where('tenant', '=', tenant).where('stream', '=', id).where('id', 'in', moot).execute()
        }
        if (control) {
          await tx
            .insertInto('controls')
            .values({ tenant, stream: id, id: control.id, event: JSON.stringify(control) })
            .execute()
        }
        return toStream({ ...row, ...after })
      })
      store.wake(tenant)
      return changed
    },
    async deleteStream(id) {
      await store.transaction(async (tx) => {
        await tx.deleteFrom('streams').where('tenant', '=', tenant).where('id', '=', id).execute()
        await tx.deleteFrom('controls').where('tenant', '=', tenant).where('stream', '=', id).execute()
        await tx.deleteFrom('dead_letters').where('tenant', '=', tenant).where('stream', '=', id).execute()
      })
      store.wake(tenant)
    },
    async saveProgress(id, progress) {
      await store.transaction(async (tx) => {
        const row = await tx.selectFrom('streams').select('progress').where('tenant', '=', tenant).where('id', '=', id).executeTakeFirst()
        if (!row) return
        const before = JSON.parse(row.progress) as StreamProgress
        const after = { ...before, ...progress, acked: Math.max(before.acked ?? 0, progress.acked ?? 0) }
        await tx
          .updateTable('streams')
          .set({ progress: JSON.stringify(after) })
          .where('tenant', '=', tenant)
          .where('id', '=', id)
          .execute()
      })
    },
    async addControl(id, control) {
      await db
        .insertInto('controls')
        .values({ tenant, stream: id, id: control.id, event: JSON.stringify(control) })
        .onConflict((clash) => clash.columns(['tenant', 'stream', 'id']).doUpdateSet({ event: JSON.stringify(control) }))
        .execute()
      store.wake(tenant)
    },
    async listControls(id) {
      const rows = await db
        .selectFrom('controls')
        .select('event')
        .where('tenant', '=', tenant)
        .where('stream', '=', id)
        .orderBy('rowid' as never)
        .execute()
      return rows.map(({ event }) => JSON.parse(event))
    },
    async removeControls(id, ids) {
      if (ids.length === 0) return
      await db.deleteFrom('controls').where('tenant', '=', tenant).where('stream', '=', id).where('id', 'in', ids).execute()
    },
    async addDeadLetters(id, letters) {
      for (const letter of letters) {
        await db
          .insertInto('dead_letters')
          .values({ tenant, stream: id, id: letter.id, seq: letter.seq, letter: JSON.stringify(letter) })
          .onConflict((clash) => clash.columns(['tenant', 'stream', 'id']).doUpdateSet({ letter: JSON.stringify(letter) }))
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
  }
}

/** Every cutoff that can still hit a token, in batches; a page at a time, so that a million of them do not stand in memory at once. */
export async function* liveCutoffs(store: Store, tenant: string, issuer: string): AsyncGenerator<Cutoff[]> {
  let after: { kind: string; id: string } | undefined
  for (;;) {
    let query = store.db
      .selectFrom('cutoffs')
      .selectAll()
      .where('tenant', '=', tenant)
      .where('until', '>', Math.floor(store.clock()) - EXPIRY_LEEWAY)
    const last = after
    if (last) query = query.where((eb) => eb.or([eb('kind', '>', last.kind), eb.and([eb('kind', '=', last.kind), eb('id', '>', last.id)])]))
    const rows = await query.orderBy('kind').orderBy('id').limit(BATCH).execute()
    if (rows.length > 0) {
      yield rows.map((row) => ({ issuer, kind: row.kind as CutoffKind, id: row.id, t: row.t, depth: row.depth as CutoffDepth, until: row.until }))
    }
    if (rows.length < BATCH) return
    after = rows.at(-1)
  }
}

export function toEvent(row: EventRecord): EventRow {
  return { seq: row.seq, id: row.id, txn: row.txn, type: row.type, at: row.at, subject: JSON.parse(row.subject), payload: JSON.parse(row.payload) }
}

/** What a receiver configured and how far it has come move at different paces, so they are stored apart. */
function split({ acked, ackedAhead, applied, hydrated, seenAt, verifiedAt, ...config }: StreamRecord) {
  return { config, progress: { acked, ackedAhead, applied, hydrated, seenAt, verifiedAt } }
}
