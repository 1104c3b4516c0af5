import { createServer, type Server } from 'node:https'
import { localTls } from '@caegis/server'
import { PUSH_METHOD } from '@caegis/ssf/transmitter'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { afterEach, describe, expect, it } from 'vitest'
import { eventually, type Loop, startLoop } from './loop.ts'

interface Pushed {
  headers: Record<string, string | string[] | undefined>
  body: string
}

/** A receiver's endpoint over TLS, which answers as it is told. */
async function startEndpoint(loop: Loop, answer: () => number = () => 202): Promise<{ url: string; pushed: Pushed[]; close(): void }> {
  const { cert, key } = await localTls(loop.data, Date.now())
  const pushed: Pushed[] = []
  const server: Server = createServer({ cert, key }, (request, response) => {
    let body = ''
    request.on('data', (part) => {
      body += part
    })
    request.on('end', () => {
      pushed.push({ headers: request.headers, body })
      response.writeHead(answer()).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  const { port } = server.address() as { port: number }
  return {
    url: `https://localhost:${port}/events`,
    pushed,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}

describe('push delivery over TLS', () => {
  let loop: Loop | undefined
  let endpoint: Awaited<ReturnType<typeof startEndpoint>> | undefined
  afterEach(async () => {
    endpoint?.close()
    await loop?.close()
  })

  const call = async (path: string, body: object, method = 'POST') => {
    const { authority, daemonToken } = loop as Loop
    const token = await daemonToken('files-api', 'ssf.read ssf.manage')
    return fetch(`${authority}/ssf${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  }
  const create = async (url: string) => {
    const response = await call('/streams', { delivery: { method: PUSH_METHOD, endpoint_url: url, authorization_header: 'Bearer of-the-receiver' } })
    expect(response.status).toBe(201)
    const text = await response.text()
    expect(text).not.toContain('of-the-receiver')
    return JSON.parse(text) as { stream_id: string }
  }
  const revoke = () => (loop as Loop).graph('POST', '/users/alice@contoso.test/revokeSignInSessions')

  it('sends one signed SET with the authorization that the receiver asked for, in the interoperable form', async () => {
    loop = await startLoop({ environment: { CAEGIS_DIAL_ALLOW: 'localhost' } })
    endpoint = await startEndpoint(loop)
    await create(endpoint.url)
    await revoke()
    const [set] = await eventually(
      () => (endpoint as { pushed: Pushed[] }).pushed,
      (pushed) => pushed.length > 0,
      'the push',
    )
    expect(set?.headers).toMatchObject({
      'content-type': 'application/secevent+jwt',
      accept: 'application/json',
      authorization: 'Bearer of-the-receiver',
    })
    expect(decodeProtectedHeader(set?.body as string)).toMatchObject({ typ: 'secevent+jwt', alg: 'RS256' })
    const claims = decodeJwt(set?.body as string)
    expect(claims).toMatchObject({ iss: loop.issuer, aud: 'api://files', sub_id: { format: 'iss_sub', iss: loop.issuer } })
    expect(Object.keys(claims.events as object)).toEqual(['https://schemas.openid.net/secevent/caep/event-type/session-revoked'])
    expect(claims).not.toHaveProperty('sub')
    expect(claims).not.toHaveProperty('caegis_seq')
  })

  it('tries again until the receiver takes it, and nothing is lost over a pause', async () => {
    loop = await startLoop({ environment: { CAEGIS_DIAL_ALLOW: 'localhost' } })
    let status = 503
    endpoint = await startEndpoint(loop, () => status)
    const { stream_id: id } = await create(endpoint.url)
    await revoke()
    const seen = () => (endpoint as { pushed: Pushed[] }).pushed
    await eventually(seen, (pushed) => pushed.length >= 2, 'a second try')
    expect(new Set(seen().map(({ body }) => decodeJwt(body).jti)).size).toBe(1)
    expect((await call('/status', { stream_id: id, status: 'paused' })).status).toBe(200)
    await revoke()
    status = 202
    expect((await call('/status', { stream_id: id, status: 'enabled' })).status).toBe(200)
    await eventually(
      () => new Set(seen().map(({ body }) => decodeJwt(body).jti)).size,
      (distinct) => distinct === 2,
      'both events',
    )
  })

  it('E5: sends nothing to this machine unless the operator has named the host', async () => {
    loop = await startLoop()
    endpoint = await startEndpoint(loop)
    await create(endpoint.url)
    await revoke()
    await eventually(
      () => (loop as Loop).server.store.db.selectFrom('deliveries').selectAll().where('state', '=', 'failed').execute(),
      (rows) => rows.length > 0,
      'a failed delivery',
    )
    expect(endpoint.pushed).toEqual([])
  })
})
