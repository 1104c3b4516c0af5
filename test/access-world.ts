import { Secret, TOTP } from 'otpauth'
import { afterAll, beforeAll, beforeEach } from 'vitest'
import { createFlow, type FlowOptions } from './flow.ts'
import { type Loop, PASSWORD, SCOPE, SECRET, startLoop } from './loop.ts'

/** The address that a request claims to come from; the server takes the loopback for a proxy that it trusts. */
export const OFFICE = '198.51.100.7'
export const CAFE = '203.0.113.9'
export const LOCATIONS = [{ id: 'office', trusted: true, ranges: ['198.51.100.0/24', '2001:db8:1::/48'] }]
export const OUTSIDE = { locations: { includeLocations: ['All'], excludeLocations: ['office'] } }
export const CP1 = { claims: JSON.stringify({ access_token: { xms_cc: { values: ['cp1'] } } }) }

/** Seconds by which this world is ahead, and the network that its requests come from. */
export const world = { ahead: 0, from: OFFICE }
export let loop: Loop
export const now = () => Date.now() + world.ahead * 1000
export const realFetch = globalThis.fetch

/** A server for the tests of a file, which are in the office until they say otherwise. */
export function enterWorld(): void {
  beforeAll(async () => {
    world.ahead = 0
    // Every request of this file comes by way of the proxy, from where the test says.
    globalThis.fetch = (input, init) =>
      realFetch(input, { ...init, headers: { ...Object.fromEntries(new Headers(init?.headers)), 'x-forwarded-for': world.from } })
    loop = await startLoop({
      now,
      environment: { CAEGIS_TRUSTED_PROXIES: '127.0.0.1,::1' },
      tenant: JSON.stringify({
        tenant: { name: 'contoso', displayName: 'Contoso' },
        groups: [{ displayName: 'finance' }],
        users: [
          { userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: PASSWORD },
          { userPrincipalName: 'bob@contoso.test', displayName: 'Bob', password: PASSWORD, groups: ['finance'] },
          { userPrincipalName: 'carol@contoso.test', displayName: 'Carol', password: PASSWORD },
          { userPrincipalName: 'dave@contoso.test', displayName: 'Dave', password: PASSWORD },
          { userPrincipalName: 'erin@contoso.test', displayName: 'Erin', password: PASSWORD },
        ],
        applications: [
          {
            ...{ appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
            permissions: ['api://mail/Mail.Read'],
          },
          { appId: 'mail-api', identifierUris: ['api://mail'], scopes: ['Mail.Read'], cae: true, clientSecret: SECRET },
          { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE, 'api://mail/Mail.Read'] },
          { appId: 'files-spa', type: 'spa', redirectUris: ['http://localhost'], permissions: [SCOPE] },
          { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All', 'api://files/.default'] },
        ],
      }),
    })
  })
  afterAll(async () => {
    globalThis.fetch = realFetch
    await loop.close()
  })
  beforeEach(() => {
    world.from = OFFICE
  })
}

export const flow = (who = 'alice', more: FlowOptions = {}) => createFlow(loop, { username: `${who}@contoso.test`, ...more })
export const idOf = async (who: string) => String((await (await loop.graph('GET', `/users/${who}@contoso.test`)).json()).id)
export const only = async (who: string) => ({ users: { includeUsers: [await idOf(who)] } })
/** The newest record of the sign-in log. */
export const lastRecord = async () => {
  const row = await loop.server.store.db.selectFrom('sign_ins').selectAll().orderBy('id', 'desc').limit(1).executeTakeFirstOrThrow()
  return JSON.parse(row.record)
}
export const submitCode = (text: string) => {
  const secret = text.match(/class="key">([A-Z2-7 ]+)</)?.[1]?.replaceAll(' ', '') as string
  return new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: now() })
}
