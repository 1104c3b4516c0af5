import type { PushHandler } from '../push.ts'
import { readBody } from './node.ts'

/** What is needed of Hono's `Context`. */
export interface HonoContext {
  req: { raw: Request }
}

/** `app.post('/ssf', honoHandler(receiver))`. */
export function honoHandler(receiver: { handler: PushHandler }): (context: HonoContext) => Promise<Response> {
  return async ({ req: { raw } }) => {
    const body = await readBody(raw.body ? (raw.body as unknown as AsyncIterable<Uint8Array>) : (async function* () {})())
    const answer = await receiver.handler({ method: raw.method, headers: raw.headers, body: body ?? '' })
    return new Response(answer.body ?? null, { status: answer.status, headers: answer.headers })
  }
}
