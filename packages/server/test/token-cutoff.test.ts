import { expect, it } from 'vitest'
import { createSessions } from '../src/directory/sessions.ts'
import { createLog } from '../src/log.ts'
import { openStore } from './open-store.ts'

it('A4: what was derived from a token in a second that the clock has left again dies with it all the same', async () => {
  let seconds = 1_700_000_100
  const store = await openStore({ file: ':memory:', now: () => seconds * 1000, log: createLog('silent') })
  try {
    const derivedAt = seconds
    await store.db.insertInto('tenants').values({ id: 't', name: 't', display_name: 'T', epoch: 'e', created_at: 0, last_iat: derivedAt }).execute()
    seconds -= 50
    const token = { jti: 'j', iat: seconds - 10, exp: seconds + 3600, appId: 'chat', user: 'alice', sid: 's' }
    await createSessions(store, 't', 'https://id.test/t/v2.0', () => {}).revokeToken({ kind: 'system', reason: 'test' }, token, 'test')
    const cutoff = await store.db.selectFrom('cutoffs').select(['kind', 'id', 't', 'until']).executeTakeFirstOrThrow()
    expect(cutoff).toMatchObject({ kind: 'token', id: 'j', until: token.exp })
    expect(cutoff.t).toBeGreaterThanOrEqual(derivedAt)
  } finally {
    await store.close()
  }
})
