import type { Checker } from '../guard.ts'
import type { Allowed, Denied } from '../verdict.ts'
import { releaseAtEnd } from './release.ts'

/** What a runtime hands over beside the request (`env`, `info`, `server`, route parameters) goes on as it came. */
export type Guarded<Asked extends Request, Rest extends unknown[], Answer> = (
  request: Asked,
  auth: Allowed,
  ...rest: Rest
) => Answer | Promise<Answer>

export interface FetchOptions<Asked extends Request, Rest extends unknown[]> {
  /** Where the connection comes from, as only the runtime knows; a `Request` says nothing of it. For policies that depend on it. */
  address?: (request: Asked, ...rest: Rest) => string | undefined
}

/** Puts a guard in front of a handler from `Request` to `Response`: Next, Deno, Bun, Workers. */
export function guarded<Asked extends Request, Rest extends unknown[], Answer extends Response | undefined>(
  guard: Checker,
  handler: Guarded<Asked, Rest, Answer>,
  { address }: FetchOptions<Asked, Rest> = {},
): (request: Asked, ...rest: Rest) => Promise<Answer | Response> {
  return async (request, ...rest) => {
    const { method, url, headers } = request
    const verdict = await guard.check({ method, url, headers, socket: { remoteAddress: address?.(request, ...rest) } })
    if (!verdict.allowed) return refuse(verdict)
    return releaseAtEnd(request, verdict, () => handler(request, verdict, ...rest))
  }
}

function refuse({ status, headers, body }: Denied): Response {
  // Without the last one a page from another origin cannot read the challenge.
  return Response.json(body, { status, headers: { ...headers, 'Access-Control-Expose-Headers': 'WWW-Authenticate' } })
}
