import type { Author } from '../access/author.ts'
import type { Caller } from './caller.ts'

/** Whom a policy could keep out of where they write it: people, not applications. */
export function authorOf({ actor, claims }: Pick<Caller, 'actor' | 'claims'>): Author | undefined {
  if (actor.kind !== 'user') return undefined
  const { id: user, appId, sid, address = '' } = actor
  const device = typeof claims.deviceid === 'string' ? { device: claims.deviceid } : {}
  return { user, appId, address, ...device, ...(sid === undefined ? {} : { sid }) }
}
