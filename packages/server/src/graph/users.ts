import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { User } from '../directory/directory.ts'
import { includesPermission } from '../directory/permissions.ts'
import { type Api, pathOf, readBody, searchOf, written } from './api.ts'
import { authorize } from './caller.ts'
import { badRequest, denied, notFound } from './errors.ts'
import { parseQuery, type UserProperty } from './query.ts'

const userPatch = z
  .strictObject({
    accountEnabled: z.boolean().optional(),
    displayName: z.string().min(1).max(256).optional(),
    userType: z.enum(['Member', 'Guest']).optional(),
    passwordProfile: z
      .strictObject({ password: z.string().min(8).max(256).optional(), forceChangePasswordNextSignIn: z.boolean().optional() })
      .refine((profile) => Object.keys(profile).length > 0, 'an empty change')
      .optional(),
  })
  .refine((patch) => Object.keys(patch).length > 0, 'an empty change')

/** `users` and `me`, as far as the loop needs them. */
export function registerUsers({ origin, route }: Api): void {
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
    const context = `${origin}/v1.0/$metadata#users/$entity`
    const { tenant, claims } = caller
    // Anybody may read their own account, and a guest, like everybody without a role, that alone.
    if (claims.idtyp !== 'app' && includesPermission(String(claims.scp ?? '').split(' '), 'User.Read')) {
      const self = await tenant.directory.user(String(claims.oid))
      if (self && [self.id, self.userPrincipalName.toLowerCase()].includes(pathOf(request).toLowerCase())) return shape(self, query.select, context)
    }
    await authorize(caller, 'User.Read.All')
    return shape(await existing(tenant.directory.user(pathOf(request))), query.select, context)
  })

  route('PATCH', '/users/:id', async (caller, request, reply) => {
    parseQuery(searchOf(request), [])
    const { accountEnabled, displayName, userType, passwordProfile } = readBody(userPatch, request.body)
    // Enabling and disabling alone may be delegated apart from everything else.
    const only = displayName === undefined && userType === undefined && passwordProfile === undefined
    const actor = await authorize(caller, only ? 'User.EnableDisableAccount.All' : 'User.ReadWrite.All')
    const done = await caller.tenant.directory.update(actor, pathOf(request), {
      ...(accountEnabled === undefined ? {} : { enabled: accountEnabled }),
      ...(displayName === undefined ? {} : { displayName }),
      ...(userType === undefined ? {} : { type: userType === 'Guest' ? ('guest' as const) : ('member' as const) }),
      ...(passwordProfile?.password === undefined ? {} : { password: passwordProfile.password }),
      ...(passwordProfile?.forceChangePasswordNextSignIn === undefined ? {} : { passwordExpired: passwordProfile.forceChangePasswordNextSignIn }),
    })
    return written(reply, done).code(204).send()
  })

  route('DELETE', '/users/:id', async (caller, request, reply) => {
    parseQuery(searchOf(request), [])
    const actor = await authorize(caller, 'User.ReadWrite.All')
    return written(reply, await caller.tenant.directory.remove(actor, pathOf(request)))
      .code(204)
      .send()
  })

  route('POST', '/users/:id/revokeSignInSessions', async (caller, request, reply) => {
    parseQuery(searchOf(request), [])
    const actor = await authorize(caller, 'User.RevokeSessions.All')
    return written(reply, await caller.tenant.directory.revokeSessions(actor, pathOf(request))).send({
      '@odata.context': `${origin}/v1.0/$metadata#Edm.Boolean`,
      value: true,
    })
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
    userType: user.type === 'guest' ? 'Guest' : 'Member',
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
