import type { World } from './console-world.ts'

/** Every screen of the console, with an address at which it has something to show. */
export async function screensOf({ txn, userId, firstId }: Pick<World, 'txn' | 'userId' | 'firstId'>): Promise<{ name: string; path: string }[]> {
  const alice = await userId('alice')
  return [
    { name: 'overview', path: '' },
    { name: 'users', path: '/users' },
    { name: 'user', path: `/users/${alice}` },
    { name: 'proof', path: `/revocations/${txn}` },
    { name: 'user-sign-ins', path: `/users/${alice}/sign-ins` },
    { name: 'groups', path: '/groups' },
    { name: 'group', path: `/groups/${await firstId('/groups')}` },
    { name: 'applications', path: '/applications' },
    { name: 'application', path: `/applications/files-api` },
    { name: 'devices', path: '/devices' },
    { name: 'device', path: `/devices/${await firstId('/devices')}` },
    { name: 'policies', path: '/policies' },
    { name: 'policy', path: `/policies/${await firstId('/identity/conditionalAccess/policies')}` },
    { name: 'what-if', path: '/what-if' },
    { name: 'locations', path: '/locations' },
    { name: 'location', path: `/locations/${await firstId('/identity/conditionalAccess/namedLocations')}` },
    { name: 'sign-ins', path: '/sign-ins' },
    { name: 'sign-in', path: `/sign-ins/${await firstId("/auditLogs/signIns?$filter=outcome eq 'blocked'")}` },
    { name: 'streams', path: '/streams' },
    { name: 'stream', path: `/streams/${await firstId('/caegis/streams')}` },
    { name: 'settings', path: '/settings' },
  ]
}
