import { afterAll, beforeAll, expect, it } from 'vitest'
import type { ChangeContext } from '../packages/server/src/store/change.ts'
import { resume, stop } from './emergency.ts'
import { createFlow } from './flow.ts'
import { type Loop, startLoop, verdictOf } from './loop.ts'

/** Under a storm everything takes its time, and machines differ. */
const PATIENT = { timeout: 40_000 }
let loop: Loop
beforeAll(async () => {
  loop = await startLoop({ settings: { bounds: { signIn: 2, token: 2 } } })
})
afterAll(() => loop.close())

/** What the process says of itself. */
async function figures(): Promise<Map<string, number>> {
  const response = await fetch(`${loop.origin}/metrics`)
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8'])
  const lines = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]))
}

it('E11: a storm of sign-ins after an emergency stop: whoever is too much is sent away, streams are served as ever, and it is over when it is over', async () => {
  const guard = await loop.guard()
  const { accessToken } = await createFlow(loop).tokens()
  expect(await verdictOf(guard, accessToken)).toMatchObject({ allowed: true })
  await stop(loop)
  await expect.poll(async () => (await verdictOf(guard, accessToken)).allowed, PATIENT).toBe(false)
  await resume(loop)

  // Everybody wants in again, and does not wait to be told when.
  const statuses = new Map<number, number>()
  let over = false
  const { url } = createFlow(loop)
  const everybody = Array.from({ length: 40 }, async (_, i) => {
    while (!over) {
      const { status } = await (i % 2
        ? fetch(url, { redirect: 'manual' })
        : loop.token({ grant_type: 'refresh_token', client_id: 'files-native', refresh_token: 'of before the stop' }))
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
  })
  try {
    await expect.poll(() => statuses.get(429) ?? 0, PATIENT).toBeGreaterThan(10)
    // A replica that starts in the middle of it gets its stream token and its stream, and both hear of the next revocation.
    const late = await loop.guard()
    const guards = [guard, late]
    const before = Math.max(...guards.map((one) => one.status().head?.seq ?? 0))
    const user = await loop.server.store.db.selectFrom('users').select('id').where('upn_key', '=', 'bob@contoso.test').executeTakeFirstOrThrow()
    await revoke(user.id)
    for (const one of guards) await expect.poll(() => one.status().inSync && (one.status().head?.seq ?? 0) > before, PATIENT).toBe(true)
    expect((await fetch(`${loop.origin}/readyz`)).status).toBe(200)
  } finally {
    over = true
    await Promise.all(everybody)
  }
  // A refusal is never a failure of the server (I7).
  expect([...statuses.keys()].filter((status) => status >= 500)).toEqual([])
  const said = await figures()
  expect(said.get('caegis_requests_refused_total{kind="signIn"}')).toBeGreaterThan(0)
  expect(said.get('caegis_requests_refused_total{kind="token"}')).toBeGreaterThan(0)
  expect(said.get('caegis_requests_refused_total{kind="signals"}')).toBe(0)
  expect(said.get('caegis_requests_under_way{kind="token"}')).toBe(0)
  expect(said.get('caegis_polls_held')).toBeGreaterThan(0)
  expect(said.get('caegis_changes_total')).toBeGreaterThan(0)
  expect(said.get('caegis_fence_total{outcome="passed"}')).toBeGreaterThan(0)
  expect(said.get('caegis_own_guards_behind')).toBe(0)
  expect(said.get('caegis_draining')).toBe(0)
  // There are two clocks only where the store has one of its own.
  expect([...said.keys()].some((name) => name.startsWith('caegis_clock_skew'))).toBe(loop.server.store.engine === 'postgres')

  expect(await verdictOf(guard, (await createFlow(loop).tokens()).accessToken)).toMatchObject({ allowed: true })
})

/** By the directory itself: the storm is about who comes from outside. */
async function revoke(user: string): Promise<void> {
  const { store } = loop.server
  await store.commit({
    tenant: loop.tenant,
    actor: { kind: 'system', reason: 'test' },
    async edit({ publish }: ChangeContext) {
      publish({
        type: 'https://schemas.openid.net/secevent/caep/event-type/session-revoked',
        subject: { complex: { format: 'complex', user: { format: 'iss_sub', iss: loop.issuer, sub: user } } },
        reason: 'Everything of the user was ended',
      } as never)
    },
  } as never)
}

it('shows its figures to programs of the same machine, and to nobody who comes through a proxy', async () => {
  expect((await figures()).size).toBeGreaterThan(10)
  for (const header of ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip'])
    expect((await fetch(`${loop.origin}/metrics`, { headers: { [header]: '192.0.2.1' } })).status, header).toBe(403)
})
