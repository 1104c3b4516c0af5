import { afterAll, beforeAll, expect, it } from 'vitest'
import { temporaryFolder } from '../../../test/process.ts'
import { applyTenantFile } from '../src/directory/apply.ts'
import { KEY_LEAD } from '../src/directory/keys.ts'
import { parseTenantFile } from '../src/directory/tenant-file.ts'
import { loadKeys } from '../src/issuer/keys.ts'
import { createLog } from '../src/log.ts'
import { createSecrets } from '../src/store/secrets.ts'
import type { Store } from '../src/store/store.ts'
import { openStore } from './open-store.ts'

// Two processes over one database.
const folder = temporaryFolder()
const secrets = createSecrets('x'.repeat(32))
const SYSTEM = { kind: 'system', reason: 'test' } as const
const stores: Store[] = []
let ahead = 0
let tenant = ''
beforeAll(async () => {
  for (let i = 0; i < 2; i++)
    stores.push(await openStore({ file: `${folder.path}/caegis.db`, now: () => Date.now() + ahead * 1000, log: createLog('silent') }))
  const [store] = stores as [Store]
  tenant = await applyTenantFile(store, secrets, parseTenantFile('tenant: { name: contoso, displayName: Contoso }'), () => 'https://x/contoso/v2.0')
})
afterAll(async () => {
  for (const one of stores) await one.close()
  folder.remove()
})
const open = async () => {
  const [one, two] = stores as [Store, Store]
  return [await loadKeys(one, secrets, tenant), await loadKeys(two, secrets, tenant)] as const
}
const kidOf = (keys: Awaited<ReturnType<typeof loadKeys>>) =>
  JSON.parse(Buffer.from(keys.sign({}, { typ: 'x', alg: 'ES256' }).split('.')[0] as string, 'base64url').toString()).kid
const version = async () => (await (stores[1] as Store).db.selectFrom('tenants').select('version').executeTakeFirstOrThrow()).version
const shown = (keys: Awaited<ReturnType<typeof loadKeys>>) => keys.public.map(({ kid }) => kid as string)

it('E2: what one process rotates, another one publishes, and both sign with it from the same second on', async () => {
  const [one, two] = await open()
  expect(shown(one).sort()).toEqual(shown(two).sort())
  const old = kidOf(one)
  const { result: created } = await one.rotate(SYSTEM)
  // A round of its own is what each process does every half minute; the lead is forty times as long.
  await two.tend()
  expect(shown(two)).toEqual(expect.arrayContaining(created))
  expect([kidOf(one), kidOf(two)]).toEqual([old, old])
  ahead += KEY_LEAD + 1
  expect(created).toContain(kidOf(two))
  expect(kidOf(two)).toBe(kidOf(one))
  expect(shown(two)).toContain(old)
})

it('E2: a key that one process removes signs and vouches for nothing in another, from the first decision on that reads the tenant after it', async () => {
  const [one, two] = await open()
  await two.follow(await version())
  const stolen = kidOf(two)
  await one.remove(SYSTEM, stolen)
  // It has heard nothing yet: neither a rotation nor a question for the keys came by.
  expect(kidOf(two)).toBe(stolen)
  await two.follow(await version())
  expect(kidOf(two)).toBe(kidOf(one))
  expect(shown(two)).not.toContain(stolen)
})

it('A4: clocks that step make no tenant without a key, and no two processes that disagree', async () => {
  const [one, two] = await open()
  await one.rotate(SYSTEM)
  await Promise.all([one.tend(), two.tend()])
  for (const step of [0, 3600, -7200, 100_000, -90_000, -10 * 365 * 24 * 3600, 10 * 365 * 24 * 3600 + KEY_LEAD]) {
    ahead += step
    expect(kidOf(two)).toBe(kidOf(one))
    expect(shown(one)).toContain(kidOf(one))
  }
})
