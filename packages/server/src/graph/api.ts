import { CaegisError } from '@caegis/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { z } from 'zod'
import type { Committed } from '../directory/directory.ts'
import type { Log } from '../log.ts'
import type { Caller } from './caller.ts'
import { badRequest, errorBody, GraphError, notFound } from './errors.ts'

export interface ApiOptions {
  origin: string
  log: Log
  /** Lets a request through the server's own guard, or answers it and returns `undefined`. */
  admit(request: FastifyRequest, reply: FastifyReply): Promise<Caller | undefined>
}

export type Handle = (caller: Caller, request: FastifyRequest, reply: FastifyReply) => Promise<unknown>

/** What every resource of the admin API registers its routes with. */
export interface Api {
  origin: string
  log: Log
  route(method: 'GET' | 'POST' | 'PATCH' | 'DELETE', url: string, handle: Handle): void
}

/** The admin API's frame: who calls is settled before the body is read, and every error has Graph's body. */
export function createApi(app: FastifyInstance, { origin, log, admit }: ApiOptions): Api {
  const callers = new WeakMap<FastifyRequest, Caller>()
  const enter = async (request: FastifyRequest, reply: FastifyReply) => {
    const caller = await admit(request, reply)
    if (!caller) return reply
    callers.set(request, caller)
    return undefined
  }

  // Clients name a content type without sending a body; an action takes none.
  app.removeContentTypeParser('application/json')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, body === '' ? undefined : JSON.parse(body as string))
    } catch {
      done(badRequest('The body is not JSON.'))
    }
  })
  app.setErrorHandler((error: Error & { statusCode?: number }, request, reply) => {
    const id = String(request.headers['client-request-id'] ?? '') || undefined
    const known = toGraphError(error)
    if (known.status >= 500) log.error('the admin API failed', { name: error.name, message: error.message, stack: error.stack })
    return reply.code(known.status).send(errorBody(known.code, known.message, id))
  })
  app.route({
    method: ['GET', 'POST', 'PATCH', 'PUT', 'DELETE'],
    url: '/v1.0/*',
    onRequest: enter,
    handler: async () => {
      throw new GraphError(400, 'BadRequest', 'This resource or method is not part of the admin API.')
    },
  })

  return {
    origin,
    log,
    route: (method, url, handle) =>
      void app.route({
        method,
        url: `/v1.0${url}`,
        onRequest: enter,
        handler: (request, reply) => handle(callers.get(request) as Caller, request, reply),
      }),
  }
}

/** One page of a list, out of what was found, which is one more where another page follows: then it is named. */
export function pageOf<T>(origin: string, request: FastifyRequest, found: readonly T[], limit: number, tokenOf: (last: T) => string | number) {
  const value = found.slice(0, limit)
  if (found.length <= limit) return { value, next: {} }
  const search = searchOf(request)
  search.set('$skiptoken', String(tokenOf(value.at(-1) as T)))
  return { value, next: { '@odata.nextLink': `${origin}${request.url.split('?')[0]}?${search}` } }
}

export function searchOf(request: FastifyRequest): URLSearchParams {
  const at = request.url.indexOf('?')
  return new URLSearchParams(at < 0 ? '' : request.url.slice(at))
}

/** A parameter of the path, bounded. */
export function pathOf(request: FastifyRequest, name = 'id'): string {
  return ((request.params as Record<string, string>)[name] as string).slice(0, 320)
}

/** What a body says. @throws GraphError 400 with the path of each mistake and what is wrong there, never the value */
export function readBody<T>(schema: z.ZodType<T>, body: unknown): T {
  const read = schema.safeParse(body)
  if (!read.success) throw badRequest(describe(read.error))
  return read.data
}

/** Every write names its cause, by which its way through the loop can be followed. */
export function written(reply: FastifyReply, done: Committed<unknown>): FastifyReply {
  return reply.header('caegis-txn', done.txn)
}

function describe(error: z.ZodError): string {
  return error.issues
    .map(
      (issue) =>
        `${issue.code === 'unrecognized_keys' ? `unknown property '${issue.keys[0]?.slice(0, 40)}'` : `${issue.path.join('.') || 'body'}: ${issue.message}`}`,
    )
    .slice(0, 5)
    .join('; ')
}

function toGraphError(error: Error & { statusCode?: number }): GraphError {
  if (error instanceof GraphError) return error
  if (error instanceof CaegisError) {
    if (
      ['user_not_found', 'application_not_found', 'group_not_found', 'device_not_found', 'assignment_not_found', 'key_not_found'].includes(error.code)
    )
      return notFound()
    if (error.code === 'device_exists' || error.code === 'user_exists') return new GraphError(409, 'Request_Conflict', error.message)
    if (error.code === 'last_admin' || error.code === 'command_line') return new GraphError(400, 'Request_BadRequest', error.message)
    if (error.code === 'actor_revoked') return new GraphError(403, 'Authorization_RequestDenied', error.message)
    if (
      error.code === 'invalid_password' ||
      error.code === 'invalid_certificate' ||
      error.code === 'public_client' ||
      error.code === 'too_many_tokens'
    )
      return badRequest(error.message)
  }
  const status = error.statusCode ?? 500
  if (status >= 400 && status < 500)
    return new GraphError(status, 'BadRequest', status === 413 ? 'The body is too large.' : 'The request could not be read.')
  return new GraphError(500, 'InternalServerError', 'The server failed. What happened is in its log.')
}
