import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { type Api, pathOf, written } from './api.ts'
import type { Caller } from './caller.ts'
import { badRequest, notFound } from './errors.ts'

/** By its id (`jti`), or the token itself, which says more: whose it is, and until when it is good. */
const whichToken = z.union([
  z.strictObject({ id: z.string().regex(/^[\x21-\x7e]{1,256}$/, 'must be the jti of a token') }),
  z.strictObject({ token: z.string().min(1).max(16_384) }),
])

/** As the provider makes them (256 bits of randomness). Nobody keeps a list of them: whether there is such a token only whoever has it knows. */
const TOKEN_ID = /^[\w-]{43}$/

/** A user's browser sessions, and what applications hold of the user: lists, and the end of one of them. */
export function registerSessions({ origin, route }: Api): void {
  const context = (of: string) => ({ '@odata.context': `${origin}/v1.0/$metadata#${of}` })

  const userOf = async (caller: Caller, request: FastifyRequest): Promise<string> => {
    const user = await caller.tenant.directory.user(pathOf(request))
    if (!user) throw notFound()
    return user.id
  }

  route('GET', '/caegis/users/:id/sessions', { does: 'Lists the browser sessions of a user', needs: ['User.Read.All'] }, async (caller, request) => {
    const sessions = await caller.tenant.directory.sessions(await userOf(caller, request))
    const value = sessions.map(({ id, signedInAt, createdAt, tokensUntil }) => ({
      ...{ id, signInDateTime: toTime(signedInAt), createdDateTime: toTime(createdAt), tokensUntilDateTime: toTime(tokensUntil) },
    }))
    return { ...context('caegis/sessions'), value }
  })

  route(
    'POST',
    '/caegis/sessions/:id/revoke',
    { does: 'Ends one browser session', needs: ['User.RevokeSessions.All'] },
    async (caller, request, reply) => {
      const done = await caller.tenant.directory.revokeSession(caller.actor, pathOf(request), 'An administrator ended the session')
      if (!done.result) throw notFound()
      return written(reply, done).code(204).send()
    },
  )

  route(
    'POST',
    '/caegis/tokens/revoke',
    { does: 'Revokes one access token', needs: ['User.RevokeSessions.All'], body: whichToken },
    async (caller, _request, reply, given) => {
      const { directory } = caller.tenant
      const reason = 'An administrator revoked the token'
      if ('id' in given) {
        if (!TOKEN_ID.test(given.id)) throw badRequest('That is no id (jti) of an access token of this server: they are 43 letters, digits, - and _.')
        return written(reply, await directory.revokeTokenId(caller.actor, given.id, reason))
          .code(204)
          .send()
      }
      const token = await caller.tenant.readToken(given.token)
      if (!token) throw badRequest('That is no access token of this tenant, or it has expired.')
      return written(reply, await directory.revokeToken(caller.actor, token, reason))
        .code(204)
        .send()
    },
  )

  route(
    'GET',
    '/users/:id/oauth2PermissionGrants',
    { does: 'Lists what applications hold of a user', needs: ['User.Read.All'] },
    async (caller, request) => {
      const grants = await caller.tenant.directory.grants(await userOf(caller, request))
      const value = grants.map(({ user, appId, scopes, createdAt, lastAt }) => ({
        ...{ id: idOf(user, appId), clientId: appId, consentType: 'Principal', principalId: user, scope: scopes.join(' ') },
        ...{ createdDateTime: toTime(createdAt), lastTokenDateTime: lastAt === 0 ? null : toTime(lastAt) },
      }))
      return { ...context('oauth2PermissionGrants'), value }
    },
  )

  route(
    'DELETE',
    '/oauth2PermissionGrants/:id',
    { does: 'Ends what one application holds of a user', needs: ['User.RevokeSessions.All'] },
    async (caller, request, reply) => {
      const [user = '', app = ''] = Buffer.from(pathOf(request), 'base64url').toString().split('\n')
      const done = await caller.tenant.directory.revokeGrant(caller.actor, user, app)
      if (!done.result) throw notFound()
      return written(reply, done).code(204).send()
    },
  )
}

/** Says both, as Graph's own opaque ids do. */
function idOf(user: string, app: string): string {
  return Buffer.from(`${user}\n${app}`).toString('base64url')
}

function toTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}
