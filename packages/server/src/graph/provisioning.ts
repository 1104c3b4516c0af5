import type { Api } from './api.ts'

/** What the admin API shows of the LDAP directory that is followed: neither who reads there nor who was read. */
export interface LdapStatus {
  name: string
  kind: string
  /** Without a name or a password: none can stand in it. */
  url: string
  /** Seconds between two looks. */
  interval: number
  /** `waiting`: it has not been read to its end since the server runs. */
  state: 'waiting' | 'ok' | 'failing'
  /** Milliseconds. */
  lastPassAt: number | null
  /** Why the last look failed; `null` where it did not. */
  lastError: { code: string; message: string; at: number } | null
  /** What the last look that came to its end has found and done, in numbers. */
  report: object | null
}

/** Where people come from who are not made here: by SCIM, and by LDAP. */
export function registerProvisioning({ origin, route }: Api): void {
  route(
    'GET',
    '/caegis/provisioning',
    { does: 'Shows where people and groups are written from: by SCIM, and by LDAP', needs: ['Organization.Read.All'] },
    async ({ tenant, ldap }) => {
      const { provisioning, name } = tenant
      const clients = await provisioning.scimClients()
      const sum = (of: 'users' | 'groups') => clients.reduce((total, one) => total + one[of], 0)
      const last = Math.max(0, ...clients.map(({ lastWriteAt }) => lastWriteAt ?? 0))
      const followed = await ldap()
      return {
        '@odata.context': `${origin}/v1.0/$metadata#caegis/provisioning/$entity`,
        scim: {
          endpoint: `${origin}/${name}/scim/v2`,
          lastWriteDateTime: time(last === 0 ? null : last),
          ...{ users: sum('users'), groups: sum('groups') },
          applications: clients.map(({ lastWriteAt, ...one }) => ({ ...one, lastWriteDateTime: time(lastWriteAt) })),
        },
        ldap: followed ? { ...shape(followed), users: await provisioning.ldapUsers(`ldap:${followed.name}`) } : null,
      }
    },
  )
}

const time = (at: number | null) => (at === null ? null : new Date(at).toISOString())

function shape({ lastPassAt, lastError, ...status }: LdapStatus): object {
  return {
    ...status,
    lastPassDateTime: time(lastPassAt),
    lastError: lastError && { code: lastError.code, message: lastError.message, dateTime: time(lastError.at) },
  }
}
