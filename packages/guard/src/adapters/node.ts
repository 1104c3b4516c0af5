import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Checker } from '../guard.ts'
import type { Allowed, Denied, Verdict } from '../verdict.ts'

/** A request that the guard let pass. */
export type GuardedRequest = IncomingMessage & { auth: Allowed }

/** A handler of `(request, response, next)`: `next()` is called for allowed requests only, with `request.auth` set; denied ones are answered. */
export type Protect = (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => void

/** Puts a guard in front of plain node handlers and whatever takes `(request, response, next)`. */
export function protect(guard: Checker): Protect {
  return (request, response, next) => {
    const verdict = guard.check(request)
    if (verdict instanceof Promise) verdict.then((settled) => settle(settled, request, response, next), next)
    else settle(verdict, request, response, next)
  }
}

function settle(verdict: Verdict, request: IncomingMessage, response: ServerResponse, next: () => void): void {
  if (!verdict.allowed) {
    refuse(verdict, response)
    return
  }
  ;(request as GuardedRequest).auth = verdict
  // Finished or broken off: either way nobody waits for the signal any more.
  if (response.destroyed) verdict.release()
  else response.once('close', () => verdict.release())
  next()
}

function refuse({ status, headers, body }: Denied, response: ServerResponse): void {
  response.statusCode = status
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
  // Without this a page from another origin cannot read the challenge.
  response.appendHeader('Access-Control-Expose-Headers', 'WWW-Authenticate')
  response.setHeader('Content-Type', 'application/json')
  response.end(JSON.stringify(body))
}
