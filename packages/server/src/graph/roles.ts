import { z } from 'zod'
import { DIRECTORY_ROLES, type DirectoryRole, isDirectoryRole } from '../directory/roles.ts'
import { type Api, pageOf, pathOf, searchOf, written } from './api.ts'
import { notFound } from './errors.ts'
import { parseNames } from './query.ts'

const reference = z.strictObject({ '@odata.id': z.string().max(1024) })

/** `directoryRoles`: who may use the admin API. */
export function registerRoles({ origin, route }: Api): void {
  const url = '/directoryRoles/:id'
  const known = (role: string): DirectoryRole => {
    if (!isDirectoryRole(role)) throw notFound()
    return role
  }

  route('GET', '/directoryRoles', { does: 'Lists the directory roles', needs: ['RoleManagement.Read.Directory'] }, async () => {
    return {
      '@odata.context': `${origin}/v1.0/$metadata#directoryRoles`,
      value: DIRECTORY_ROLES.map((role) => ({ id: role, displayName: role, roleTemplateId: role })),
    }
  })

  route(
    'GET',
    `${url}/members`,
    { does: 'Lists who holds a directory role', needs: ['RoleManagement.Read.Directory'], options: ['$top', '$skiptoken'] },
    async (caller, request) => {
      const { limit, after } = parseNames(searchOf(request), /^[0-9a-f-]{36}$/)
      const page = { limit: limit + 1, ...(after === undefined ? {} : { after }) }
      const found = await caller.tenant.directory.directoryRoleMembers(known(pathOf(request)), page)
      const { value, next } = pageOf(origin, request, found, limit, ({ id }) => id)
      return {
        ...{ '@odata.context': `${origin}/v1.0/$metadata#directoryObjects`, ...next },
        value: value.map(({ id, userPrincipalName, displayName }) => ({
          '@odata.type': '#microsoft.graph.user',
          id,
          userPrincipalName,
          displayName,
        })),
      }
    },
  )

  route(
    'POST',
    `${url}/members/$ref`,
    { does: 'Gives a directory role to a user', needs: ['RoleManagement.ReadWrite.Directory'], body: reference },
    async (caller, request, reply, body) => {
      const member = String(body['@odata.id'].split('/').at(-1))
      return written(reply, await caller.tenant.directory.assignDirectoryRole(caller.actor, known(pathOf(request)), member))
        .code(204)
        .send()
    },
  )

  route(
    'DELETE',
    `${url}/members/:member/$ref`,
    { does: 'Takes a directory role from a user', needs: ['RoleManagement.ReadWrite.Directory'] },
    async (caller, request, reply) => {
      return written(reply, await caller.tenant.directory.withdrawDirectoryRole(caller.actor, known(pathOf(request)), pathOf(request, 'member')))
        .code(204)
        .send()
    },
  )
}
