import { createHash } from 'node:crypto'
import type { Transaction } from 'kysely'
import { markOf } from '../access/admission.ts'
import { writeSignals } from '../access/second-look.ts'
import type { Schema } from '../store/schema.ts'
import type { Mint } from './attempt.ts'
import type { Tenant } from './tenant.ts'

/**
 * What the token was decided by, for the day on which an edit may change it. One row for each session (or daemon), client, API, and what was brought: a token that was
 * given out at another address lives by another decision.
 */
export async function recordDecision(db: Transaction<Schema>, tenant: Tenant, mint: Mint): Promise<void> {
  const { admission: made, appId, user, sid, device, exp } = mint
  if (!made) return
  const { admission, resource, capable } = made
  const columns = {
    ...{ user_id: user ?? null, sid: sid ?? null, app_id: appId, resource, device_id: device ?? null, capable: capable ? 1 : 0 },
    ...{
      version: admission.version,
      outcome: admission.decision.outcome,
      fingerprint: markOf(admission),
      signals: writeSignals(admission.brought, admission.at),
      // It knows of every edit so far: the fence has seen to that.
      job: null,
    },
  }
  const id = createHash('sha256')
    .update([sid ?? '', appId, resource, device ?? '', JSON.stringify(admission.brought)].join('\n'))
    .digest('base64url')
    .slice(0, 22)
  await db
    .insertInto('decisions')
    .values({ tenant: tenant.id, id, tokens_until: exp, ...columns })
    .onConflict((conflict) =>
      conflict
        .columns(['tenant', 'id'])
        .doUpdateSet((eb) => ({ ...columns, tokens_until: eb.fn<number>('greatest', ['decisions.tokens_until', 'excluded.tokens_until']) })),
    )
    .execute()
}
