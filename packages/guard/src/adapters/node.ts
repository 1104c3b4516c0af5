import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import { exposedOf } from '../denial.ts'
import type { Checker, Guard } from '../guard.ts'
import type { Allowed, Denied, Verdict } from '../verdict.ts'
import { createDescription } from './description.ts'
import { type NodeResponse, releaseAtClose } from './release.ts'

export type NodeRequest = IncomingMessage | Http2ServerRequest

/** A request that the guard let pass. */
export type GuardedRequest = IncomingMessage & { auth: Allowed }

/** A handler of `(request, response, next)`: `next()` is called for allowed requests only, with `request.auth` set; denied ones are answered. */
export type Protect = (request: NodeRequest, response: NodeResponse, next: (error?: unknown) => void) => void

/** Puts a guard in front of plain node handlers (HTTP/1.1 or 2) and whatever takes `(request, response, next)`. */
export function protect(guard: Checker): Protect {
  return (request, response, next) => {
    const verdict = guard.check(request)
    if (verdict instanceof Promise) verdict.then((settled) => settle(settled, request, response, next), next)
    else settle(verdict, request, response, next)
  }
}

/**
 * Serves what the API says of itself (RFC 9728), at the one path that clients look for; everything else goes on. Put it before `protect`: it is for whoever has no token yet.
 * @throws TypeError for a guard that was made without `resource`
 */
export function metadata(guard: Pick<Guard, 'metadata'>): Protect {
  const { headers, bodyFor } = createDescription(guard)
  return (request, answer, next) => {
    const response = answer as ServerResponse
    const body = bodyFor(request.method, request.url)
    if (body === undefined) return next()
    response.statusCode = 200
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    response.end(body)
  }
}

function settle(verdict: Verdict, request: NodeRequest, response: NodeResponse, next: () => void): void {
  if (!verdict.allowed) {
    refuse(verdict, response as ServerResponse)
    return
  }
  ;(request as GuardedRequest).auth = verdict
  releaseAtClose(response, verdict)
  next()
}

function refuse({ status, headers, body }: Denied, response: ServerResponse): void {
  response.statusCode = status
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
  response.appendHeader('Access-Control-Expose-Headers', exposedOf(headers))
  response.setHeader('Content-Type', 'application/json')
  response.end(JSON.stringify(body))
}
