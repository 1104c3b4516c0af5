import { randomUUID } from 'node:crypto'
import type { Store } from '../store/store.ts'

/** The client that leads people to their account page: it only ever signs in, and redeems nothing. */
export const ACCOUNT_APP_ID = 'caegis-account'
/** The client of the admin console: whatever its user may do in the admin API, and nothing else. */
export const CONSOLE_APP_ID = 'caegis-console'

/** Registers the server's own pages where it stands now. */
export async function ensureOwnPages(store: Store, tenant: string, { origin, base }: { origin: string; base: string }): Promise<void> {
  const pages = [
    { app_id: ACCOUNT_APP_ID, display_name: 'Your account', redirect: `${base}/account`, permissions: [] },
    { app_id: CONSOLE_APP_ID, display_name: 'CAEgis console', redirect: `${origin}/console`, permissions: ['graph/.default'] },
  ]
  for (const { redirect, permissions, ...page } of pages) {
    const redirect_uris = JSON.stringify([redirect])
    await store.db
      .insertInto('applications')
      .values({
        ...{ tenant, id: randomUUID(), ...page, type: 'spa', enabled: 1, cae: 0, redirect_uris },
        ...{ identifier_uris: '[]', scopes: '[]', permissions: JSON.stringify(permissions) },
      })
      .onConflict((conflict) => conflict.columns(['tenant', 'app_id']).doUpdateSet({ redirect_uris }))
      .execute()
  }
}
