import { CaegisError } from '@caegis/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { z } from 'zod'
import type { Actor, Committed, Seen } from '../directory/directory.ts'
import type { Permission } from '../directory/permissions.ts'
import { SERVER_ERRORS } from '../errors.ts'
import type { Log } from '../log.ts'
import { type Admitted, authorize, authorizeSelf, type Caller, mayThemselves } from './caller.ts'
import { badRequest, errorBody, GraphError, notFound } from './errors.ts'
import { refuseOthers, type Tag } from './query.ts'
import type { AnyResource } from './resource.ts'

export interface ApiOptions {
  origin: string
  log: Log
  /** Lets a request through the server's own guard, or answers it and returns `undefined`. */
  admit(request: FastifyRequest, reply: FastifyReply): Promise<Admitted | undefined>
  /** A keyed digest, for what clients keep and give back. */
  tag: Tag
}

export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE'
export type Handle<B> = (caller: Caller, request: FastifyRequest, reply: FastifyReply, body: B) => Promise<unknown>

/** What a route is for and who may use it. Nothing is served without: the frame asks before the resource is looked at. */
export interface RouteSpec<B> {
  does: string
  /** Any one of these permissions suffices; a user needs an administrator's role beside it. `each alone`: it does nothing itself, and what is in it is asked one by one. */
  needs: readonly [Permission, ...Permission[]] | 'each alone'
  /** What it answers with, one or a list. */
  gives?: AnyResource
  /** It is about the caller alone: for users only, and no role is needed. */
  own?: true
  /** People may use it with this permission, and without a role, where it is about themselves. */
  self?: { needs: Permission; when: string; holds(caller: Admitted, request: FastifyRequest): Promise<boolean> }
  /** The object that it edits, as `If-Match` may say which state of it was read. */
  edits?: { kind: Seen['kind']; id(caller: Admitted, request: FastifyRequest): Promise<string> }
  /** What part of it needs more, in words. */
  more?: { needs: Permission; when: string }
  /** Query options that it has; any other is refused. */
  options?: readonly string[]
  body?: z.ZodType<B>
  /** Bytes that a body may have, where the usual bound is too low: then who may not use the route is told so before it is read. */
  bodyLimit?: number
}

/** A route as it was declared: permissions, documentation and the OpenAPI document are made of these. */
export interface Declared extends RouteSpec<unknown> {
  method: Method
  /** Under `/v1.0`. */
  url: string
}

/** What every resource of the admin API registers its routes with. */
export interface Api {
  origin: string
  log: Log
  tag: Tag
  route<B = undefined>(method: Method, url: string, spec: RouteSpec<B>, handle: Handle<B>): void
  declared: readonly Declared[]
}

/** The admin API's frame: who calls is settled before the body is read, and every error has Graph's body. */
export function createApi(app: FastifyInstance, { origin, log, admit, tag }: ApiOptions): Api {
  const declared: Declared[] = []
  const callers = new WeakMap<FastifyRequest, Admitted>()
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
    if (known.status === 403) sayRefused(callers.get(request), request, known.message)
    if (known.status === 429 && !reply.hasHeader('retry-after')) void reply.header('retry-after', '2')
    if (known.status >= 500 && known.status !== 503)
      log.error('the admin API failed', { name: error.name, message: error.message, stack: error.stack })
    return reply.code(known.status).send(errorBody(known.code, known.message, id, known.details))
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
    tag,
    declared,
    route(method, url, spec, handle) {
      declared.push({ method, url, ...spec })
      app.route({
        method,
        url: `/v1.0${url}`,
        ...(spec.bodyLimit === undefined
          ? { onRequest: enter }
          : {
              bodyLimit: spec.bodyLimit,
              async onRequest(request: FastifyRequest, reply: FastifyReply) {
                if ((await enter(request, reply)) === undefined) await actorOf(spec, callers.get(request) as Admitted, request)
              },
            }),
        async handler(request, reply) {
          const admitted = callers.get(request) as Admitted
          const actor = await withSeen(spec, admitted, request, await actorOf(spec, admitted, request))
          refuseOthers(searchOf(request), spec.options ?? [])
          const body = spec.body ? readBody(spec.body, request.body) : undefined
          return handle({ ...admitted, actor }, request, reply, body as Parameters<typeof handle>[3])
        },
      })
    },
  }
}

async function actorOf(
  { needs, own, self }: Pick<RouteSpec<unknown>, 'needs' | 'own' | 'self'>,
  admitted: Admitted,
  request: FastifyRequest,
): Promise<Actor> {
  if (needs === 'each alone') return { kind: 'holder', user: String(admitted.claims.oid) }
  if (own) return authorizeSelf(admitted, needs)
  if (self && mayThemselves(admitted, self.needs) && (await self.holds(admitted, request))) return authorizeSelf(admitted, [self.needs])
  return authorize(admitted, ...needs)
}

