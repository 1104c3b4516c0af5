import { EVENT } from '@caegis/protocol'
import type { Actor, Committed } from '../store/change.ts'
import type { Store } from '../store/store.ts'

/** The tenant itself, as its administrators see it. */
export interface Organization {
  id: string
  name: string
  displayName: string
  /** Second of the emergency stop; `null` while the tenant runs. */
  stoppedAt: number | null
}

/** The emergency stop. The result of both says whether anything changed: what is already so is not done, and not published, again. */
export interface Organizations {
  read(): Promise<Organization>
  /** Everything that was issued or proved so far dies, and nothing is issued until `resume`. */
  stop(actor: Actor): Promise<Committed<boolean>>
  /** Lets sign-ins begin again. What died by the stop stays dead: its cutoff is never taken back. */
  resume(actor: Actor): Promise<Committed<boolean>>
}

export function createOrganization(store: Store, tenant: string): Organizations {
  /** @param stop the state that is wanted */
  const turn = (actor: Actor, stop: boolean): Promise<Committed<boolean>> =>
    store.commit({
      tenant,
      actor,
      async edit({ db, now, publish, audit }) {
        const row = await db.selectFrom('tenants').select(['stopped_at', 'version']).where('id', '=', tenant).executeTakeFirstOrThrow()
        if ((row.stopped_at !== null) === stop) return false
        // The version moves, so that every decision that read the tenant is seen to be old.
        await db
          .updateTable('tenants')
          .set({ stopped_at: stop ? now : null, version: row.version + 1 })
          .where('id', '=', tenant)
          .execute()
        audit({
          ...{ activity: stop ? 'Stop organization' : 'Resume organization', category: 'DirectoryManagement', operation: 'Update' },
          targets: [{ type: 'Directory', id: tenant }],
        })
        if (stop) {
          publish({
            type: EVENT.sessionRevoked,
            subject: { complex: { format: 'complex', tenant: { format: 'opaque', id: tenant } } },
            reason: 'The tenant was stopped',
            cut: { kind: 'tenant', id: tenant, depth: 'sign-in' },
          })
        }
        return true
      },
    })

  return {
    async read() {
      const row = await store.db
        .selectFrom('tenants')
        .select(['id', 'name', 'display_name', 'stopped_at'])
        .where('id', '=', tenant)
        .executeTakeFirstOrThrow()
      return { id: row.id, name: row.name, displayName: row.display_name, stoppedAt: row.stopped_at }
    },
    stop: (actor) => turn(actor, true),
    resume: (actor) => turn(actor, false),
  }
}
