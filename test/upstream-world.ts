import { type Loop, PASSWORD, SCOPE, SECRET } from './loop.ts'

export const PEOPLE = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank', 'grace', 'heidi', 'ivan', 'judy']
export const tenantFile = (upstreams: object[]) =>
  JSON.stringify({
    tenant: { name: 'contoso' },
    users: PEOPLE.map((name) => ({ userPrincipalName: `${name}@contoso.test`, displayName: name, password: PASSWORD })),
    applications: [
      { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
      { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
      {
        appId: 'nightly',
        type: 'daemon',
        clientSecret: SECRET,
        permissions: ['graph/User.ReadWrite.All', 'graph/Upstream.ReadWrite.All', 'graph/SecurityEvents.Read.All'],
      },
      { appId: 'reader', type: 'daemon', clientSecret: SECRET, permissions: ['graph/Upstream.Read.All'] },
      { appId: 'clerk', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.Read.All'] },
    ],
    upstreams,
  })

/** What the receiver of the only upstream says of itself. */
export async function shown(loop: Loop): Promise<any> {
  const { value } = (await (await loop.graph('GET', '/caegis/upstreams')).json()) as { value: any[] }
  return value[0]
}
export async function countOf(loop: Loop, outcome: string, type?: string): Promise<number> {
  const { outcomes } = (await shown(loop)).status
  return outcomes
    .filter((one: any) => one.outcome === outcome && (type === undefined || one.type === type))
    .reduce((sum: number, one: any) => sum + one.count, 0)
}
export const logOf = (loop: Loop) => loop.server.store.db.selectFrom('events').selectAll().where('tenant', '=', loop.tenant).orderBy('seq').execute()
export const userOf = async (loop: Loop, name: string) =>
  (await (await loop.graph('GET', `/users/${name}@contoso.test?$select=id,accountEnabled`)).json()) as { id: string; accountEnabled: boolean }
export const email = (name: string) => ({ format: 'email', email: `${name}@contoso.test` })
