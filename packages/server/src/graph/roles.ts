import { z } from 'zod'
import { DIRECTORY_ROLES, type DirectoryRole, isDirectoryRole } from '../directory/roles.ts'
import { type Api, pageOf, pathOf, readBody, searchOf, written } from './api.ts'
import { authorize } from './caller.ts'
import { notFound } from './errors.ts'
import { parseQuery } from './query.ts'

const reference = z.strictObject({ '@odata.id': z.string().max(1024) })

/** `directoryRoles`: who may use the admin API. */
export function registerRoles({ origin, route }: Api): void {
  const url = '/directoryRoles/:id'
  const known = (role: string): DirectoryRole => {
    if (!isDirectoryRole(role)) throw notFound()
    return role
  }

  route('GET', '/directoryRoles', async (caller, request) => {
    parseQuery(searchOf(request), [])
    await authorize(caller, 'RoleManagement.Read.Directory')
    return {
      '@odata.context': `${origin}/v1.0/$metadata#directoryRoles`,
      value: DIRECTORY_ROLES.map((role) => ({ id: role, displayName: role, roleTemplateId: role })),
    }
  })

  route('GET', `${url}/members`, async (caller, request) => {
    const { top, after } = parseQuery(searchOf(request), ['$top', '$skiptoken'])
    await authorize(caller, 'RoleManagement.Read.Directory')
    const page = { limit: top + 1, ...(after === undefined ? {} : { after }) }
    const found = await caller.tenant.directory.directoryRoleMembers(known(pathOf(request)), page)
    const { value, next } = pageOf(origin, request, found, top, ({ id }) => id)
    return {
      ...{ '@odata.context': `${origin}/v1.0/$metadata#directoryObjects`, ...next },
      value: value.map(({ id, userPrincipalName, displayName }) => ({ '@odata.type': '#microsoft.graph.user', id, userPrincipalName, displayName })),
    }
  })

  route('POST', `${url}/members/$ref`, async (caller, request, reply) => {
    parseQuery(searchOf(request), [])
    const member = String(readBody(reference, request.body)['@odata.id'].split('/').at(-1))
    const actor = await authorize(caller, 'RoleManagement.ReadWrite.Directory')
    return written(reply, await caller.tenant.directory.assignDirectoryRole(actor, known(pathOf(request)), member))
      .code(204)
      .send()
  })

  route('DELETE', `${url}/members/:member/$ref`, async (caller, request, reply) => {
    parseQuery(searchOf(request), [])
    const actor = await authorize(caller, 'RoleManagement.ReadWrite.Directory')
    return written(reply, await caller.tenant.directory.withdrawDirectoryRole(actor, known(pathOf(request)), pathOf(request, 'member')))
      .code(204)
      .send()
  })
}
