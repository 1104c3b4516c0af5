import type { Readable } from 'node:stream'
import { MAX_PUSH, type PushAnswer, type PushHandler } from '../push.ts'

/** What is needed of node's `IncomingMessage` and `ServerResponse`. */
export interface NodeRequest extends AsyncIterable<unknown> {
  method?: string | undefined
  headers: Record<string, string | string[] | undefined>
}
export interface NodeResponse {
  statusCode: number
  setHeader(name: string, value: string): unknown
  end(text?: string): unknown
}

/** `http.createServer(nodeHandler(receiver))`, or behind a router of your own. */
export function nodeHandler(receiver: { handler: PushHandler }): (request: NodeRequest, response: NodeResponse) => Promise<void> {
  return async (request, response) => {
    send(response, await answer(receiver, request, await readBody(request)))
  }
}

export function answer(
  { handler }: { handler: PushHandler },
  { method, headers }: NodeRequest,
  body: string | Uint8Array | undefined,
): Promise<PushAnswer> {
  // A body that broke off is no SET; the handler says so.
  return handler({ method, headers, body: body ?? '' })
}

/** The body, or just enough of it to show that it is too long: the rest is not read. Undefined when it broke off. */
export async function readBody(request: AsyncIterable<unknown>): Promise<Uint8Array | undefined> {
  const read: Buffer[] = []
  let size = 0
  try {
    // Node would otherwise take the connection down with the unread rest, and nobody would hear why.
    const chunks = isReadable(request) ? request.iterator({ destroyOnReturn: false }) : request
    for await (const chunk of chunks) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : Buffer.from(chunk as Uint8Array)
      read.push(bytes)
      size += bytes.byteLength
      if (size > MAX_PUSH) break
    }
  } catch {
    return undefined
  }
  return Buffer.concat(read)
}

export function send(response: NodeResponse, { status, headers, body }: PushAnswer): void {
  response.statusCode = status
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
  // What was not read of the request must not be taken for the next one.
  if (status === 413) response.setHeader('connection', 'close')
  response.end(body)
}

function isReadable(request: AsyncIterable<unknown>): request is AsyncIterable<unknown> & Pick<Readable, 'iterator'> {
  return 'iterator' in request && typeof request.iterator === 'function'
}
