import { randomUUID } from 'node:crypto'

/** A refusal of the admin API, in Microsoft Graph's words. */
export class GraphError extends Error {
  readonly status: number
  readonly code: string
  readonly details: readonly ErrorDetail[]

  constructor(status: number, code: string, message: string, details: readonly ErrorDetail[] = []) {
    super(message)
    this.status = status
    this.code = code
    this.details = details
  }
}

/** One of several mistakes: where it is (JSON pointer, RFC 6901) and what it is. */
export interface ErrorDetail {
  code: string
  target: string
  message: string
}

export const badRequest = (message: string) => new GraphError(400, 'Request_BadRequest', message)
/** @param lacks what would have let the caller in: Graph leaves its readers to look that up */
export const denied = (lacks: string) =>
  new GraphError(403, 'Authorization_RequestDenied', `Insufficient privileges to complete the operation. ${lacks}`)
export const notFound = () =>
  new GraphError(404, 'Request_ResourceNotFound', 'Resource does not exist or one of its queried reference-property objects are not present.')

export function errorBody(code: string, message: string, clientRequestId: string | undefined, details: readonly ErrorDetail[] = []): object {
  return {
    error: {
      code,
      message,
      ...(details.length > 0 ? { details } : {}),
      innerError: {
        date: new Date().toISOString().slice(0, 19),
        'request-id': randomUUID(),
        ...(clientRequestId !== undefined && /^[A-Za-z0-9-]{1,64}$/.test(clientRequestId) ? { 'client-request-id': clientRequestId } : {}),
      },
    },
  }
}
