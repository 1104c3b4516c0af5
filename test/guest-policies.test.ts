import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { type Callers, createCallers, type Loop, PASSWORD, SCOPE, SECRET, startLoop } from './loop.ts'

const apps = [
  { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
  { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
  {
    ...{ appId: 'nightly', type: 'daemon', clientSecret: SECRET },
    permissions: ['graph/User.ReadWrite.All', 'graph/Policy.ReadWrite.ConditionalAccess'],
  },
]
const FAR = '6f0ac3a2-5c3b-4b53-9b7a-0c9b1f6f7e11'

let home: Loop
let host: Callers & { close(): Promise<void> }
/** Of the account at home. */
let gina: string

beforeAll(async () => {
  const file = { tenant: { name: 'fabrikam' }, users: [{ userPrincipalName: 'gina@fabrikam.test', password: PASSWORD }], applications: apps }
  home = await startLoop({ tenant: JSON.stringify(file) })
  const own = home.server.store.db.selectFrom('users').select('id').where('upn_key', '=', 'gina@fabrikam.test')
  gina = (await own.executeTakeFirstOrThrow()).id
  const guest = (name: string, more: object) => ({ userPrincipalName: `${name}@contoso.test`, password: PASSWORD, type: 'guest', ...more })
  const { issuer } = await home.server.apply(
    JSON.stringify({
      tenant: { name: 'contoso' },
      users: [
        guest('gina', { home: { issuer: home.issuer, id: gina } }),
        guest('far', { home: { issuer: `https://login.elsewhere.test/${FAR}/v2.0`, id: 'far' } }),
        guest('temp', {}),
      ],
      applications: apps,
    }),
  )
  host = createCallers(home.origin, issuer)
})
afterAll(async () => {
  await host?.close()
  await home?.close()
})

const POLICIES = '/identity/conditionalAccess/policies'
const blocking = (users: object) => ({
  ...{ displayName: 'guests', state: 'enabled', grantControls: { operator: 'OR', builtInControls: ['block'] } },
  conditions: { users, applications: { includeApplications: ['All'] } },
})
const signsIn = (name: string) =>
  createFlow(host as Loop, { username: `${name}@contoso.test` })
    .tokens()
    .then(
      () => true,
      () => false,
    )

/** Who gets in while this policy blocks whom it names. */
async function whoGetsIn(users: object): Promise<string[]> {
  const made = await host.graph('POST', POLICIES, blocking(users))
  expect(made.status).toBe(201)
  const inside: string[] = []
  for (const name of ['gina', 'far', 'temp']) if (await signsIn(name)) inside.push(name)
  const { id } = (await made.json()) as { id: string }
  expect((await host.graph('DELETE', `${POLICIES}/${id}`)).status).toBe(204)
  return inside
}
const ofType = (guestOrExternalUserTypes: string, members?: string[]) => ({
  guestOrExternalUserTypes,
  ...(members ? { externalTenants: { membershipKind: 'enumerated', members } } : {}),
})

describe('D8: a policy about guests', () => {
  it('hits an account without a home as what is stricter: nobody can tell whether it was invited', async () => {
    expect(await whoGetsIn({ includeGuestsOrExternalUsers: ofType('internalGuest') })).toEqual(['gina', 'far'])
    expect(await whoGetsIn({ includeGuestsOrExternalUsers: ofType('b2bCollaborationGuest') })).toEqual([])
    expect(await whoGetsIn({ includeUsers: ['All'], excludeGuestsOrExternalUsers: ofType('b2bCollaborationGuest') })).toEqual(['gina', 'far'])
  })

  it('knows the tenant of a guest by its issuer and by its id, of this server or of another one', async () => {
    const of = (...members: string[]) => whoGetsIn({ includeGuestsOrExternalUsers: ofType('b2bCollaborationGuest', members) })
    expect(await of(home.issuer)).toEqual(['far'])
    expect(await of(home.tenant)).toEqual(['far'])
    expect(await of(FAR.toUpperCase())).toEqual(['gina'])
    expect(await of(`https://login.elsewhere.test/${FAR}/v2.0/`)).toEqual(['gina'])
  })

  it.each([
    [
      ofType('b2bDirectConnectUser,serviceProvider'),
      'guestOrExternalUserTypes',
      'names nobody: guests are internalGuest or b2bCollaborationGuest here',
    ],
    [ofType('b2bCollaborationGuest', ['fabrikam']), 'externalTenants/members/0', 'is neither the issuer of a tenant (an https address) nor its id'],
  ])('that could never be enforced is not taken: %j', async (selection, path, message) => {
    const answer = await host.graph('POST', POLICIES, blocking({ includeGuestsOrExternalUsers: selection }))
    expect(answer.status).toBe(400)
    const { error } = (await answer.json()) as { error: { details: { target: string; message: string }[] } }
    expect(error.details).toEqual([expect.objectContaining({ target: `/conditions/users/includeGuestsOrExternalUsers/${path}`, message })])
  })

  it('may name types that nobody here has beside one that somebody has, as exported policies do', async () => {
    expect(
      await whoGetsIn({ includeGuestsOrExternalUsers: ofType('internalGuest,b2bCollaborationGuest,b2bCollaborationMember,serviceProvider') }),
    ).toEqual([])
  })
})

it('E8: nobody makes themselves a guest of an account at another tenant of this server from outside: they would hear what becomes of it', async () => {
  const spy = (issuer: string) => ({
    tenant: { name: 'contoso' },
    users: [{ userPrincipalName: 'spy@contoso.test', password: PASSWORD, type: 'guest', home: { issuer, id: issuer === home.issuer ? gina : 'x' } }],
  })
  const apply = async (file: object) => {
    const plan = (await (await host.graph('POST', '/caegis/tenantFile/plan', { file })).json()) as { digest: string }
    return host.graph('POST', '/caegis/tenantFile/apply', { file, digest: plan.digest })
  }
  const refused = await apply(spy(home.issuer))
  expect(refused.status).toBe(403)
  expect(await refused.text()).toContain('such a guest is made on the host')
  expect((await apply(spy('https://nowhere.test/v2.0'))).status).toBe(200)
})
