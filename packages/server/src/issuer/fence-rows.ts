import type { CutoffKey } from '@caegis/protocol'
import type { Transaction } from 'kysely'
import { INSTANTS, lastInstant } from '../store/change.ts'
import type { Schema } from '../store/schema.ts'
import type { Mint, Reading } from './attempt.ts'
import { tokenVersion } from './facts.ts'
import type { Tenant } from './tenant.ts'

/** The deciding rows as they are inside the fence's transaction, where nobody else can change them: each is read once, whatever is asked of it. */
export interface Rows {
  home(): Promise<{ stopped_at: number | null } | undefined>
  /** 0 where there is no such row. */
  versionOf(reading: Reading): Promise<number>
  /** The latest cutoff, of any depth, under any of the token's keys. One of the whole tenant does not concern its streams. */
  lastCutoff(mint: Mint): Promise<number>
}

export function createRows(db: Transaction<Schema>, tenant: Tenant, now: number): Rows {
  const known = new Map<string, Promise<unknown>>()
  const once = <T>(key: string, read: () => Promise<T>): Promise<T> => {
    const found = (known.get(key) as Promise<T> | undefined) ?? read()
    known.set(key, found)
    return found
  }
  const read = ['version', ...INSTANTS] as const
  const of = { tenant: tenant.id }

  const home = () =>
    once('tenant', () =>
      db
        .selectFrom('tenants')
        .select([...read, 'policies_version', 'stopped_at'])
        .where('id', '=', of.tenant)
        .executeTakeFirst(),
    )
  const user = (id: string) =>
    once(`user ${id}`, () => db.selectFrom('users').select(read).where('tenant', '=', of.tenant).where('id', '=', id).executeTakeFirst())
  const session = (id: string) =>
    once(`session ${id}`, () => db.selectFrom('sessions').select(read).where('tenant', '=', of.tenant).where('id', '=', id).executeTakeFirst())
  const device = (id: string) =>
    once(`device ${id}`, () => db.selectFrom('devices').select(read).where('tenant', '=', of.tenant).where('id', '=', id).executeTakeFirst())
  const app = (id: string) =>
    once(`app ${id}`, () =>
      db
        .selectFrom('applications')
        .select([...read, 'deleted_at'])
        .where('tenant', '=', of.tenant)
        .where('app_id', '=', id)
        .executeTakeFirst(),
    )
  const grant = (userId: string, appId: string) =>
    once(`grant ${userId} ${appId}`, () =>
      db
        .selectFrom('grants')
        .select(read)
        .where('tenant', '=', of.tenant)
        .where('user_id', '=', userId)
        .where('app_id', '=', appId)
        .executeTakeFirst(),
    )
  const pair = (userId: string, deviceId: string) =>
    once(`pair ${userId} ${deviceId}`, () =>
      db
        .selectFrom('device_users')
        .select(read)
        .where('tenant', '=', of.tenant)
        .where('user_id', '=', userId)
        .where('device_id', '=', deviceId)
        .executeTakeFirst(),
    )

  /** The row behind a key; a token has none. */
  const under = ({ kind, id }: CutoffKey): Promise<Parameters<typeof lastInstant>[0]> => {
    const [left = '', right = ''] = id.split('\n')
    switch (kind) {
      case 'user':
        return user(id)
      case 'session':
        return session(id)
      case 'app':
        return app(id)
      case 'device':
        return device(id)
      case 'grant':
        return grant(left, right)
      case 'user-device':
        return pair(left, right)
      default:
        return Promise.resolve(undefined)
    }
  }

  return {
    home,

    async versionOf(reading) {
      switch (reading.table) {
        case 'artifact':
          return tenant.artifacts.version(db, reading.model, reading.id, now)
        case 'tenant':
          return (await home())?.version ?? 0
        case 'policies':
          return (await home())?.policies_version ?? 0
        case 'app': {
          const row = await app(reading.id)
          return row?.deleted_at === null ? row.version : 0
        }
        case 'user':
          return (await user(reading.id))?.version ?? 0
        case 'home': {
          const row = db.selectFrom('users').select('version').where('tenant', '=', reading.tenant).where('id', '=', reading.id)
          return (await row.where('deleted_at', 'is', null).executeTakeFirst())?.version ?? 0
        }
        case 'device':
          return (await device(reading.id))?.version ?? 0
        case 'user-device':
          return (await pair(reading.user, reading.device))?.version ?? 0
        case 'token':
          return tokenVersion(db, tenant, reading.id)
        case 'grant':
          return (await grant(reading.user, reading.app))?.version ?? 0
        case 'session':
          return (await session(reading.id))?.version ?? 0
      }
    },

    async lastCutoff(mint) {
      const { user: owner, keys = [] } = mint
      const rows = [mint.stream ? undefined : await home()]
      const found: Parameters<typeof lastInstant>[0][] = rows
      found.push(await app(mint.appId))
      if (owner !== undefined) found.push(await user(owner))
      if (mint.sid !== undefined) found.push(await session(mint.sid))
      if (mint.device !== undefined) found.push(await device(mint.device))
      if (mint.device !== undefined && owner !== undefined) found.push(await pair(owner, mint.device))
      if (owner !== undefined) found.push(await grant(owner, mint.appId))
      for (const key of keys) found.push(await under(key))
      return Math.max(...found.map(lastInstant))
    },
  }
}
