import type { DeadLetter, EventRow } from '@caegis/ssf/transmitter'
import type { Selectable } from 'kysely'
import { createLoader } from '../store/loader.ts'
import type { EventRecord } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { toEvent } from './stream-store.ts'

/** A row of the log with its milliseconds. */
export type LogRow = EventRow & { ms: number }

/** What an administrator looks up in the log and in what was not delivered, a page at a time. */
export interface Inspection {
  /** The log, newest first; all of it, or what one change has published, or what is about one user (cutoffs that are told in lists are about many, and not among it). */
  events(page: { limit: number; before?: number; txn?: string; userId?: string }): Promise<LogRow[]>
  /** What follows a position, oldest first. */
  eventsAfter(seq: number, limit: number): Promise<LogRow[]>
  /** The commit seconds of rows. */
  committedAt(seqs: number[]): Promise<Map<number, number>>
  /** Dead letters of one stream, in log order. */
  deadLetters(stream: string, page: { limit: number; after?: number }): Promise<DeadLetter[]>
  /** How many there are, by stream. */
  countDeadLetters(): Promise<Map<string, number>>
  /** What applications are called, by their client ids. */
  applicationNames(appIds: string[]): Promise<Map<string, string>>
}

export function createInspection({ db }: Store, tenant: string): Inspection {
  const rows = () => db.selectFrom('events').selectAll().where('tenant', '=', tenant)
  // Everybody who follows the log asks for the same at each commit.
  const after = createLoader(async (questions) => {
    const found = new Map<string, LogRow[]>()
    for (const question of new Set(questions)) {
      const [seq, limit] = question.split(' ').map(Number) as [number, number]
      found.set(question, (await rows().where('seq', '>', seq).orderBy('seq').limit(limit).execute()).map(toRow))
    }
    return found
  })
  return {
    async events({ limit, before, txn, userId }) {
      let query = rows()
      if (before !== undefined) query = query.where('seq', '<', before)
      if (txn !== undefined) query = query.where('txn', '=', txn)
      if (userId !== undefined) query = query.where('user_id', '=', userId)
      return (await query.orderBy('seq', 'desc').limit(limit).execute()).map(toRow)
    },
    eventsAfter: async (seq, limit) => (await after(`${seq} ${limit}`)) ?? [],
    async committedAt(seqs) {
      if (seqs.length === 0) return new Map()
      const found = await db.selectFrom('events').select(['seq', 'at']).where('tenant', '=', tenant).where('seq', 'in', seqs).execute()
      return new Map(found.map(({ seq, at }) => [seq, at]))
    },
    async deadLetters(stream, { limit, after = 0 }) {
      const found = await db
        .selectFrom('dead_letters')
        .select('letter')
        .where('tenant', '=', tenant)
        .where('stream', '=', stream)
        .where('seq', '>', after)
        .orderBy('seq')
        .limit(limit)
        .execute()
      return found.map(({ letter }) => JSON.parse(letter) as DeadLetter)
    },
    async applicationNames(appIds) {
      const ids = [...new Set(appIds)]
      if (ids.length === 0) return new Map()
      const found = await db
        .selectFrom('applications')
        .select(['app_id', 'display_name'])
        .where('tenant', '=', tenant)
        .where('app_id', 'in', ids)
        .execute()
      return new Map(found.map((row) => [row.app_id, row.display_name]))
    },
    async countDeadLetters() {
      const found = await db
        .selectFrom('dead_letters')
        .select(['stream', (eb) => eb.fn.countAll<number>().as('count')])
        .where('tenant', '=', tenant)
        .groupBy('stream')
        .execute()
      return new Map(found.map(({ stream, count }) => [stream, count]))
    },
  }
}

export function toRow(row: Selectable<EventRecord>): LogRow {
  return { ...toEvent(row), ms: row.ms }
}
