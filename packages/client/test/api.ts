import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { formatChallenge } from '@caegis/protocol'

export const ISSUER = 'https://id.example/contoso/v2.0'
export const NBF = 1_753_000_000

export interface Seen {
  method: string
  path: string
  authorization: string | undefined
  body: string
}

/** An API on this machine that remembers what reached it. */
export async function startApi(answer: (seen: Seen, response: ServerResponse, count: number) => void) {
  const seen: Seen[] = []
  const server: Server = createServer(async (request: IncomingMessage, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const one = {
      method: request.method ?? '',
      path: request.url ?? '',
      authorization: request.headers.authorization,
      body: Buffer.concat(chunks).toString(),
    }
    seen.push(one)
    answer(one, response, seen.length)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    seen,
    origin: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export function challenge(response: ServerResponse, nbf = NBF, authorizationUri = `${ISSUER}/authorize`): void {
  response.writeHead(401, { 'WWW-Authenticate': formatChallenge({ authorizationUri, clientId: 'files-api', claims: { nbf } }) }).end('no')
}

/** Allows `Bearer good`, challenges everything else. */
export function guarded(seen: Seen, response: ServerResponse): void {
  if (seen.authorization === 'Bearer good') response.end(seen.body || 'yes')
  else challenge(response)
}
