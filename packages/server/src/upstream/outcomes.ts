import type { Subject } from '@caegis/protocol'
import type { Kysely, Transaction } from 'kysely'
import type { Schema } from '../store/schema.ts'

/**
 * What became of an event. `committed`: it changed something here. `unchanged`: it was so already. `duplicate`: its cause did the same to that user before.
 * `returned`: its cause began here. `unknown`, `ambiguous`: it names nobody here, or two. `unmapped`: neither type nor subject say anything here. `refused`: it
 * may not speak about that user. `exempt`: the emergency account. `ignored`: by configuration, or an improvement. `lost`: given up after too many attempts.
 */
export type UpstreamOutcome =
  | 'committed'
  | 'unchanged'
  | 'duplicate'
  | 'returned'
  | 'unknown'
  | 'ambiguous'
  | 'unmapped'
  | 'refused'
  | 'exempt'
  | 'ignored'
  | 'lost'

/** How often, when last, and about whom then. */
export interface UpstreamCount {
  outcome: UpstreamOutcome
  type: string
  count: number
  lastAt: number
  lastSubject: unknown
}

type Db = Kysely<Schema> | Transaction<Schema>

const MAX_TYPE = 256
const MAX_SUBJECT = 2048
/** Types of which an upstream can make us keep a count. */
const MAX_ROWS = 200

export async function countOutcome(
  db: Db,
  { tenant, upstream, outcome, at }: { tenant: string; upstream: string; outcome: UpstreamOutcome; at: number },
  event: { type: string; subject: Subject },
): Promise<void> {
  const own = db.selectFrom('upstream_outcomes').where('tenant', '=', tenant).where('upstream', '=', upstream)
  const { rows } = await own.select((eb) => eb.fn.countAll<number>().as('rows')).executeTakeFirstOrThrow()
  const type = Number(rows) < MAX_ROWS ? event.type.slice(0, MAX_TYPE) : 'other'
  const text = JSON.stringify(event.subject)
  const subject = text.length > MAX_SUBJECT ? JSON.stringify({ format: event.subject.format }) : text
  await db
    .insertInto('upstream_outcomes')
    .values({ tenant, upstream, outcome, type, count: 1, at, subject })
    .onConflict((clash) =>
      clash
        .columns(['tenant', 'upstream', 'outcome', 'type'])
        .doUpdateSet((eb) => ({ count: eb('upstream_outcomes.count', '+', 1), at: eb.ref('excluded.at'), subject: eb.ref('excluded.subject') })),
    )
    .execute()
}

export async function readOutcomes(db: Db, tenant: string, upstream: string): Promise<UpstreamCount[]> {
  const rows = await db
    .selectFrom('upstream_outcomes')
    .selectAll()
    .where('tenant', '=', tenant)
    .where('upstream', '=', upstream)
    .orderBy('outcome')
    .orderBy('type')
    .execute()
  return rows.map(({ outcome, type, count, at, subject }) => ({
    ...{ outcome: outcome as UpstreamOutcome, type, count },
    ...{ lastAt: at, lastSubject: JSON.parse(subject) },
  }))
}
