import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { Application } from '../directory/application.ts'
import { toCredential } from '../directory/credentials.ts'
import { applicationId, identifierUris, optionalClaim, redirect, scopeName } from '../directory/tenant-file.ts'
import { type Api, pathOf, searchOf, written } from './api.ts'
import { authorize } from './caller.ts'
import { badRequest, notFound } from './errors.ts'
import { answerList } from './lists.ts'
import { LIST_OPTIONS } from './query.ts'
import { parseSelect, type Resource, shape, toTime } from './resource.ts'

const name = z.string().min(1).max(256)
const patch = z.strictObject({ accountEnabled: z.boolean() })
const password = z.strictObject({ passwordCredential: z.strictObject({ displayName: name, endDateTime: z.iso.datetime().optional() }) })
const certificate = z.strictObject({ displayName: name, pem: z.string().max(16_384) })
const redirects = z.strictObject({ redirectUris: z.array(redirect).max(64) }).optional()
/** Graph's members, as far as they mean something here. Permissions and credentials are given apart. */
const members = {
  ...{ spa: redirects, web: redirects, publicClient: redirects, identifierUris: identifierUris.optional() },
  api: z.strictObject({ oauth2PermissionScopes: z.array(z.strictObject({ value: scopeName })).max(256) }).optional(),
  /** Ours, by its name in RFC 9449 section 5.2: tokens are bound to a key, or not given. */
  dpopBoundAccessTokens: z.boolean().optional(),
  /** Ours: as an API, it is one whose guards can take tokens back, so that they may live long. */
  cae: z.boolean().optional(),
  optionalClaims: z.strictObject({ accessToken: z.array(z.strictObject({ name: optionalClaim })).max(16) }).optional(),
}
const apiPermission = z
  .string()
  .max(640)
  .regex(/^(api|https):\/\//, 'must be a permission of an API, like api://files/Files.Read')
/** Rights in the admin API are taken back here, and given by the tenant file. */
const adminRight = z
  .string()
  .max(640)
  .regex(/^graph\//)
const created = z
  .strictObject({
    appId: applicationId.optional(),
    displayName: name,
    /** Ours: what it may ask for as a client, of the APIs of the tenant. What it may do here is not given by this API. */
    permissions: z.array(apiPermission).max(256).optional(),
    /** Ours: a client without a person. */
    applicationType: z.literal('daemon').optional(),
    ...members,
  })
  .refine((body) => platforms(body).length + (body.applicationType ? 1 : 0) < 2, 'is of one kind: spa, web, publicClient or a daemon')
const changed = z
  .strictObject({
    displayName: name.optional(),
    permissions: z
      .array(z.union([apiPermission, adminRight]))
      .max(256)
      .optional(),
    ...members,
  })
  .refine((body) => Object.keys(body).length > 0, 'an empty change')
  .refine((body) => platforms(body).length < 2, 'is of one kind: spa, web or publicClient')
const key = z.strictObject({ keyId: z.string().min(1).max(320) })

const PLATFORMS = { spa: 'spa', web: 'web', publicClient: 'native' } as const
type Members = { [Name in keyof typeof PLATFORMS]?: { redirectUris: string[] } | undefined } & {
  displayName?: string | undefined
  identifierUris?: string[] | undefined
  api?: { oauth2PermissionScopes: { value: string }[] } | undefined
  dpopBoundAccessTokens?: boolean | undefined
  cae?: boolean | undefined
  optionalClaims?: { accessToken: { name: z.infer<typeof optionalClaim> }[] } | undefined
}

function platforms(body: Members): (keyof typeof PLATFORMS)[] {
  return (['spa', 'web', 'publicClient'] as const).filter((one) => body[one] !== undefined)
}

const texts = { type: 'array', items: { type: 'string' } }
const credentials = { type: 'array', items: { type: 'object' } }
const platform = { type: 'object', properties: { redirectUris: texts } }
const redirectsOf = (type: Application['type']) => (app: Application) => ({ redirectUris: app.type === type ? app.redirectUris : [] })

const COMMON: Resource<Application>['properties'] = {
  id: { read: ({ id }) => id, column: { name: 'id', type: 'id' }, usual: true, schema: { type: 'string' } },
  appId: { read: ({ appId }) => appId, column: { name: 'app_id', type: 'id' }, sort: true, usual: true, schema: { type: 'string' } },
  displayName: {
    ...{ read: ({ displayName }) => displayName, column: { name: 'display_name', type: 'text' }, schema: { type: 'string' } },
    ...{ sort: true, search: 'words', usual: true },
  },
  applicationType: {
    ...{ read: ({ type }) => type, column: { name: 'type', type: 'id' }, usual: true },
    schema: { enum: ['spa', 'web', 'native', 'daemon', 'api'] },
  },
  cae: { read: ({ cae }) => cae, column: { name: 'cae', type: 'boolean' }, usual: true, schema: { type: 'boolean' } },
  passwordCredentials: { read: credentialsOf('secret'), usual: true, schema: credentials },
  keyCredentials: { read: credentialsOf('certificate'), usual: true, schema: credentials },
}

export const APPLICATIONS: Resource<Application> = {
  type: 'application',
  set: 'applications',
  properties: {
    ...COMMON,
    identifierUris: { read: (app) => app.identifierUris, usual: true, schema: texts },
    spa: { read: redirectsOf('spa'), usual: true, schema: platform },
    web: { read: redirectsOf('web'), usual: true, schema: platform },
    publicClient: { read: redirectsOf('native'), usual: true, schema: platform },
    dpopBoundAccessTokens: { read: ({ dpopBound }) => dpopBound, usual: true, schema: { type: 'boolean' } },
    permissions: { read: ({ permissions }) => permissions, usual: true, schema: texts },
    optionalClaims: {
      ...{ read: (app) => ({ accessToken: app.optionalClaims.map((name) => ({ name })) }), usual: true },
      schema: { type: 'object', properties: { accessToken: { type: 'array', items: { type: 'object' } } } },
    },
    api: {
      ...{ read: ({ scopes }) => ({ oauth2PermissionScopes: scopes.map((value) => ({ value })) }), usual: true },
      schema: { type: 'object', properties: { oauth2PermissionScopes: { type: 'array', items: { type: 'object' } } } },
    },
  },
}

export const SERVICE_PRINCIPALS: Resource<Application> = {
  type: 'servicePrincipal',
  set: 'servicePrincipals',
  properties: {
    ...COMMON,
    accountEnabled: { read: ({ enabled }) => enabled, column: { name: 'enabled', type: 'boolean' }, usual: true, schema: { type: 'boolean' } },
  },
}

/** `applications` and `servicePrincipals`, both by client id: what one is, whether it may be used, and what it proves itself with. */
export function registerApplications(api: Api): void {
  const { origin, route } = api

  for (const resource of [APPLICATIONS, SERVICE_PRINCIPALS]) {
    const collection = `/${resource.set}`
    const reads = { needs: ['Application.Read.All'], gives: resource } as const
    route('GET', collection, { does: 'Lists applications', options: LIST_OPTIONS, ...reads }, ({ tenant }, request) =>
      answerList(api, tenant.id, request, resource, tenant.applications.list),
    )
    route('GET', `${collection}/:id`, { does: 'Shows an application', options: ['$select'], ...reads }, async ({ tenant }, request) => {
      const select = parseSelect(resource, searchOf(request).get('$select'))
      const app = await tenant.applications.find(pathOf(request))
      if (!app) throw notFound()
      return { '@odata.context': `${origin}/v1.0/$metadata#${resource.set}/$entity`, ...shape(resource, select, app) }
    })
  }
  registerEdits(api)
  registerCredentials(api)
}

/** As in a tenant file: what an application may do is given by the hand that gives roles. */
const granting = { needs: 'AppRoleAssignment.ReadWrite.All', when: 'it is given permissions' } as const

function registerEdits({ origin, route }: Api): void {
  const refuseOurs = (names: readonly string[] = []) => {
    if (names.some((one) => one === origin || one.startsWith(`${origin}/`))) throw badRequest("These are names of the server's own APIs.")
  }

  route(
    'POST',
    '/applications',
    { does: 'Registers an application', needs: ['Application.ReadWrite.All'], body: created, gives: APPLICATIONS, more: granting },
    async (caller, _request, reply, body) => {
      const { tenant, actor } = caller
      refuseOurs([...(body.identifierUris ?? []), ...(body.permissions ?? [])])
      const appId = body.appId ?? randomUUID()
      const [kind] = platforms(body)
      const type = kind ? { type: PLATFORMS[kind] } : body.applicationType && { type: body.applicationType }
      const { permissions = [] } = body
      if (permissions.length > 0) await authorize(caller, granting.needs)
      const done = await tenant.applications.create(actor, {
        ...{ appId, displayName: body.displayName, ...type, permissions, ...given(body) },
        ...(body.dpopBoundAccessTokens === undefined ? {} : { dpopBoundAccessTokens: body.dpopBoundAccessTokens }),
      })
      const app = (await tenant.applications.find(appId)) as Application
      return written(reply, done)
        .code(201)
        .send({ '@odata.context': `${origin}/v1.0/$metadata#applications/$entity`, ...shape(APPLICATIONS, parseSelect(APPLICATIONS, null), app) })
    },
  )

  route(
    'PATCH',
    '/applications/:id',
    { does: 'Changes an application', needs: ['Application.ReadWrite.All'], body: changed, more: granting },
    async (caller, request, reply, body) => {
      const { tenant, actor } = caller
      refuseOurs([...(body.identifierUris ?? []), ...(body.permissions ?? [])])
      const app = await tenant.applications.find(pathOf(request))
      if (!app) throw notFound()
      const [kind] = platforms(body)
      if (kind && PLATFORMS[kind] !== app.type) throw badRequest('An application does not become one of another kind.')
      const { displayName, dpopBoundAccessTokens: dpopBound, permissions } = body
      const grants = permissions?.some((one) => !app.permissions.includes(one)) === true
      if (grants) await authorize(caller, granting.needs)
      const done = await tenant.applications.update(actor, app.appId, {
        ...(displayName === undefined ? {} : { displayName }),
        ...(dpopBound === undefined ? {} : { dpopBound }),
        ...(permissions === undefined ? {} : { permissions, grants }),
        ...given(body),
      })
      return written(reply, done).code(204).send()
    },
  )

  route('DELETE', '/applications/:id', { does: 'Deletes an application', needs: ['Application.ReadWrite.All'] }, async (caller, request, reply) => {
    const { tenant, actor, signals } = caller
    const appId = pathOf(request)
    const done = await tenant.applications.remove(actor, appId)
    for (const { id, receiver } of await signals.streams.allStreams()) if (receiver === appId) await signals.streams.deleteStream(id)
    return written(reply, done).code(204).send()
  })
}

/** What a body says beside the name, as the directory has it. */
function given(body: Members) {
  const [kind] = platforms(body)
  const redirectUris = kind && body[kind]?.redirectUris
  return {
    ...(redirectUris === undefined ? {} : { redirectUris }),
    ...(body.identifierUris === undefined ? {} : { identifierUris: body.identifierUris }),
    ...(body.cae === undefined ? {} : { cae: body.cae }),
    ...(body.optionalClaims === undefined ? {} : { optionalClaims: body.optionalClaims.accessToken.map(({ name }) => name) }),
    ...(body.api === undefined ? {} : { scopes: body.api.oauth2PermissionScopes.map(({ value }) => value) }),
  }
}

function registerCredentials({ route }: Api): void {
  const url = '/servicePrincipals/:id'

  route(
    'PATCH',
    url,
    { does: 'Enables or disables an application', needs: ['Application.ReadWrite.All'], body: patch },
    async (caller, request, reply, { accountEnabled }) => {
      return written(reply, await caller.tenant.applications.setEnabled(caller.actor, pathOf(request), accountEnabled))
        .code(204)
        .send()
    },
  )

  route(
    'POST',
    `${url}/addPassword`,
    { does: 'Adds a secret; its text is in the answer only', needs: ['Application.ReadWrite.All'], body: password },
    async (caller, request, reply, body) => {
      const { displayName, endDateTime } = body.passwordCredential
      const expires = endDateTime === undefined ? {} : { expiresAt: Math.floor(Date.parse(endDateTime) / 1000) }
      const done = await caller.tenant.applications.addSecret(caller.actor, pathOf(request), { displayName, ...expires })
      return written(reply, done).send({ keyId: done.result.id, displayName, secretText: done.result.secret, endDateTime: endDateTime ?? null })
    },
  )

  route(
    'POST',
    `${url}/addKey`,
    { does: 'Adds a certificate', needs: ['Application.ReadWrite.All'], body: certificate },
    async (caller, request, reply, given) => {
      const done = await caller.tenant.applications.addCertificate(caller.actor, pathOf(request), given)
      return written(reply, done).send({ keyId: done.result, displayName: given.displayName })
    },
  )

  for (const action of ['removePassword', 'removeKey'])
    route(
      'POST',
      `${url}/${action}`,
      { does: 'Removes a secret or a certificate', needs: ['Application.ReadWrite.All'], body: key },
      async (caller, request, reply, { keyId }) => {
        const done = await caller.tenant.applications.removeCredential(caller.actor, pathOf(request), keyId)
        if (!done.result) throw notFound()
        return written(reply, done).code(204).send()
      },
    )
}

function credentialsOf(kind: string) {
  const time = (seconds: number | null) => (seconds === null ? null : toTime(seconds))
  return ({ credentials }: Application) =>
    credentials
      .filter((one) => one.kind === kind)
      .map(toCredential)
      .map((one) => ({ keyId: one.id, displayName: one.displayName, startDateTime: time(one.notBefore), endDateTime: time(one.expiresAt) }))
}
