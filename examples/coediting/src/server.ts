import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import { type Allowed, createGuard } from '@caegis/guard'
import { ACCESS_ENDED, endWebSocket } from '@caegis/guard/live'
import { type RawData, type WebSocket, WebSocketServer } from 'ws'

const { ISSUER = 'https://localhost:8443/contoso/v2.0', CLIENT_SECRET = '', PORT = '3001' } = process.env
const guard = createGuard({ issuer: ISSUER, audience: 'api://files', clientId: 'files-api', clientSecret: CLIENT_SECRET, log: console })

/** What everybody edits, and who does. */
let text = ''
const editors = new Set<WebSocket>()

const page = readFileSync(new URL('../index.html', import.meta.url))
const server = createServer((_, response) => response.setHeader('Content-Type', 'text/html; charset=utf-8').end(page))

new WebSocketServer({ server, maxPayload: 65_536 }).on('connection', (socket, request) => {
  let auth: Allowed | undefined
  const late = setTimeout(() => socket.close(ACCESS_ENDED, 'token_missing'), 10_000)
  socket.on('error', () => socket.terminate())
  socket.on('close', () => {
    clearTimeout(late)
    editors.delete(socket)
  })
  socket.on('message', async (data) => {
    const message = read(data)
    if (typeof message.token === 'string') await enter(message.token)
    else if (auth === undefined) socket.close(ACCESS_ENDED, 'token_missing')
    else if (typeof message.text === 'string') edit(socket, message.text)
  })

  /** A page cannot send headers with a WebSocket, so a token is its first message; each later one brings a newer token, and cuts nothing. */
  async function enter(token: string): Promise<void> {
    const verdict = await check(token, request)
    if (!verdict.allowed) socket.close(ACCESS_ENDED, verdict.code)
    else if (auth === undefined) {
      auth = verdict
      clearTimeout(late)
      endWebSocket(socket, auth)
      if (auth.signal.aborted) return
      editors.add(socket)
      tell(socket, { text })
    } else if (auth.handOver(verdict)) tell(socket, { until: verdict.claims.exp })
    else socket.close(ACCESS_ENDED, 'another access')
  }
})

await guard.ready()
server.listen(Number(PORT))
process.once('SIGTERM', () => {
  server.close()
  void guard.close()
})

function check(token: string, { headers, socket }: IncomingMessage) {
  return guard.check({ headers: { ...headers, authorization: `Bearer ${token}` }, socket })
}

function edit(author: WebSocket, edited: string): void {
  text = edited
  for (const editor of editors) if (editor !== author) tell(editor, { text })
}

function tell(socket: WebSocket, message: object): void {
  socket.send(JSON.stringify(message))
}

/** Whatever is no message says nothing. */
function read(data: RawData): { token?: unknown; text?: unknown } {
  try {
    return Object(JSON.parse(String(data)))
  } catch {
    return {}
  }
}
