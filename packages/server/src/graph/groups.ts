import { z } from 'zod'
import { type Api, pathOf, readBody, searchOf, written } from './api.ts'
import { authorize } from './caller.ts'
import { parseQuery } from './query.ts'

const reference = z.strictObject({ '@odata.id': z.string().max(1024) })
const assignment = z.strictObject({ principalId: z.string().min(1).max(320), appRoleId: z.string().min(1).max(128) })

/** Members of groups, and who holds the roles of an application; both by ids. */
export function registerGroups({ origin, route }: Api): void {
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

  const assigned = '/servicePrincipals/:id/appRoleAssignedTo'

  route('GET', assigned, async (caller, request) => {
    parseQuery(searchOf(request), [])
    await authorize(caller, 'Application.Read.All')
    const app = pathOf(request)
    const value = (await caller.tenant.groups.assignments(app)).map(({ role, principal }) => shape(app, role, principal))
    return { '@odata.context': `${origin}/v1.0/$metadata#appRoleAssignments`, value }
  })

  route('POST', assigned, async (caller, request, reply) => {
    const { principalId, appRoleId } = readBody(assignment, request.body)
    const actor = await authorize(caller, 'AppRoleAssignment.ReadWrite.All')
    const app = pathOf(request)
    const done = await caller.tenant.groups.assignRole(actor, app, appRoleId, principalId)
    return written(reply, done)
      .code(201)
      .send(shape(app, appRoleId, principalId))
  })

  route('DELETE', `${assigned}/:assignment`, async (caller, request, reply) => {
    parseQuery(searchOf(request), [])
    const actor = await authorize(caller, 'AppRoleAssignment.ReadWrite.All')
    const [role = '', principal = ''] = Buffer.from(pathOf(request, 'assignment'), 'base64url').toString().split('\n')
    return written(reply, await caller.tenant.groups.withdrawRole(actor, pathOf(request), role, principal))
      .code(204)
      .send()
  })
}

function shape(app: string, role: string, principal: string): object {
  return { id: Buffer.from(`${role}\n${principal}`).toString('base64url'), appRoleId: role, principalId: principal, resourceId: app }
}