/** The actor, together with what it says it has read. `*` is whatever there is. */
async function withSeen({ edits }: Pick<RouteSpec<unknown>, 'edits'>, admitted: Admitted, request: FastifyRequest, actor: Actor): Promise<Actor> {
  const match = request.headers['if-match']
  if (match === undefined || match === '*') return actor
  if (!edits || (actor.kind !== 'user' && actor.kind !== 'app')) throw badRequest('If-Match is not supported here.')
  const position = Number(match.match(/^(?:W\/)?"(\d{1,15})"$/)?.[1] ?? -1)
  return { ...actor, seen: { kind: edits.kind, id: await edits.id(admitted, request), position } }
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

/** Who wanted to change something, and may not, is told to the audit log; a read that is refused changes nothing, and is not. */
function sayRefused(caller: Admitted | undefined, { method, routeOptions, params }: FastifyRequest, reason: string): void {
  if (!caller || method === 'GET') return
  const { idtyp, azp, oid, iat, sid } = caller.claims as { idtyp?: string; azp: string; oid: string; iat: number; sid?: string }
  const who = { appId: azp, iat, address: caller.address }
  const actor: Actor = idtyp === 'app' ? { kind: 'app', ...who } : { kind: 'user', id: oid, role: '', ...who, ...(sid === undefined ? {} : { sid }) }
  const ids = Object.values((params ?? {}) as Record<string, string>).filter((id) => /^[\w.@-]{1,128}$/.test(id))
  const targets = ids.map((id) => ({ type: 'Other' as const, id }))
  const operation = method === 'DELETE' ? 'Delete' : method === 'PATCH' ? 'Update' : 'Add'
  caller.tenant.audits.refused(actor, { activity: `${method} ${routeOptions.url}`, category: 'DirectoryManagement', operation, targets }, reason)
}

/** What a body says. @throws GraphError 400 with the path of each mistake and what is wrong there, never the value */
function readBody<T>(schema: z.ZodType<T>, body: unknown): T {
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

/** Every mistake by its path: the first ones in the message too, which is all that some clients show. */
function mistaken({ message, detail }: CaegisError): GraphError {
  const mistakes = (Array.isArray(detail) ? detail : []) as { path: string; message: string }[]
  const first = mistakes.slice(0, 5).map((one) => `${one.path || '/'}: ${one.message}`)
  const details = mistakes.map(({ path, message: what }) => ({ code: 'invalidValue', target: path, message: what }))
  return new GraphError(400, 'Request_BadRequest', [message, ...first].join(' '), details)
}

function toGraphError(error: Error & { statusCode?: number }): GraphError {
  if (error instanceof GraphError) return error
  if (error instanceof CaegisError) {
    if (
      [
        'user_not_found',
        'application_not_found',
        'group_not_found',
        'device_not_found',
        'assignment_not_found',
        'key_not_found',
        'upstream_not_found',
        'policy_not_found',
        'location_not_found',
        'context_not_found',
      ].includes(error.code)
    )
      return notFound()
    if (
      error.code === 'application_exists' ||
      error.code === 'device_exists' ||
      error.code === 'group_exists' ||
      error.code === 'user_exists' ||
      error.code === 'upstream_exists' ||
      error.code === 'policy_exists' ||
      error.code === 'location_exists' ||
      error.code === 'location_in_use' ||
      error.code === 'context_in_use'
    )
      return new GraphError(409, 'Request_Conflict', error.message)
    if (error.code === 'last_admin' || error.code === 'command_line' || error.code === 'own_application')
      return new GraphError(400, 'Request_BadRequest', error.message)
    if (error.code === 'store_unavailable') return new GraphError(503, 'ServiceUnavailable', SERVER_ERRORS.store_unavailable)
    if (error.code === 'overloaded') return new GraphError(429, 'TooManyRequests', error.message)
    if (error.code === 'changed_meanwhile') return new GraphError(412, 'PreconditionFailed', error.message)
    if (['actor_revoked', 'administrator', 'emergency_account', 'mightier_application', 'home_here'].includes(error.code))
      return new GraphError(403, 'Authorization_RequestDenied', error.message)
    if (
      error.code === 'invalid_password' ||
      error.code === 'invalid_certificate' ||
      error.code === 'invalid_upstream' ||
      error.code === 'public_client' ||
      error.code === 'too_many_tokens' ||
      error.code === 'too_many_policies' ||
      error.code === 'too_many_locations' ||
      error.code === 'location_trusted' ||
      error.code === 'switch_migrated' ||
      error.code === 'switch_scope'
    )
      return badRequest(error.message)
    if (['invalid_policy', 'invalid_location', 'invalid_tenant_file'].includes(error.code)) return mistaken(error)
  }
  const status = error.statusCode ?? 500
  if (status >= 400 && status < 500)
    return new GraphError(status, 'BadRequest', status === 413 ? 'The body is too large.' : 'The request could not be read.')
  return new GraphError(500, 'InternalServerError', 'The server failed. What happened is in its log.')
}
