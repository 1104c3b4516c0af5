import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { createFlow } from './flow.ts'
import { type Loop, PASSWORD, SCOPE, SECRET, startLoop } from './loop.ts'

const OFFICE = '198.51.100.7'
const CAFE = '203.0.113.9'

const PEOPLE = [
  ['alice', 'Alice Novak', 'Finance'],
  ['bob', 'Bob Martin', 'Finance'],
  ['carol', 'Carol Weiss', 'Engineering'],
  ['dave', 'Dave Okafor', 'Engineering'],
  ['erin', 'Erin Larsen', 'Engineering'],
  ['frank', 'Frank Rossi', 'Support'],
  ['grace', 'Grace Kim', 'Support'],
  ['heidi', 'Heidi Braun', 'Support'],
] as const

const publicKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' })

const TENANT = () =>
  JSON.stringify({
    tenant: { name: 'contoso', displayName: 'Contoso' },
    groups: [{ displayName: 'Finance' }, { displayName: 'Engineering' }, { displayName: 'Support' }, { displayName: 'Everyone', groups: [] }],
    users: [
      { userPrincipalName: 'admin@contoso.test', displayName: 'Ada Admin', password: PASSWORD, roles: ['admin'] },
      { userPrincipalName: 'second@contoso.test', displayName: 'Sam Second', password: PASSWORD, roles: ['admin'] },
      ...PEOPLE.map(([name, displayName, group]) => ({
        ...{ userPrincipalName: `${name}@contoso.test`, displayName, password: PASSWORD, groups: [group], enabled: name !== 'heidi' },
      })),
    ],
    applications: [
      {
        ...{ appId: 'files-api', displayName: 'Files', identifierUris: ['api://files'], scopes: ['Files.Read', 'Files.Write'], cae: true },
        ...{ clientSecret: SECRET, appRoles: [{ value: 'Auditor' }] },
      },
      { appId: 'mail-api', displayName: 'Mail', identifierUris: ['api://mail'], scopes: ['Mail.Read'], cae: true, clientSecret: SECRET },
      { appId: 'files-native', displayName: 'Files on the desktop', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
      { appId: 'files-spa', displayName: 'Files in the browser', type: 'spa', redirectUris: ['http://localhost:8445/'], permissions: [SCOPE] },
      {
        ...{ appId: 'nightly', displayName: 'Nightly job', type: 'daemon', clientSecret: SECRET },
        permissions: [
          ...['User.ReadWrite.All', 'Group.Read.All', 'Application.Read.All', 'Device.Read.All', 'Policy.Read.All', 'AuditLog.Read.All'],
          'SecurityEvents.Read.All',
        ].map((one) => `graph/${one}`),
      },
    ],
    devices: [
      {
        deviceId: 'laptop-alice',
        displayName: "Alice's laptop",
        user: 'alice@contoso.test',
        publicKey: publicKey(),
        trustType: 'AzureAd',
        compliant: true,
      },
      { deviceId: 'phone-carol', displayName: "Carol's phone", user: 'carol@contoso.test', publicKey: publicKey(), compliant: false },
    ],
    namedLocations: [
      { displayName: 'Head office', isTrusted: true, ipRanges: ['198.51.100.0/24', '2001:db8:1::/48'] },
      { '@odata.type': '#microsoft.graph.countryNamedLocation', displayName: 'Nordics', countriesAndRegions: ['NO', 'SE', 'DK', 'FI'] },
    ],
    conditionalAccessPolicies: [
      {
        ...{ displayName: 'Support works from the office', state: 'enabled', grantControls: { operator: 'OR', builtInControls: ['block'] } },
        conditions: {
          users: { includeGroups: ['Support'] },
          applications: { includeApplications: ['files-api'] },
          locations: { includeLocations: ['All'], excludeLocations: ['Head office'] },
        },
      },
      {
        ...{ displayName: 'A second factor for engineering', state: 'enabledForReportingButNotEnforced' },
        grantControls: { operator: 'OR', builtInControls: ['mfa'] },
        conditions: { users: { includeGroups: ['Engineering'] }, applications: { includeApplications: ['All'] } },
      },
      {
        ...{ displayName: 'High risk needs a new password', state: 'disabled' },
        grantControls: { operator: 'AND', builtInControls: ['mfa', 'passwordChange'] },
        conditions: { users: { includeUsers: ['All'] }, applications: { includeApplications: ['All'] }, userRiskLevels: ['high'] },
      },
    ],
  })

/** A tenant in which something has happened, so that every screen of the console has something to show. */
export interface World {
  loop: Loop
  /** Of the revocation of Alice, whose proof is complete. */
  txn: string
  /** Of somebody, by the name before the @. */
  userId(name: string): Promise<string>
  /** Of whoever is first in a list of the admin API. */
  firstId(path: string): Promise<string>
  close(): Promise<void>
}

export async function startWorld(): Promise<World> {
  const loop = await startLoop({ tenant: TENANT(), environment: { CAEGIS_TRUSTED_PROXIES: '127.0.0.1,::1', CAEGIS_DIAL_ALLOW: 'localhost' } })
  const guards = [await loop.guard(), await loop.guard(), await loop.guard({ audience: 'api://mail', clientId: 'mail-api' })]
  const receiver = await startRefusing()
  await createPushStream(loop, receiver.url)

  // Everybody comes by way of a proxy that the server trusts, from where the world says.
  const realFetch = globalThis.fetch
  const from =
    (address: string): typeof fetch =>
    (input, init) =>
      realFetch(input, { ...init, headers: { 'x-forwarded-for': address, ...Object.fromEntries(new Headers(init?.headers)) } })
  globalThis.fetch = from(OFFICE)
  const flowOf = (name: string, address = OFFICE) =>
    createFlow(loop, { username: `${name}@contoso.test`, capable: true, browser: createBrowser(from(address)) })
  for (const name of ['bob', 'carol', 'dave', 'frank', 'grace']) await flowOf(name).tokens()
  // Blocked by the policy, and a wrong name.
  await flowOf('frank', CAFE)
    .signIn()
    .catch(() => {})
  const { accessToken } = await flowOf('alice').tokens()
  const ask = (token: string) =>
    guards[0]?.check({ headers: { authorization: `Bearer ${token}`, 'x-forwarded-for': OFFICE }, socket: { remoteAddress: '127.0.0.1' } } as never)
  await ask(accessToken)
  const revoked = await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
  const txn = String(revoked.headers.get('caegis-txn'))
  for (let tries = 0; tries < 500 && (await ask(accessToken))?.allowed; tries++) await new Promise((resolve) => setTimeout(resolve, 10))
  await flowOf('alice').tokens()
  await loop.server.store.flush()

  const idOf = async (path: string) => {
    const body = (await (await loop.graph('GET', encodeURI(path))).json()) as { id?: string; value?: { id: string }[] }
    return String(body.id ?? body.value?.[0]?.id)
  }
  return {
    loop,
    txn,
    userId: (name) => idOf(`/users/${name}@contoso.test`),
    firstId: idOf,
    async close() {
      globalThis.fetch = realFetch
      await loop.close()
      await receiver.close()
    },
  }
}

/** A receiver that is there and takes nothing. */
async function startRefusing(): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer((_request, response) => response.writeHead(500).end())
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}/events`,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function createPushStream(loop: Loop, endpoint: string): Promise<void> {
  const token = await loop.daemonToken('mail-api', 'ssf.read ssf.manage')
  const response = await fetch(`${loop.authority}/ssf/streams`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      delivery: { method: 'urn:ietf:rfc:8935', endpoint_url: endpoint },
      events_requested: ['https://schemas.openid.net/secevent/caep/event-type/session-revoked'],
      description: 'Security information and event management',
    }),
  })
  if (response.status !== 201) throw new Error(`no stream: ${response.status} ${await response.text()}`)
}
