import { connect, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventually, type Loop, startLoop } from './loop.ts'

let loop: Loop
beforeAll(async () => {
  loop = await startLoop({ settings: { bounds: { files: 1, admin: 1 } } })
})
afterAll(() => loop.close())

const DESCRIPTION = '/v1.0/openapi.json'
const underWay = async (kind: string) => {
  const text = await (await fetch(`${loop.origin}/metrics`)).text()
  return Number(text.match(new RegExp(`caegis_requests_under_way\\{kind="${kind}"\\} (\\d+)`))?.[1] ?? Number.NaN)
}

/** Asks again and again on one connection, and reads nothing, until an answer is stuck. */
async function neverRead(): Promise<TLSSocket> {
  const { hostname, port } = new URL(loop.origin)
  const socket = connect({ host: hostname, port: Number(port), servername: hostname })
  socket.pause()
  socket.on('error', () => {})
  await new Promise((resolve) => socket.once('secureConnect', resolve))
  for (let asked = 0; asked < 80; asked++) {
    socket.write(`GET ${DESCRIPTION} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return socket
}

it('E11: who never reads the description of the API keeps nobody from the API', async () => {
  const socket = await neverRead()
  expect((await fetch(`${loop.origin}${DESCRIPTION}`)).status).toBe(429)
  expect((await loop.graph('GET', '/users')).status).toBe(200)
  expect(await underWay('files')).toBe(1)
  expect((await fetch(`${loop.issuer}/.well-known/openid-configuration`)).status).toBe(200)
  expect((await fetch(`${loop.authority}/discovery/v2.0/keys`)).status).toBe(200)
  socket.destroy()
  await eventually(
    () => underWay('files'),
    (count) => count === 0,
  )
  expect((await fetch(`${loop.origin}${DESCRIPTION}`)).status).toBe(200)
})

it('the description is one text, which caches may keep', async () => {
  const first = await fetch(`${loop.origin}${DESCRIPTION}`)
  expect(first.headers.get('content-type')).toMatch(/^application\/json/)
  expect(first.headers.get('cache-control')).toBe('public, max-age=600')
  const etag = first.headers.get('etag') as string
  const text = await first.text()
  expect(JSON.parse(text)).toMatchObject({ openapi: '3.1.0' })
  const again = await fetch(`${loop.origin}${DESCRIPTION}`, { headers: { 'if-none-match': etag } })
  expect([again.status, await again.text()]).toEqual([304, ''])
})
