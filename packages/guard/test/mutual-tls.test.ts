import { once } from 'node:events'
import { Agent, createServer, request, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { protect } from '../src/adapters/node.ts'
import { makeCertificate } from './certificates.ts'
import { mint, startGuard } from './tokens.ts'

const own = makeCertificate('files-daemon')
const other = makeCertificate('other-daemon')
const agents: Agent[] = []
let server: Server
beforeAll(async () => {
  const { guard } = startGuard()
  const door = protect(guard)
  const { cert, key } = makeCertificate('localhost')
  server = createServer({ cert, key, requestCert: true, rejectUnauthorized: false }, (incoming, response) =>
    door(incoming, response, () => void response.end()),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterAll(() => {
  for (const agent of agents) agent.destroy()
  server?.closeAllConnections()
  server?.close()
})

/** A client that keeps its connection, and TLS sessions for the next one. */
function connect(shown?: { cert: string; key: string }, keepAlive = true) {
  const agent = new Agent({ keepAlive, maxSockets: 1, rejectUnauthorized: false, ...(shown ? { cert: shown.cert, key: shown.key } : {}) })
  agents.push(agent)
  const { port } = server.address() as AddressInfo
  return (token: string) =>
    new Promise<{ status: number | undefined; resumed: boolean }>((resolve, reject) => {
      const asking = request({ host: '127.0.0.1', port, path: '/files/42', agent, headers: { authorization: `Bearer ${token}` } }, (response) => {
        const resumed = (response.socket as unknown as { isSessionReused(): boolean }).isSessionReused()
        response.resume().on('end', () => resolve({ status: response.statusCode, resumed }))
      })
      asking.on('error', reject).end()
    })
}

it('E7: over TLS a token that is bound to a certificate is good on the connections of its holder alone', async () => {
  const token = mint({ cnf: { 'x5t#S256': own.thumbprint } })
  const [holder, thief, nobody] = [connect(own), connect(other), connect()]
  for (let i = 0; i < 2; i++) {
    expect((await holder(token)).status).toBe(200)
    expect([(await thief(token)).status, (await nobody(token)).status]).toEqual([401, 401])
  }
  // Others of the same connection are nobody's business.
  expect([(await thief(mint())).status, (await nobody(mint())).status]).toEqual([200, 200])
  expect((await thief(mint({ cnf: { 'x5t#S256': other.thumbprint } }))).status).toBe(200)
})

it('E7: a connection that takes up an earlier TLS session has the certificate of that one', async () => {
  const token = mint({ cnf: { 'x5t#S256': own.thumbprint } })
  const [holder, nobody] = [connect(own, false), connect(undefined, false)]
  const seen = []
  for (let i = 0; i < 4; i++) seen.push(await holder(token))
  expect(seen.map(({ status }) => status)).toEqual([200, 200, 200, 200])
  expect(seen.some(({ resumed }) => resumed)).toBe(true)
  for (let i = 0; i < 2; i++) expect((await nobody(token)).status).toBe(401)
})
