import { createServer } from 'node:https'
import { localTls } from '@caegis/server'
import { type Callers, PASSWORD, SCOPE, SECRET } from './loop.ts'

/** The tenant of the tests about streams and events: one daemon that may steer them, one that may look, one that may neither. */
export const SIGNALS_TENANT = JSON.stringify({
  tenant: { name: 'contoso', displayName: 'Contoso' },
  users: [
    { userPrincipalName: 'admin@contoso.test', displayName: 'Admin', password: PASSWORD, roles: ['admin'] },
    { userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: PASSWORD },
    { userPrincipalName: 'bob@contoso.test', displayName: 'Bob', password: PASSWORD },
  ],
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'mail-api', identifierUris: ['api://mail'], scopes: ['Mail.Read'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
    {
      appId: 'nightly',
      type: 'daemon',
      clientSecret: SECRET,
      permissions: ['graph/User.ReadWrite.All', 'graph/SecurityEvents.ReadWrite.All', 'api://files/.default'],
    },
    { appId: 'auditor', type: 'daemon', clientSecret: SECRET, permissions: ['graph/SecurityEvents.Read.All'] },
    { appId: 'clerk', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.RevokeSessions.All'] },
  ],
})

/** The stream endpoints as a receiver calls them. */
export function createReceiver(loop: Pick<Callers, 'authority' | 'daemonToken'>, clientId = 'files-api') {
  const call = async (method: string, path: string, body?: object) => {
    const token = await loop.daemonToken(clientId, 'ssf.read ssf.manage')
    const response = await fetch(`${loop.authority}/ssf${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    const text = await response.text()
    return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as any }
  }
  return {
    call,
    async create(more: object = {}): Promise<string> {
      const { status, body } = await call('POST', '/streams', { delivery: { method: 'urn:ietf:rfc:8936' }, ...more })
      if (status !== 201) throw new Error(`no stream: ${status}`)
      return body.stream_id
    },
    async poll(
      id: string,
      body: object = {},
    ): Promise<{ sets: Record<string, string>; caegis_head: { epoch: string; seq: number; status: string } }> {
      return (await call('POST', `/poll/${id}`, { returnImmediately: true, ...body })).body
    },
    /** Takes everything that waits, and acknowledges it. */
    async drain(id: string): Promise<string[]> {
      const all: string[] = []
      for (let ack: string[] = []; ; ) {
        const { sets } = await this.poll(id, { ack })
        ack = Object.keys(sets)
        if (ack.length === 0) return all
        all.push(...Object.values(sets))
      }
    },
  }
}

/** A push receiver's endpoint over TLS, which answers as it is told. */
export async function startEndpoint(data: string, answer: () => number = () => 202) {
  const { cert, key } = await localTls(data, Date.now())
  const pushed: string[] = []
  const server = createServer({ cert, key }, (request, response) => {
    let body = ''
    request.on('data', (part) => {
      body += part
    })
    request.on('end', () => {
      pushed.push(body)
      const status = answer()
      response.writeHead(status, { 'content-type': 'application/json' }).end(status === 400 ? '{"err":"invalid_request"}' : undefined)
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

/** Reads an event stream as it comes: its messages, and how it ended. */
export async function openSse(url: string, token: string, headers: Record<string, string> = {}) {
  const gone = new AbortController()
  const response = await fetch(url, { headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream', ...headers }, signal: gone.signal })
  const messages: { id?: string; event?: string; data?: any }[] = []
  const state = { comments: 0, ended: false }
  const reading = (async () => {
    let rest = ''
    const decoder = new TextDecoder()
    for await (const bytes of response.body as AsyncIterable<Uint8Array>) {
      const blocks = (rest + decoder.decode(bytes, { stream: true })).split('\n\n')
      rest = blocks.pop() as string
      for (const block of blocks) {
        if (block === ':') state.comments++
        const fields = Object.fromEntries(block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]))
        const { id, event, data } = fields
        if (id === undefined && data === undefined) continue
        messages.push({
          ...(id !== undefined && { id }),
          ...(event !== undefined && { event }),
          ...(data !== undefined && { data: JSON.parse(data) }),
        })
      }
    }
  })()
    .catch(() => {})
    .then(() => {
      state.ended = true
    })
  return {
    response,
    messages,
    state,
    ended: reading,
    async close() {
      gone.abort()
      await reading
    },
  }
}
