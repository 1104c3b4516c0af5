import type { Context, MiddlewareHandler } from 'hono'
import type { GuardRequest } from '../credentials.ts'
import { exposedOf } from '../denial.ts'
import type { Checker, Guard } from '../guard.ts'
import type { Allowed } from '../verdict.ts'
import { createDescription } from './description.ts'
import { type NodeResponse, releaseAtClose, releaseAtEnd } from './release.ts'

/** What `@hono/node-server` hands over. */
interface NodeBindings {
  incoming?: GuardRequest
  outgoing?: NodeResponse
}

export interface HonoOptions {
  /** Where the connection comes from, where the runtime is not node: `(c) => getConnInfo(c).remote.address`. For policies that depend on it. */
  address?: (context: Context) => string | undefined
}

/** `app.use('/files/*', protect(guard))`: denied requests are answered, for allowed ones there is `c.get('auth')`. */
export function protect(guard: Checker, { address }: HonoOptions = {}): MiddlewareHandler<{ Variables: { auth: Allowed } }> {
  return async (c, next) => {
    const { incoming, outgoing } = ((c.env as unknown) ?? {}) as NodeBindings
    const { method, url, headers } = c.req.raw
    const verdict = await guard.check(incoming ?? { method, url, headers, socket: { remoteAddress: address?.(c) } })
    if (!verdict.allowed) {
      for (const [name, value] of Object.entries(verdict.headers)) c.header(name, value)
      c.header('Access-Control-Expose-Headers', exposedOf(verdict.headers), { append: true })
      return c.json(verdict.body, verdict.status)
    }
    c.set('auth', verdict)
    if (outgoing) {
      releaseAtClose(outgoing, verdict)
      return next()
    }
    const response = await releaseAtEnd(c.req.raw, verdict, async () => {
      await next()
      return c.res
    })
    if (response !== c.res) c.res = response
  }
}

/** `app.use(metadata(guard))`, before `protect`: serves what the API says of itself (RFC 9728). */
export function metadata(guard: Pick<Guard, 'metadata'>): MiddlewareHandler {
  const { headers, bodyFor } = createDescription(guard)
  return async (c, next) => {
    const body = bodyFor(c.req.method, c.req.url)
    return body === undefined ? next() : c.body(body, 200, headers)
  }
}
