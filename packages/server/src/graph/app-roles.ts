import { z } from 'zod'
import { type Api, pathOf, written } from './api.ts'
import { notFound } from './errors.ts'

const assignment = z.strictObject({ principalId: z.string().min(1).max(320), appRoleId: z.string().min(1).max(128) })

/** Who holds the roles of an application; by ids. */
export function registerAppRoles({ origin, route }: Api): void {
  const url = '/servicePrincipals/:id/appRoleAssignedTo'

  route('GET', url, { does: 'Lists who holds the roles of an application', needs: ['Application.Read.All'] }, async (caller, request) => {
    const app = pathOf(request)
    if (!(await caller.tenant.application(app))) throw notFound()
    const value = (await caller.tenant.groups.assignments(app)).map(({ role, principal, name, isGroup }) => ({
      ...shape(app, role, principal),
      ...{ principalDisplayName: name, principalType: isGroup ? 'Group' : 'User' },
    }))
    return { '@odata.context': `${origin}/v1.0/$metadata#appRoleAssignments`, value }
  })

  route(
    'POST',
    url,
    { does: 'Gives a role of an application', needs: ['AppRoleAssignment.ReadWrite.All'], body: assignment },
    async ({ tenant, actor }, request, reply, { principalId, appRoleId }) => {
      const app = pathOf(request)
      const done = await tenant.groups.assignRole(actor, app, appRoleId, principalId)
      return written(reply, done)
        .code(201)
        .send(shape(app, appRoleId, principalId))
    },
  )

  route(
    'DELETE',
    `${url}/:assignment`,
    { does: 'Takes a role of an application', needs: ['AppRoleAssignment.ReadWrite.All'] },
    async ({ tenant, actor }, request, reply) => {
      const [role = '', principal = ''] = Buffer.from(pathOf(request, 'assignment'), 'base64url').toString().split('\n')
      return written(reply, await tenant.groups.withdrawRole(actor, pathOf(request), role, principal))
        .code(204)
        .send()
    },
  )
}

function shape(app: string, role: string, principal: string): object {
  return { id: Buffer.from(`${role}\n${principal}`).toString('base64url'), appRoleId: role, principalId: principal, resourceId: app }
}
