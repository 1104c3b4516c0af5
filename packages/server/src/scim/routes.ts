import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Application } from '../directory/application.ts'
import { includesPermission, type Permission } from '../directory/permissions.ts'
import type { Log } from '../log.ts'
import type { Answered, Caller, Scim } from './api.ts'
import { discovery } from './discovery.ts'
import { errorBody, notFound, ScimError, toScimError } from './errors.ts'
import { registerGroups } from './groups.ts'
import { registerUsers } from './users.ts'

/** Whom the server's own guard let through. */
export interface Admitted {
  tenant: Caller['tenant'] & { application(appId: string): Promise<Application | undefined> }
  claims: Record<string, unknown>
  /** Where it comes from, for the audit log. */
  address: string
}

export interface ScimOptions {
  origin: string
  log: Log
  /** Lets a request through the server's own guard, or answers it and returns `undefined`. */
  admit(request: FastifyRequest, reply: FastifyReply): Promise<Admitted | undefined>
  /** The name of a tenant, by name or id. */
  nameOf(tenant: string): Promise<string | undefined>
}

const PERMISSION: Permission = 'SCIM.ReadWrite.All'
const MEDIA_TYPE = 'application/scim+json'
const BODY_LIMIT = 512 * 1024

/** SCIM 2.0 (RFC 7643, RFC 7644): a directory elsewhere writes its people and groups here. Who calls is settled before the body is read. */
export function registerScim(app: FastifyInstance, { origin, log, admit, nameOf }: ScimOptions): void {
  const callers = new WeakMap<FastifyRequest, Caller>()

  app.removeAllContentTypeParsers()
  app.addContentTypeParser([MEDIA_TYPE, 'application/json'], { parseAs: 'string', bodyLimit: BODY_LIMIT }, (_request, body, done) => {
    try {
      done(null, body === '' ? undefined : JSON.parse(body as string))
    } catch {
      done(new ScimError(400, 'The body is not JSON.', 'invalidSyntax'))
    }
  })
  app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
    const { status, message, scimType } = toScimError(error)
    if (status === 429) void reply.header('retry-after', '2')
    if (status >= 500) log.error('SCIM failed', { name: error.name, message: error.message, stack: error.stack })
    return reply
      .code(status)
      .type(MEDIA_TYPE)
      .send(errorBody(status, message, scimType))
  })
  // The guard answers as it does everywhere; its body is not one that SCIM clients read.
  app.addHook('preSerialization', async (_request, reply, body) => {
    if (reply.statusCode < 400 || String(reply.getHeader('content-type')).startsWith(MEDIA_TYPE)) return body
    return errorBody(reply.statusCode, reply.statusCode === 401 ? 'The access token is missing or not good.' : 'The request was refused.')
  })
  app.addHook('onSend', async (_request, reply, body) => {
    if (reply.getHeader('content-type') !== undefined) void reply.type(MEDIA_TYPE)
    return body
  })

  const enter = async (request: FastifyRequest, reply: FastifyReply) => {
    const admitted = await admit(request, reply)
    if (!admitted) return reply
    callers.set(request, await callerOf(admitted, (request.params as { tenant: string }).tenant, origin))
    return undefined
  }
  const scim: Scim = {
    route(method, url, handle) {
      app.route({
        method,
        url: `/:tenant/scim/v2${url}`,
        onRequest: enter,
        handler: (request, reply) => handle(callers.get(request) as Caller, request as Answered, reply),
      })
    },
  }

  registerUsers(scim)
  registerGroups(scim)
  // RFC 7644 section 4: what the server can do may be asked without a token.
  for (const [path, document] of Object.entries(discovery))
    app.get(`/:tenant/scim/v2${path}`, async (request, reply) => {
      const name = await nameOf((request.params as { tenant: string }).tenant)
      if (name === undefined) throw notFound()
      return reply.type(MEDIA_TYPE).send(document(`${origin}/${name}/scim/v2`, request.params as Record<string, string>))
    })
  app.route({
    method: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
    url: '/:tenant/scim/v2/*',
    onRequest: enter,
    handler: async () => {
      throw notFound()
    },
  })
}

/**
 * Daemons only, and only those with the permission: in their token, and in the directory at each call.
 * @throws ScimError 403
 */
async function callerOf({ tenant, claims, address }: Admitted, named: string, origin: string): Promise<Caller> {
  if (![tenant.name, tenant.id].includes(named.toLowerCase())) throw new ScimError(403, 'The token is for another tenant.')
  const appId = String(claims.azp)
  const application = await tenant.application(appId)
  const roles = Array.isArray(claims.roles) ? (claims.roles as string[]) : []
  const held = application?.enabled ? application.permissions : []
  const may = (one: string) => one === 'graph/.default' || (one.startsWith('graph/') && includesPermission([one.slice('graph/'.length)], PERMISSION))
  if (claims.idtyp !== 'app' || !includesPermission(roles, PERMISSION) || !held.some(may)) {
    throw new ScimError(403, `The application needs the permission ${PERMISSION}.`)
  }
  return {
    tenant,
    actor: { kind: 'app', appId, iat: Math.floor(Number(claims.iat)), address },
    source: `scim:${appId}`,
    base: `${origin}/${tenant.name}/scim/v2`,
  }
}
