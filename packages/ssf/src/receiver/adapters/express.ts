import type { PushHandler } from '../push.ts'
import { answer, type NodeRequest, type NodeResponse, readBody, send } from './node.ts'

/** What is needed of Express's `Request`; a body that `express.text()` or `express.raw()` has read already is taken as it is. */
export interface ExpressRequest extends NodeRequest {
  body?: unknown
}

/** `app.post('/ssf', expressHandler(receiver))`; a body parser before it is not needed. */
export function expressHandler(receiver: {
  handler: PushHandler
}): (request: ExpressRequest, response: NodeResponse, next: (error?: unknown) => void) => void {
  return (request, response, next) => {
    const { body } = request
    const read = typeof body === 'string' || body instanceof Uint8Array ? body : readBody(request)
    Promise.resolve(read)
      .then((bytes) => answer(receiver, request, bytes))
      .then((result) => send(response, result))
      .catch(next)
  }
}
