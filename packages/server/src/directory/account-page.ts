import { randomUUID } from 'node:crypto'
import type { Store } from '../store/store.ts'

/** The client that leads people to their account page: it only ever signs in, and redeems nothing. */
export const ACCOUNT_APP_ID = 'caegis-account'

/** Registers the page where the server stands now. */
export async function ensureAccountPage(store: Store, tenant: string, base: string): Promise<void> {
  const redirects = JSON.stringify([`${base}/account`])
  await store.db
    .insertInto('applications')
    .values({
      tenant,
      id: randomUUID(),
      app_id: ACCOUNT_APP_ID,
      display_name: 'Your account',
      type: 'spa',
      enabled: 1,
      cae: 0,
      redirect_uris: redirects,
      identifier_uris: '[]',
      scopes: '[]',
      permissions: '[]',
    })
    .onConflict((conflict) => conflict.columns(['tenant', 'app_id']).doUpdateSet({ redirect_uris: redirects }))
    .execute()
}
