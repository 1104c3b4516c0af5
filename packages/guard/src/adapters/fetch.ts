import { exposedOf } from '../denial.ts'
import type { Checker, Guard } from '../guard.ts'
import type { Allowed, Denied } from '../verdict.ts'
import { createDescription } from './description.ts'
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

/** `(request) => metadata(guard)(request) ?? handle(request)`, made once: what the API says of itself (RFC 9728), where that is asked. */
export function metadata(guard: Pick<Guard, 'metadata'>): (request: Request) => Response | undefined {
  const { headers, bodyFor } = createDescription(guard)
  return ({ method, url }) => {
    const body = bodyFor(method, url)
    return body === undefined ? undefined : new Response(body, { headers })
  }
}

function refuse({ status, headers, body }: Denied): Response {
  return Response.json(body, { status, headers: { ...headers, 'Access-Control-Expose-Headers': exposedOf(headers) } })
}
