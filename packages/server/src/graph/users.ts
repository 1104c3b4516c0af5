import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { User } from '../directory/directory.ts'
import type { Column } from '../directory/listing.ts'
import type { Naming } from '../directory/profile.ts'
import { type Api, pathOf, searchOf, written } from './api.ts'
import { type Admitted, authorize } from './caller.ts'
import { notFound } from './errors.ts'
import { answerCount, answerList, COUNT_OPTIONS } from './lists.ts'
import { LIST_OPTIONS } from './query.ts'
import { parseSelect, type Resource, shape, toTime } from './resource.ts'

const name = z.string().min(1).max(256)
const detail = z.string().min(1).max(256).nullable().optional()
const upn = z
  .string()
  .max(320)
  .regex(/^[^\s@"\\]+@[^\s@"\\]+$/, 'must look like alice@contoso.test')
const password = z.string().min(8).max(256)
const userType = z.enum(['Member', 'Guest']).optional()
const details = { userType, mail: z.email().max(320).nullable().optional(), givenName: detail, surname: detail }

const created = z.strictObject({
  userPrincipalName: upn,
  displayName: name,
  accountEnabled: z.boolean(),
  /** Graph wants one; nothing here has a mailbox, so it is not kept. */
  mailNickname: z.string().max(64).optional(),
  passwordProfile: z.strictObject({ password, forceChangePasswordNextSignIn: z.boolean().optional() }).optional(),
  ...details,
})
const changed = z
  .strictObject({
    userPrincipalName: upn.optional(),
    displayName: name.optional(),
    accountEnabled: z.boolean().optional(),
    passwordProfile: z
      .strictObject({ password: password.optional(), forceChangePasswordNextSignIn: z.boolean().optional() })
      .refine((profile) => Object.keys(profile).length > 0, 'an empty change')
      .optional(),
    ...details,
  })
  .refine((patch) => Object.keys(patch).length > 0, 'an empty change')

const text = { type: ['string', 'null'] }
const time = { type: ['string', 'null'], format: 'date-time' }

export const USERS: Resource<User> = {
  type: 'user',
  set: 'users',
  properties: {
    id: { read: ({ id }) => id, column: { name: 'id', type: 'id' }, usual: true, schema: { type: 'string' } },
    userPrincipalName: {
      ...{ read: (user) => user.userPrincipalName, column: { name: 'upn_key', type: 'key' }, schema: { type: 'string' } },
      ...{ sort: true, search: 'start', usual: true },
    },
    displayName: {
      ...{ read: (user) => user.displayName, column: { name: 'display_name', type: 'text' }, schema: { type: 'string' } },
      ...{ sort: true, search: 'words', usual: true },
    },
    accountEnabled: { read: (user) => user.accountEnabled, column: { name: 'enabled', type: 'boolean' }, usual: true, schema: { type: 'boolean' } },
    mail: { read: ({ mail }) => mail, column: { name: 'mail', type: 'text', nullable: true }, search: 'start', usual: true, schema: text },
    givenName: {
      ...{ read: ({ givenName }) => givenName, column: { name: 'given_name', type: 'text', nullable: true }, schema: text },
      ...{ search: 'start', usual: true },
    },
    surname: {
      read: ({ surname }) => surname,
      column: { name: 'surname', type: 'text', nullable: true },
      search: 'start',
      usual: true,
      schema: text,
    },
    userType: {
      read: ({ type }) => (type === 'guest' ? 'Guest' : 'Member'),
      column: { name: 'type', type: 'key' },
      schema: { enum: ['Member', 'Guest'] },
    },
    // These three are ours: what has to be known of somebody before anything is done to them.
    riskLevel: {
      read: ({ riskLevel }) => riskLevel,
      column: { name: 'risk_level', type: 'key' },
      schema: { enum: ['none', 'low', 'medium', 'high'] },
    },
    directoryRoles: { read: ({ roles }) => roles, schema: { type: 'array', items: { type: 'string' } } },
    isEmergencyAccount: { read: ({ emergency }) => emergency, schema: { type: 'boolean' } },
    createdDateTime: { read: (user) => toTime(user.createdAt), column: { name: 'created_at', type: 'time' }, sort: true, schema: time },
    lastPasswordChangeDateTime: { read: ({ lastPasswordChangeAt: at }) => (at === null ? null : toTime(at)), schema: time },
    // Tokens are good from the second after the cutoff.
    signInSessionsValidFromDateTime: { read: ({ validFrom, createdAt }) => toTime(validFrom === 0 ? createdAt : validFrom + 1), schema: time },
  },
}

