import { CaegisError } from '@caegis/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Committed, User } from '../directory/directory.ts'
import { includesPermission } from '../directory/permissions.ts'
import type { Log } from '../log.ts'
import { authorize, type Caller } from './caller.ts'
import { badRequest, denied, errorBody, GraphError, notFound } from './errors.ts'
import { parseQuery, type UserProperty } from './query.ts'

export interface GraphOptions {
  origin: string
  log: Log
  /** Lets a request through the server's own guard, or answers it and returns `undefined`. */
  admit(request: FastifyRequest, reply: FastifyReply): Promise<Caller | undefined>
}

const userPatch = z
  .strictObject({
    accountEnabled: z.boolean().optional(),
    displayName: z.string().min(1).max(256).optional(),
    passwordProfile: z.strictObject({ password: z.string().min(8).max(256), forceChangePasswordNextSignIn: z.literal(false).optional() }).optional(),
  })
  .refine((patch) => Object.keys(patch).length > 0, 'an empty change')

/** The admin API in Microsoft Graph's shapes: users, as far as the loop needs them. The tenant is the one of the token. */
export function registerGraph(app: FastifyInstance, { origin, log, admit }: GraphOptions): void {
  // Who calls is settled before the body is read.
  const callers = new WeakMap<FastifyRequest, Caller>()
  const enter = async (request: FastifyRequest, reply: FastifyReply) => {
    const caller = await admit(request, reply)
    if (!caller) return reply
    callers.set(request, caller)
    return undefined
  }
  const route = (
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    url: string,
    handle: (caller: Caller, request: FastifyRequest, reply: FastifyReply) => Promise<unknown>,
  ) =>
    app.route({
      method,
      url: `/v1.0${url}`,
      onRequest: enter,
      handler: (request, reply) => handle(callers.get(request) as Caller, request, reply),
    })

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

  route('GET', '/me', async ({ tenant, claims }, request) => {
    const query = parseQuery(searchOf(request), ['$select'])
    if (claims.idtyp === 'app') throw badRequest('/me request is only valid with delegated authentication flow.')
    if (!includesPermission(String(claims.scp ?? '').split(' '), 'User.Read')) throw denied()
    return shape(await existing(tenant.directory.user(String(claims.oid))), query.select, `${origin}/v1.0/$metadata#users/$entity`)
  })

  route('GET', '/users', async (caller, request) => {
    const query = parseQuery(searchOf(request), ['$filter', '$select', '$top', '$skiptoken'])
    await authorize(caller, 'User.Read.All')
    const { filter, after } = query
    const users = await caller.tenant.directory.list({
      limit: query.top + 1,
      ...(filter ? { filter } : {}),
      ...(after === undefined ? {} : { after }),
    })
    const more = users.length > query.top
    const page = users.slice(0, query.top)
    return {
      '@odata.context': `${origin}/v1.0/$metadata#users`,
      ...(more ? { '@odata.nextLink': nextLink(request, page.at(-1)?.id as string) } : {}),
      value: page.map((user) => shape(user, query.select)),
    }
  })

  route('GET', '/users/:id', async (caller, request) => {
    const query = parseQuery(searchOf(request), ['$select'])
    await authorize(caller, 'User.Read.All')
    return shape(await existing(caller.tenant.directory.user(idOf(request))), query.select, `${origin}/v1.0/$metadata#users/$entity`)
  })

  route('PATCH', '/users/:id', async (caller, request, reply) => {
    parseQuery(searchOf(request), [])
    const patch = userPatch.safeParse(request.body)
    if (!patch.success) throw badRequest(describe(patch.error))
    const { accountEnabled, displayName, passwordProfile } = patch.data
    // Enabling and disabling alone may be delegated apart from everything else.
    const only = displayName === undefined && passwordProfile === undefined
    const actor = await authorize(caller, only ? 'User.EnableDisableAccount.All' : 'User.ReadWrite.All')
    const done = await caller.tenant.directory.update(actor, idOf(request), {
      ...(accountEnabled === undefined ? {} : { enabled: accountEnabled }),
      ...(displayName === undefined ? {} : { displayName }),
      ...(passwordProfile === undefined ? {} : { password: passwordProfile.password }),
    })
    return written(reply, done).code(204).send()
  })

  route('DELETE', '/users/:id', async (caller, request, reply) => {
    parseQuery(searchOf(request), [])
    const actor = await authorize(caller, 'User.ReadWrite.All')
    return written(reply, await caller.tenant.directory.remove(actor, idOf(request)))
      .code(204)
      .send()
  })

  route('POST', '/users/:id/revokeSignInSessions', async (caller, request, reply) => {
    parseQuery(searchOf(request), [])
    const actor = await authorize(caller, 'User.RevokeSessions.All')
    return written(reply, await caller.tenant.directory.revokeSessions(actor, idOf(request))).send({
      '@odata.context': `${origin}/v1.0/$metadata#Edm.Boolean`,
      value: true,
    })
  })

  route('GET', '/caegis/revocations/:txn', async (caller, request) => {
    parseQuery(searchOf(request), [])
    await authorize(caller, 'User.Read.All')
    const proof = await caller.proof((request.params as { txn: string }).txn.slice(0, 256))
    if (!proof) throw notFound()
    return { '@odata.context': `${origin}/v1.0/$metadata#caegis/revocations/$entity`, ...proof }
  })

  app.route({
    method: ['GET', 'POST', 'PATCH', 'PUT', 'DELETE'],
    url: '/v1.0/*',
    onRequest: enter,
    handler: async () => {
      throw new GraphError(400, 'BadRequest', 'This resource or method is not part of the admin API.')
    },
  })

  function nextLink(request: FastifyRequest, after: string): string {
    const search = searchOf(request)
    search.set('$skiptoken', after)
    return `${origin}/v1.0/users?${search}`
  }
}

