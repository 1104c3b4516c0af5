import { z } from 'zod'
import { type Api, pathOf, readBody, written } from './api.ts'
import { authorize } from './caller.ts'

const reference = z.strictObject({ '@odata.id': z.string().max(1024) })
const assignment = z.strictObject({ principalId: z.string().min(1).max(320), appRoleId: z.string().min(1).max(128) })

/** Members of groups, and who holds the roles of an application; both by ids. */
export function registerGroups({ route }: Api): void {
  route('POST', '/groups/:id/members/$ref', async (caller, request, reply) => {
    // Graph names the member by the URL of its object.
    const member = String(readBody(reference, request.body)['@odata.id'].split('/').at(-1))
    const actor = await authorize(caller, 'GroupMember.ReadWrite.All')
    return written(reply, await caller.tenant.groups.addMember(actor, pathOf(request), member))
      .code(204)
      .send()
  })

  route('DELETE', '/groups/:id/members/:member/$ref', async (caller, request, reply) => {
    const actor = await authorize(caller, 'GroupMember.ReadWrite.All')
    return written(reply, await caller.tenant.groups.removeMember(actor, pathOf(request), pathOf(request, 'member')))
      .code(204)
      .send()
  })

  route('POST', '/servicePrincipals/:id/appRoleAssignedTo', async (caller, request, reply) => {
    const { principalId, appRoleId } = readBody(assignment, request.body)
    const actor = await authorize(caller, 'AppRoleAssignment.ReadWrite.All')
    return written(reply, await caller.tenant.groups.assignRole(actor, pathOf(request), appRoleId, principalId))
      .code(204)
      .send()
  })
}
