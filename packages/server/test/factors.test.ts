import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { createDirectory } from '../src/directory/directory.ts'
import { createFactors } from '../src/directory/factors.ts'
import { createSecrets } from '../src/store/secrets.ts'
import { openStore } from './open-store.ts'

const ISSUER = 'https://id.test/one/v2.0'
const log = { debug() {}, info() {}, warn() {}, error() {} }
const now = () => Math.floor(Date.now() / 1000)

it('an application takes the factors of people, and of no administrator: a password that is known would be enough then', async () => {
  const store = await openStore({ file: ':memory:', now: Date.now, log })
  await store.db.insertInto('tenants').values({ id: 'one', name: 'one', display_name: 'one', epoch: 'e', created_at: 1, issuer: ISSUER }).execute()
  const app = {
    ...{ tenant: 'one', id: 'a', app_id: 'desk', display_name: 'Desk', type: 'daemon' as const, enabled: 1, cae: 0 },
    ...{ redirect_uris: '[]', identifier_uris: '[]', scopes: '[]', permissions: '[]' },
  }
  await store.db.insertInto('applications').values(app).execute()
  const directory = createDirectory(store, 'one', ISSUER)
  const factors = createFactors(store, createSecrets(randomBytes(32)), 'one', ISSUER)
  const desk = { kind: 'app', appId: 'desk', iat: now() + 5 } as const
  for (const roles of [['admin'], []] as const) {
    const given = { userPrincipalName: `user${roles.length}@one.test`, displayName: 'Somebody', roles: [...roles] }
    const { result: user } = await directory.createUser({ kind: 'system', reason: 'test' }, given)
    await factors.register(user, { at: now() + 5 }, { secret: 'JBSWY3DPEHPK3PXP', from: 0 }, ['one', 'two'])
    const one = (await factors.list(user)).find(({ kind }) => kind === 'totp') as { id: string }
    const removal = factors.remove(desk, user, one.id)
    if (roles.length > 0) await expect(removal).rejects.toMatchObject({ code: 'administrator' })
    else expect((await removal).result).toBe(true)
    expect((await factors.list(user)).length).toBe(roles.length > 0 ? 2 : 0)
  }
  await store.close()
})