function shape(user: User, select: readonly UserProperty[], context?: string): object {
  const time = (seconds: number | null) => (seconds === null ? null : `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`)
  const all: Record<UserProperty, unknown> = {
    id: user.id,
    userPrincipalName: user.userPrincipalName,
    displayName: user.displayName,
    accountEnabled: user.accountEnabled,
    createdDateTime: time(user.createdAt),
    lastPasswordChangeDateTime: time(user.lastPasswordChangeAt),
    // Tokens are good from the second after the cutoff.
    signInSessionsValidFromDateTime: time(user.validFrom === 0 ? user.createdAt : user.validFrom + 1),
  }
  return { ...(context ? { '@odata.context': context } : {}), ...Object.fromEntries(select.map((name) => [name, all[name]])) }
}

async function existing(found: Promise<User | undefined>): Promise<User> {
  const user = await found
  if (!user) throw notFound()
  return user
}

const idOf = (request: FastifyRequest) => (request.params as { id: string }).id.slice(0, 320)

function searchOf(request: FastifyRequest): URLSearchParams {
  const at = request.url.indexOf('?')
  return new URLSearchParams(at < 0 ? '' : request.url.slice(at))
}

/** Every write names its cause, by which its way through the loop can be followed. */
function written(reply: FastifyReply, done: Committed<unknown>): FastifyReply {
  return reply.header('caegis-txn', done.txn)
}

/** The path of each mistake and what is wrong there, never the value. */
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
    if (error.code === 'user_not_found') return notFound()
    if (error.code === 'actor_revoked') return new GraphError(403, 'Authorization_RequestDenied', error.message)
    if (error.code === 'invalid_password') return badRequest(error.message)
  }
  const status = error.statusCode ?? 500
  if (status >= 400 && status < 500)
    return new GraphError(status, 'BadRequest', status === 413 ? 'The body is too large.' : 'The request could not be read.')
  return new GraphError(500, 'InternalServerError', 'The server failed. What happened is in its log.')
}
