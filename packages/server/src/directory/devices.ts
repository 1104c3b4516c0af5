import { randomUUID } from 'node:crypto'
import { CaegisError, type ComplexSubject, EVENT, event, pairId } from '@caegis/protocol'
import { z } from 'zod'
import { SERVER_ERRORS } from '../errors.ts'
import type { Actor, ChangeContext, Committed } from '../store/change.ts'
import { scheduleReevaluation } from '../store/reevaluations.ts'
import type { DeviceRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { auditDevice } from './audit-words.ts'
import { createListing, type Listed, type Page } from './listing.ts'
import { issuerOf } from './rights.ts'

/** The public key by which a device proves itself. */
export const deviceKey = z.strictObject({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: z.base64url().length(43),
  y: z.base64url().length(43),
})

export const TRUST_TYPES = ['Workplace', 'AzureAd', 'ServerAd'] as const

export interface Device {
  id: string
  displayName: string
  enabled: boolean
  /** `null` = nobody has looked. */
  compliant: boolean | null
  trustType: string
  /** Id of its owner. */
  owner: string | null
  /** How the owner is called, in lists and where one device is read. */
  ownerName?: string
  /** Where the owner registered it, empty when unknown; `null` = somebody else did. */
  registeredFrom: string | null
  createdAt: number
  /** Second at which it last got a token; 0 = never. */
  lastUsedAt: number
}

export interface NewDevice {
  id?: string
  displayName: string
  publicKey: z.infer<typeof deviceKey>
  /** Id or name of a user. */
  owner?: string
  trustType?: (typeof TRUST_TYPES)[number]
  enabled?: boolean
  compliant?: boolean | null
  /** Where from, when its owner does it. */
  from?: string
}

/** What people register by themselves: at most so many at a time, and so many a day, as each leaves a row for ever. */
export const MOST_OWN = 20
const DAY = 24 * 3600
/** On a page. */
const MOST_LISTED = 100

export interface DeviceUpdate {
  displayName?: string
  enabled?: boolean
  compliant?: boolean | null
  /** Whoever has the key before it is nobody from then on. */
  publicKey?: z.infer<typeof deviceKey>
}

/** Somebody who has had a token on a device, and when last (second). */
export interface DeviceUser {
  id: string
  displayName: string
  upn: string
  lastUsedAt: number
}

type Standing = Pick<DeviceRow, 'enabled' | 'compliant'>

/** A device that is disabled counts as not compliant; one at which nobody has looked, as compliant. */
const statusOf = ({ enabled, compliant }: Standing) => (enabled === 1 && compliant !== 0 ? ('compliant' as const) : ('not-compliant' as const))

/** What people sign in from. Losing one ends what was given to it, and nothing that its user has elsewhere. */
export function createDevices(store: Store, tenant: string) {
  const rows = (db: ChangeContext['db'] | Store['db']) =>
    db.selectFrom('devices').selectAll().where('tenant', '=', tenant).where('deleted_at', 'is', null)
  /** CAEP 1.0 section 3.5 names a device by its issuer's own id, for receivers of simple subjects too. */
  const simpleOf = async (db: ChangeContext['db'], id: string) => ({ format: 'iss_sub', iss: await issuerOf(db, tenant), sub: id }) as const
  const subjectOf = (id: string) => ({ subject: { complex: { format: 'complex', device: { format: 'opaque', id } } satisfies ComplexSubject } })

  const edit = <T>(actor: Actor, id: string, work: (context: ChangeContext, row: DeviceRow) => Promise<T>): Promise<Committed<T>> =>
    store.commit({
      tenant,
      actor,
      async edit(context) {
        const row = await rows(context.db).where('id', '=', id).executeTakeFirst()
        // People manage what they registered themselves, and nothing else.
        const isTheirs = actor.kind !== 'holder' || (row?.user_id === actor.user && row.registered_from !== null)
        if (!row || !isTheirs) throw new CaegisError('device_not_found', SERVER_ERRORS.device_not_found)
        return work(context, row)
      },
    })

  const set = (context: ChangeContext, row: DeviceRow, columns: Partial<DeviceRow>) => {
    auditDevice(context, row, columns)
    return context.db
      .updateTable('devices')
      .set({ ...columns, version: row.version + 1 })
      .where('tenant', '=', tenant)
      .where('id', '=', row.id)
      .execute()
  }

  /** Says what became of a device, and cuts off what was given to it where that is worse than before. @returns whether it did */
  const settle = async (context: ChangeContext, before: DeviceRow, after: Standing, deleted?: 'deleted'): Promise<boolean> => {
    const [previous, current] = [statusOf(before), statusOf(after)]
    const lost = deleted !== undefined || (before.enabled === 1 && after.enabled === 0)
    if (!lost && previous === current) return false
    const worse = lost ? `The device was ${deleted ?? 'disabled'}` : 'The device is not compliant'
    context.publish({
      ...event(EVENT.deviceComplianceChange, { previous_status: previous, current_status: current }),
      subject: { simple: await simpleOf(context.db, before.id), ...subjectOf(before.id).subject },
      ...(current === 'compliant'
        ? { reason: 'The device is enabled and compliant' }
        : { reason: worse, cut: { kind: 'device', id: before.id, depth: lost ? 'sign-in' : 'access' } as const }),
    })
    return current !== 'compliant'
  }

  const listing = createListing<DeviceRow, Device>(store.db, tenant, 'devices', true, toDevice)
  const withOwners = async (found: Device[]): Promise<Device[]> => {
    const ids = [...new Set(found.flatMap(({ owner }) => owner ?? []))]
    const select = store.db.selectFrom('users').select(['id', 'display_name']).where('tenant', '=', tenant)
    const names = new Map(ids.length === 0 ? [] : (await select.where('id', 'in', ids).execute()).map((row) => [row.id, row.display_name]))
    return found.map((one) => {
      const ownerName = names.get(one.owner ?? '')
      return ownerName === undefined ? one : { ...one, ownerName }
    })
  }

  const devices = {
    async find(id: string): Promise<Device | undefined> {
      const row = await rows(store.db).where('id', '=', id).executeTakeFirst()
      return row && (await withOwners([toDevice(row)]))[0]
    },

    list: {
      count: listing.count,
      async page(page: Page): Promise<Listed<Device>> {
        const found = await listing.page(page)
        return { ...found, value: await withOwners(found.value) }
      },
    },

    /** Who has had a token on it, who had it last first. */
    async users(id: string): Promise<DeviceUser[]> {
      const found = await store.db
        .selectFrom('device_users as d')
        .innerJoin('users as u', (join) => join.onRef('u.tenant', '=', 'd.tenant').onRef('u.id', '=', 'd.user_id'))
        .select(['u.id', 'u.display_name as displayName', 'u.upn', 'd.last_iat as lastUsedAt'])
        .where('d.tenant', '=', tenant)
        .where('d.device_id', '=', id)
        .where('u.deleted_at', 'is', null)
        .orderBy('d.last_iat', 'desc')
        .limit(MOST_LISTED)
        .execute()
      return found
    },

    /** Of one owner, oldest first. */
    ofOwner: async (user: string): Promise<Device[]> =>
      (await rows(store.db).where('user_id', '=', user).orderBy('created_at').orderBy('id').limit(MOST_LISTED).execute()).map(toDevice),

    /** What somebody registers for themselves. Nobody has looked at it: whether it is compliant is for others to say. */
    register: (
      actor: Extract<Actor, { kind: 'holder' }>,
      given: Required<Pick<NewDevice, 'id' | 'displayName' | 'publicKey' | 'from'>>,
    ): Promise<Committed<string>> =>
      store.commit({
        tenant,
        actor,
        async edit(context) {
          const { db, now } = context
          const own = await db
            .selectFrom('devices')
            .select(['created_at', 'deleted_at'])
            .where('tenant', '=', tenant)
            .where('user_id', '=', actor.user)
            .where('registered_from', 'is not', null)
            .where((eb) => eb.or([eb('deleted_at', 'is', null), eb('created_at', '>', now - DAY)]))
            .execute()
          const living = own.filter((one) => one.deleted_at === null).length
          const today = own.filter((one) => one.created_at > now - DAY).length
          if (Math.max(living, today) >= MOST_OWN) throw new CaegisError('too_many_devices', SERVER_ERRORS.too_many_devices)
          return insertDevice(context, { ...given, owner: actor.user })
        },
      }),

    /** Registers a device. An id that was ever in use stays that device's: its instants hold for ever. */
    create: (actor: Actor, given: NewDevice): Promise<Committed<string>> =>
      store.commit({ tenant, actor, edit: (context) => insertDevice(context, given) }),

    update: (actor: Actor, id: string, given: DeviceUpdate) =>
      edit(actor, id, async (context, row) => {
        const after = {
          enabled: given.enabled === undefined ? row.enabled : given.enabled ? 1 : 0,
          compliant: given.compliant === undefined ? row.compliant : given.compliant === null ? null : given.compliant ? 1 : 0,
        }
        const key = given.publicKey === undefined ? row.public : JSON.stringify(given.publicKey)
        const columns = { ...after, public: key, display_name: given.displayName ?? row.display_name }
        if (Object.entries(columns).every(([name, value]) => row[name as keyof typeof columns] === value)) return
        await set(context, row, columns)
        // Where everything of the device is asked for again, there is nobody left to look at.
        if (!(await settle(context, row, after))) await scheduleReevaluation(context, { reason: 'A device was changed', devices: [id] })
        if (key === row.public) return
        const cut = { kind: 'device', id, depth: 'sign-in' } as const
        context.publish({ ...event(EVENT.sessionRevoked), ...subjectOf(id), reason: 'The device was given another key', cut })
      }),

    remove: (actor: Actor, id: string) =>
      edit(actor, id, async (context, row) => {
        await set(context, row, { enabled: 0, deleted_at: context.now })
        await settle(context, row, { enabled: 0, compliant: row.compliant }, 'deleted')
      }),

    /** What one user has on one device; the user's other devices, and the device's other users, notice nothing. */
    revokeUser: (actor: Actor, id: string, user: string): Promise<Committed<boolean>> =>
      edit(actor, id, async ({ db, publish }) => {
        const pair = db
          .selectFrom('device_users')
          .select('user_id')
          .where('tenant', '=', tenant)
          .where('device_id', '=', id)
          .where('user_id', '=', user)
        if (!(await pair.executeTakeFirst())) return false
        const who = { format: 'iss_sub', iss: await issuerOf(db, tenant), sub: user } as const
        publish({
          ...event(EVENT.sessionRevoked),
          subject: { complex: { ...subjectOf(id).subject.complex, user: who } },
          reason: 'What the user has on the device was revoked',
          cut: { kind: 'user-device', id: pairId(user, id), user, device: id, depth: 'sign-in' },
        })
        return true
      }),
  }
  return devices
}

export type Devices = ReturnType<typeof createDevices>

async function insertDevice({ db, tenant, now, audit }: ChangeContext, given: NewDevice): Promise<string> {
  const id = given.id ?? randomUUID()
  if (await db.selectFrom('devices').select('id').where('tenant', '=', tenant).where('id', '=', id).executeTakeFirst())
    throw new CaegisError('device_exists', SERVER_ERRORS.device_exists)
  const { owner } = given
  const user =
    owner === undefined
      ? undefined
      : await db
          .selectFrom('users')
          .select('id')
          .where('tenant', '=', tenant)
          .where('deleted_at', 'is', null)
          .where((eb) => eb.or([eb('id', '=', owner), eb('upn_key', '=', owner.toLowerCase())]))
          .executeTakeFirst()
  if (owner !== undefined && !user) throw new CaegisError('user_not_found', SERVER_ERRORS.user_not_found)
  await db
    .insertInto('devices')
    .values({
      ...{ tenant, id, display_name: given.displayName, user_id: user?.id ?? null, trust_type: given.trustType ?? 'Workplace' },
      ...{ enabled: given.enabled === false ? 0 : 1, compliant: given.compliant == null ? null : given.compliant ? 1 : 0 },
      ...{ public: JSON.stringify(given.publicKey), registered_from: given.from ?? null, created_at: now, deleted_at: null },
    })
    .execute()
  audit({ activity: 'Add device', operation: 'Add', category: 'Device', targets: [{ type: 'Device', id, name: given.displayName }] })
  return id
}

function toDevice(row: DeviceRow): Device {
  return {
    ...{ id: row.id, displayName: row.display_name, enabled: row.enabled === 1, compliant: row.compliant === null ? null : row.compliant === 1 },
    ...{ trustType: row.trust_type, owner: row.user_id, registeredFrom: row.registered_from, createdAt: row.created_at, lastUsedAt: row.last_iat },
  }
}
