import { Client, type GraphError } from '@microsoft/microsoft-graph-client'
import { afterAll, beforeAll } from 'vitest'
import { type Loop, PASSWORD, SECRET, startLoop } from './loop.ts'

export const tenantOf = (name: string) => ({
  tenant: { name },
  groups: [{ displayName: 'staff' }],
  users: [
    { userPrincipalName: `admin@${name}.test`, displayName: 'Admin', password: PASSWORD, roles: ['admin'] },
    { userPrincipalName: `alice@${name}.test`, displayName: 'Alice', password: PASSWORD, groups: ['staff'] },
  ],
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/.default'] },
  ],
})

export const ROOT = '/identity/conditionalAccess'
export const POLICIES = `${ROOT}/policies`
export const LOCATIONS = `${ROOT}/namedLocations`
export const CONTEXTS = `${ROOT}/authenticationContextClassReferences`

export let loop: Loop
export let client: Client
export const clientOf = (tenant: string) => {
  let token: Promise<string> | undefined
  const ask = async () => {
    const form = { grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope: `${loop.origin}/.default` }
    const response = await fetch(`${loop.origin}/${tenant}/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams(form) })
    return ((await response.json()) as { access_token: string }).access_token
  }
  return Client.init({
    baseUrl: `${loop.origin}/`,
    customHosts: new Set([new URL(loop.origin).hostname]),
    authProvider: (done) => {
      token ??= ask()
      token.then(
        (text) => done(null, text),
        (error) => done(error, null),
      )
    },
  })
}
/** A server for the tests of a file, and Graph's own client of it. */
export function administerPolicies(): void {
  beforeAll(async () => {
    loop = await startLoop({ tenant: JSON.stringify(tenantOf('contoso')) })
    client = clientOf('contoso')
  })
  afterAll(() => loop.close())
}

export type Refusal = { status: number; code: string; message: string; paths: string[] }
/** What the client throws when it is refused: Graph's error body as it reads it. */
export const refusal = (work: Promise<unknown>): Promise<Refusal | 'done'> =>
  work.then(
    () => 'done' as const,
    (error: GraphError) => ({
      ...{ status: error.statusCode, code: String(error.code), message: error.message },
      paths: ((JSON.parse(error.body ?? '{}').details ?? []) as { target: string }[]).map(({ target }) => target),
    }),
  )
export const db = () => loop.server.store.db
export const seq = async () => (await loop.server.store.position(loop.tenant)).seq
export const version = async () => {
  const row = db().selectFrom('tenants').select('policies_version').where('id', '=', loop.tenant)
  return (await row.executeTakeFirstOrThrow()).policies_version
}
/** Short names. */
export const eventsSince = async (after: number) => {
  const rows = db().selectFrom('events').select('type').where('tenant', '=', loop.tenant).where('seq', '>', after).orderBy('seq')
  return (await rows.execute()).map(({ type }) => type.split(/[/:]/).at(-1))
}
export const idOf = async (upn: string) => (await client.api(`/users/${upn}`).get()).id as string

export const MFA = { operator: 'OR', builtInControls: ['mfa'] }
export const BLOCK = { operator: 'OR', builtInControls: ['block'] }
export const aboutAll = { users: { includeUsers: ['All'] }, applications: { includeApplications: ['All'] } }
