import type { Selectable } from 'kysely'
import type { ReevaluationRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'

/** An edit, and how far it is worked out what it means for those who live by an earlier decision. */
export interface ReevaluationJob {
  /** The edit's txn. */
  id: string
  reason: string
  /** Second at which its cutoffs stand. */
  at: number
  running: boolean
  createdAt: number
  endedAt: number | null
  /** Ids of whom it concerns, as far as there is room; `null` = the whole tenant. */
  concerned: string[] | null
  /** Decisions: to look at, looked at, others now, and no permission any more. */
  total: number
  done: number
  changed: number
  lost: number
}

const MOST_LISTED = 999

export function createReevaluations(store: Store, tenant: string) {
  const rows = () => store.db.selectFrom('reevaluations').selectAll().where('tenant', '=', tenant)
  return {
    /** The newest first. */
    async list(limit: number): Promise<ReevaluationJob[]> {
      const found = await rows().orderBy('created_at', 'desc').orderBy('id').limit(Math.min(limit, MOST_LISTED)).execute()
      return found.map(toJob)
    },
    /** By the edit's txn. */
    async find(id: string): Promise<ReevaluationJob | undefined> {
      const row = await rows().where('id', '=', id).executeTakeFirst()
      return row && toJob(row)
    },
  }
}

export type Reevaluations = ReturnType<typeof createReevaluations>

function toJob({ id, reason, t, state, scope, total, done, changed, lost, created_at, ended_at }: Selectable<ReevaluationRow>): ReevaluationJob {
  return {
    ...{ id, reason, at: t, running: state === 'running', createdAt: created_at, endedAt: ended_at },
    ...{ concerned: scope === null ? null : JSON.parse(scope), total, done, changed, lost },
  }
}
