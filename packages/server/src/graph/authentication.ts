import type { FastifyRequest } from 'fastify'
import type { FactorSummary } from '../directory/factors.ts'
import { type Api, pathOf, type RouteSpec, written } from './api.ts'
import type { Caller } from './caller.ts'
import { notFound } from './errors.ts'

/** Microsoft Graph's id of every user's password. */
const PASSWORD_ID = '28c10230-6103-485e-b985-444c60001490'

/** Graph's names; recovery codes are ours. */
const TYPES: Record<FactorSummary['kind'], { type: string; path: string }> = {
  totp: { type: '#microsoft.graph.softwareOathAuthenticationMethod', path: 'softwareOathMethods' },
  passkey: { type: '#microsoft.graph.fido2AuthenticationMethod', path: 'fido2Methods' },
  recovery: { type: '#caegis.recoveryCodesAuthenticationMethod', path: 'recoveryCodesMethods' },
}

/** `users/{id}/authentication`: what a user proves at sign-in. An administrator sees that it is there, and takes away what was lost; nobody sees secrets. */
export function registerAuthentication({ origin, route }: Api): void {
  const userOf = async (caller: Caller, request: FastifyRequest) => {
    const user = await caller.tenant.directory.user(pathOf(request))
    if (!user) throw notFound()
    return user
  }

  route(
    'GET',
    '/users/:id/authentication/methods',
    { does: 'Lists what a user proves at sign-in', needs: ['UserAuthenticationMethod.Read.All'] },
    async (caller, request) => {
      const { id, lastPasswordChangeAt } = await userOf(caller, request)
      const password = {
        '@odata.type': '#microsoft.graph.passwordAuthenticationMethod',
        id: PASSWORD_ID,
        createdDateTime: toTime(lastPasswordChangeAt),
      }
      const factors = await caller.tenant.factors.list(id)
      return {
        '@odata.context': `${origin}/v1.0/$metadata#users('${id}')/authentication/methods`,
        value: [...(lastPasswordChangeAt === null ? [] : [password]), ...factors.map(shape)],
      }
    },
  )

  const remove = (kind?: FactorSummary['kind']) => async (caller: Caller, request: FastifyRequest, reply: Parameters<typeof written>[0]) => {
    const { id } = await userOf(caller, request)
    const done = await caller.tenant.factors.remove(caller.actor, id, pathOf(request, 'method'), kind)
    if (!done.result) throw notFound()
    return written(reply, done).code(204).send()
  }
  const lost: RouteSpec<undefined> = { does: 'Takes away what a user lost', needs: ['UserAuthenticationMethod.ReadWrite.All'] }
  route('DELETE', '/users/:id/authentication/methods/:method', lost, remove())
  for (const kind of ['totp', 'passkey', 'recovery'] as const)
    route('DELETE', `/users/:id/authentication/${TYPES[kind].path}/:method`, lost, remove(kind))
}

function shape({ id, kind, name, createdAt, lastUsedAt }: FactorSummary): object {
  return { '@odata.type': TYPES[kind].type, id, displayName: name, createdDateTime: toTime(createdAt), lastUsedDateTime: toTime(lastUsedAt) }
}

function toTime(seconds: number | null): string | null {
  return seconds === null ? null : `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`
}
