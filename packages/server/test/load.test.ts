import { request as send } from 'node:http'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterEach, expect, it } from 'vitest'
import { createLoad, type Kind } from '../src/life/load.ts'

let app: FastifyInstance
afterEach(() => app?.close())

/** A server whose answers wait for the test. */
async function serve(bounds: Partial<Record<Kind, number>>) {
  app = Fastify({ forceCloseConnections: true })
  const load = createLoad(app, bounds)
  const waiting: (() => void)[] = []
  const answer = async () => {
    await new Promise<void>((resolve) => waiting.push(resolve))
    return { done: true }
  }
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body))
  app.post('/:tenant/oauth2/v2.0/token', answer)
  app.post('/:tenant/ssf/poll/:stream', answer)
  app.get('/:tenant/signin/:uid', answer)
  app.get('/v1.0/users', answer)
  app.get('/healthz', async () => ({ status: 'ok' }))
  const origin = await app.listen({ port: 0 })
  const token = (scope = 'x') =>
    fetch(`${origin}/t/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams({ grant_type: 'client_credentials', scope }) })
  const release = () => {
    for (const one of waiting.splice(0)) one()
  }
  return { origin, load, waiting, token, release }
}
const until = (true_: () => boolean) => expect.poll(true_, { timeout: 20_000 }).toBe(true)

it('sends away whom there is no room for, and serves again as soon as there is', async () => {
  const { load, token, waiting, release } = await serve({ token: 2 })
  const first = [token(), token()]
  await until(() => waiting.length === 2)
  const refused = await token()
  expect(refused.status).toBe(429)
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  expect(refused.headers.get('access-control-allow-origin')).toBe('*')
  expect(await refused.json()).toMatchObject({ error: 'temporarily_unavailable' })
  release()
  expect((await Promise.all(first)).map(({ status }) => status)).toEqual([200, 200])
  await until(() => load.underWay('token') === 0)
  const again = token()
  await until(() => waiting.length === 1)
  release()
  expect((await again).status).toBe(200)
  expect(load.refused('token')).toBe(1)
  await until(() => load.answered('token').get(200) === 3 && load.answered('token').get(429) === 1)
})

it('E11: keeps room for stream tokens and for polls while everybody else is sent away', async () => {
  const { origin, token, waiting, release } = await serve({ token: 1, signIn: 0, admin: 0 })
  const busy = token()
  await until(() => waiting.length === 1)
  expect((await token()).status).toBe(429)
  expect((await token('ssfx files.ssf.read')).status).toBe(429)
  const streams = token('ssf.read ssf.manage')
  await until(() => waiting.length === 2)
  const poll = fetch(`${origin}/t/ssf/poll/s`, { method: 'POST', body: '{}' })
  await until(() => waiting.length === 3)
  expect((await fetch(`${origin}/healthz`)).status).toBe(200)
  release()
  expect((await Promise.all([busy, streams, poll])).map(({ status }) => status)).toEqual([200, 200, 200])
})

it('says it in the words of each kind of client: a page to people, an error to the admin API', async () => {
  const { origin } = await serve({ signIn: 0, admin: 0, live: 0 })
  const page = await fetch(`${origin}/t/signin/u`)
  expect(page.status).toBe(429)
  expect(page.headers.get('content-security-policy')).toContain("frame-ancestors 'none'")
  expect(page.headers.get('retry-after')).toMatch(/^[1-5]$/)
  expect(await page.text()).toMatch(/<h1>Too much to do/)
  for (const headers of [{}, { accept: 'text/event-stream' }] as Record<string, string>[]) {
    const refused = await fetch(`${origin}/v1.0/users`, { headers })
    expect([refused.status, await refused.json()]).toMatchObject([429, { error: { code: 'TooManyRequests' } }])
  }
})

it('gives no place to who has sent no body yet, and takes it back from who has gone', async () => {
  const { origin, load, token, waiting, release } = await serve({ token: 1 })
  const slow = Array.from({ length: 5 }, () => {
    const one = send(`${origin}/t/oauth2/v2.0/token`, { method: 'POST', headers: { 'content-length': '100' } })
    one.on('error', () => {})
    one.write('grant_type=')
    return one
  })
  await until(() => slow.every(({ socket }) => socket?.readyState === 'open'))
  const gone = new AbortController()
  const left = token().catch(() => 'gone')
  await until(() => waiting.length === 1)
  release()
  await left
  const leaving = fetch(`${origin}/t/oauth2/v2.0/token`, { method: 'POST', body: 'x', signal: gone.signal }).catch(() => 'gone')
  await until(() => waiting.length === 1)
  gone.abort()
  expect(await leaving).toBe('gone')
  await until(() => load.underWay('token') === 0)
  for (const one of slow) one.destroy()
  // What the server asks itself (batches) gives its place back, too.
  expect((await app.inject({ url: '/healthz' })).statusCode).toBe(200)
  await until(() => load.underWay('probe') === 0)
})
