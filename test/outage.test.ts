import { afterAll, beforeAll, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { SECRET, verdictOf } from './loop.ts'
import { type ServerPair, startPair } from './pair.ts'

const PATIENT = { timeout: 30_000, interval: 50 }
let pair: ServerPair
beforeAll(async () => {
  pair = await startPair({ durable: true })
})
afterAll(() => pair.close())

const get = async (path: string) => {
  const response = await fetch(`${pair.origin}${path}`, { headers: { accept: 'text/html' } })
  return { status: response.status, text: await response.text() }
}
const form = { grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope: 'api://files/.default' }
const revoke = (name: string) => pair.graph('POST', `/users/${name}@contoso.test/revokeSignInSessions`)

it('I4, I7: while the database is away both servers say so, and guards that they do not know; when it is back, all go on by themselves', async () => {
  const flow = createFlow(pair, { capable: true })
  const { accessToken, refreshToken } = await flow.tokens()
  const bob = createFlow(pair, { capable: true, username: 'bob@contoso.test' })
  const other = (await bob.tokens()).accessToken
  const admin = await pair.daemonToken('nightly', `${pair.origin}/.default`)
  const guard = await pair.guard({ maxStaleness: 2, staleness: 'strict' })
  for (const token of [accessToken, other]) expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })
  expect((await revoke('bob')).status).toBe(200)

  await pair.postgres.kill()
  for (const name of ['a', 'b']) {
    pair.balancer.toward = name
    await expect.poll(() => get('/readyz'), PATIENT).toMatchObject({ status: 503, text: expect.stringContaining('store_unavailable') })
    expect((await get('/healthz')).status).toBe(200)
    expect(await pair.token(form)).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } })
    expect(await flow.refresh(refreshToken)).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } })
    const asked = await fetch(`${pair.origin}/v1.0/users`, { headers: { authorization: `Bearer ${admin}` } })
    expect([asked.status, await asked.json()]).toMatchObject([503, { error: { code: 'ServiceUnavailable' } }])
    const page = await get(flow.url.slice(pair.origin.length))
    expect(page.status).toBe(503)
    expect(page.text).not.toContain('ECONN')
  }
  // What was revoked stays so; of what was not, nobody can know any more.
  await expect.poll(() => verdictOf(guard, accessToken), PATIENT).toMatchObject({ allowed: false, status: 503 })
  expect(await verdictOf(guard, other)).toMatchObject({ allowed: false })

  await pair.postgres.start()
  for (const name of ['a', 'b']) {
    pair.balancer.toward = name
    await expect.poll(() => get('/readyz'), PATIENT).toMatchObject({ status: 200 })
    expect((await pair.token(form)).status).toBe(200)
  }
  await expect.poll(() => verdictOf(guard, accessToken), PATIENT).toMatchObject({ allowed: true })
  expect(await verdictOf(guard, other)).toMatchObject({ allowed: false, status: 401, code: 'revoked' })
  const renewed = await flow.refresh(refreshToken)
  expect(renewed.status).toBe(200)
  // Calls of the database are heard again, across both.
  pair.balancer.toward = (path) => (path.includes('/ssf/') ? 'b' : 'a')
  expect((await revoke('alice')).status).toBe(200)
  await expect
    .poll(() => verdictOf(guard, String(renewed.body.access_token)), PATIENT)
    .toMatchObject({ allowed: false, status: 401, code: 'revoked' })
})

it('while the database is away, what is put off is kept, whoever reads it is told at once, and a server ends', async () => {
  const { store } = pair.a
  await pair.postgres.kill()
  const written: string[] = []
  const job = store.soon(async (db) => {
    await db.selectFrom('tenants').select('id').execute()
    written.push('one')
  })
  await expect(store.flush()).rejects.toMatchObject({ code: 'store_unavailable', status: 503 })
  expect(written).toEqual([])
  void pair.b.store.soon((db) => db.selectFrom('tenants').select('id').execute())
  await pair.b.close()
  await pair.postgres.start()
  await job
  expect(written).toEqual(['one'])
})