/** `users` and `me`. */
export function registerUsers(api: Api): void {
  const { origin, route } = api
  const context = { '@odata.context': `${origin}/v1.0/$metadata#users/$entity` }
  const edits = { kind: 'user' as const, id: async ({ tenant }: Admitted, request: FastifyRequest) => (await existing(tenant, pathOf(request))).id }

  route(
    'GET',
    '/me',
    { does: 'Shows the caller', needs: ['User.Read'], own: true, options: ['$select'], gives: USERS },
    async ({ tenant, claims }, request) => {
      const select = parseSelect(USERS, searchOf(request).get('$select'))
      return { ...context, ...shape(USERS, select, await existing(tenant, String(claims.oid))) }
    },
  )

  route('GET', '/users', { does: 'Lists users', needs: ['User.Read.All'], options: LIST_OPTIONS, gives: USERS }, ({ tenant }, request) =>
    answerList(api, tenant.id, request, USERS, tenant.directory.users),
  )

  route(
    'GET',
    '/users/$count',
    { does: 'Says how many users there are', needs: ['User.Read.All'], options: COUNT_OPTIONS },
    async ({ tenant }, request, reply) => reply.type('text/plain').send(await answerCount(tenant.id, request, USERS, tenant.directory.users)),
  )

  // Anybody may read their own account, and a guest, like everybody without a role, that alone.
  const isSelf = async ({ tenant, claims }: Admitted, request: FastifyRequest) => {
    const self = await tenant.directory.user(String(claims.oid))
    return self !== undefined && [self.id, self.userPrincipalName.toLowerCase()].includes(pathOf(request).toLowerCase())
  }
  const self = { needs: 'User.Read', when: "it is the caller's own account", holds: isSelf } as const

  route(
    'GET',
    '/users/:id',
    { does: 'Shows a user', needs: ['User.Read.All'], self, options: ['$select'], gives: USERS },
    async ({ tenant }, request) => {
      const select = parseSelect(USERS, searchOf(request).get('$select'))
      return { ...context, ...shape(USERS, select, await existing(tenant, pathOf(request))) }
    },
  )

  route(
    'POST',
    '/users',
    { does: 'Makes a user', needs: ['User.ReadWrite.All'], body: created, gives: USERS },
    async ({ tenant, actor }, _request, reply, body) => {
      const { accountEnabled: enabled, passwordProfile, mailNickname: _, ...naming } = body
      const done = await tenant.directory.createUser(actor, {
        ...(given(naming) as { userPrincipalName: string; displayName: string }),
        enabled,
        ...(passwordProfile ? { password: passwordProfile.password } : {}),
        // As in Graph: who sets another person's password does not know it for long.
        ...(passwordProfile ? { passwordExpired: passwordProfile.forceChangePasswordNextSignIn ?? true } : {}),
      })
      const user = await existing(tenant, done.result)
      return written(reply, done)
        .code(201)
        .send({ ...context, ...shape(USERS, parseSelect(USERS, null), user) })
    },
  )

  route(
    'PATCH',
    '/users/:id',
    {
      ...{ does: 'Changes a user', needs: ['User.EnableDisableAccount.All'], body: changed, edits },
      more: { needs: 'User.ReadWrite.All', when: 'anything but accountEnabled is changed' },
    },
    async (caller, request, reply, body) => {
      const { accountEnabled, passwordProfile, ...naming } = body
      // Enabling and disabling alone may be delegated apart from everything else.
      if (passwordProfile || Object.keys(naming).length > 0) await authorize(caller, 'User.ReadWrite.All')
      const done = await caller.tenant.directory.update(caller.actor, pathOf(request), {
        ...given(naming),
        ...(accountEnabled === undefined ? {} : { enabled: accountEnabled }),
        ...(passwordProfile?.password === undefined ? {} : { password: passwordProfile.password }),
        ...(passwordProfile?.forceChangePasswordNextSignIn === undefined ? {} : { passwordExpired: passwordProfile.forceChangePasswordNextSignIn }),
      })
      return written(reply, done).code(204).send()
    },
  )

  route('DELETE', '/users/:id', { does: 'Deletes a user', needs: ['User.ReadWrite.All'], edits }, async ({ tenant, actor }, request, reply) =>
    written(reply, await tenant.directory.remove(actor, pathOf(request)))
      .code(204)
      .send(),
  )

  route(
    'POST',
    '/users/:id/revokeSignInSessions',
    { does: 'Ends everything of a user', needs: ['User.RevokeSessions.All'] },
    async ({ tenant, actor }, request, reply) =>
      written(reply, await tenant.directory.revokeSessions(actor, pathOf(request))).send({
        ...{ '@odata.context': `${origin}/v1.0/$metadata#Edm.Boolean`, value: true },
      }),
  )
}

type Details = Omit<z.infer<typeof changed>, 'accountEnabled' | 'passwordProfile'>

/** What a body says of a user's names and kind, without what it does not mention. */
function given({ userType, ...naming }: Details): Naming & { type?: User['type'] } {
  const known = Object.fromEntries(Object.entries(naming).filter(([, value]) => value !== undefined))
  return { ...known, ...(userType === undefined ? {} : { type: userType === 'Guest' ? 'guest' : 'member' }) }
}

/** By id or name. @throws GraphError 404 */
async function existing({ directory }: Admitted['tenant'], idOrName: string): Promise<User> {
  const column = USERS.properties.id?.column as Column
  // By the id alone the list looks at one row; the other name is resolved apart.
  const { id } = (await directory.user(idOrName)) ?? {}
  const user = id === undefined ? undefined : (await directory.users.page({ where: { is: 'eq', column, value: id }, limit: 1 })).value[0]
  if (!user) throw notFound()
  return user
}
