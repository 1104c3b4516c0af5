import { z } from 'zod'
import { type Device, deviceKey, TRUST_TYPES } from '../directory/devices.ts'
import { type Api, pathOf, written } from './api.ts'
import { notFound } from './errors.ts'
import { answerList } from './lists.ts'
import { LIST_OPTIONS } from './query.ts'
import { parseSelect, type Resource, shape, toTime } from './resource.ts'

const name = z.string().min(1).max(256)
const created = z.strictObject({
  displayName: name,
  /** Ours: the key by which the device proves itself, as a public JWK. */
  publicKey: deviceKey,
  /** Ours: id or name of its owner. */
  owner: z.string().min(1).max(320).optional(),
  accountEnabled: z.boolean().optional(),
  isCompliant: z.boolean().nullable().optional(),
  trustType: z.enum(TRUST_TYPES).optional(),
})
const patch = z
  .strictObject({ displayName: name.optional(), accountEnabled: z.boolean().optional(), isCompliant: z.boolean().nullable().optional() })
  .refine((given) => Object.keys(given).length > 0, 'an empty change')
const whose = z.strictObject({ user: z.string().min(1).max(320) })

const text = { type: 'string' }
const time = { type: 'string', format: 'date-time' }
const idColumn = { name: 'id', type: 'id' } as const

/** Graph's `device`; `owner`, its name and `registeredFrom` are ours: who registered it by themselves, and from which address. */
export const DEVICES: Resource<Device> = {
  type: 'device',
  set: 'devices',
  properties: {
    id: { read: ({ id }) => id, column: idColumn, sort: true, usual: true, schema: text },
    deviceId: { read: ({ id }) => id, column: idColumn, usual: true, schema: text },
    displayName: {
      ...{ read: ({ displayName }) => displayName, column: { name: 'display_name', type: 'text' }, schema: text },
      ...{ sort: true, search: 'words', usual: true },
    },
    accountEnabled: {
      ...{ read: ({ enabled }) => enabled, column: { name: 'enabled', type: 'boolean' }, usual: true, schema: { type: 'boolean' } },
    },
    isCompliant: {
      ...{ read: ({ compliant }) => compliant, column: { name: 'compliant', type: 'boolean', nullable: true }, usual: true },
      schema: { type: ['boolean', 'null'] },
    },
    trustType: { read: ({ trustType }) => trustType, column: { name: 'trust_type', type: 'text' }, usual: true, schema: { enum: TRUST_TYPES } },
    owner: { read: ({ owner }) => owner, column: { name: 'user_id', type: 'id', nullable: true }, usual: true, schema: { type: ['string', 'null'] } },
    ownerDisplayName: { read: ({ ownerName }) => ownerName ?? null, usual: true, schema: { type: ['string', 'null'] } },
    registeredFrom: { read: ({ registeredFrom }) => registeredFrom, usual: true, schema: { type: ['string', 'null'] } },
    createdDateTime: {
      read: ({ createdAt }) => toTime(createdAt),
      column: { name: 'created_at', type: 'time' },
      sort: true,
      usual: true,
      schema: time,
    },
    registrationDateTime: { read: ({ createdAt }) => toTime(createdAt), usual: true, schema: time },
    approximateLastSignInDateTime: {
      ...{ read: ({ lastUsedAt }) => (lastUsedAt === 0 ? null : toTime(lastUsedAt)), column: { name: 'last_iat', type: 'time' } },
      ...{ sort: true, usual: true, schema: { type: ['string', 'null'], format: 'date-time' } },
    },
  },
}

/** `devices`: what people sign in from. */
export function registerDevices(api: Api): void {
  const { origin, route } = api
  const context = (rest = '') => ({ '@odata.context': `${origin}/v1.0/$metadata#devices${rest}` })
  const reads = { needs: ['Device.Read.All'], gives: DEVICES } as const

  route('GET', '/devices', { does: 'Lists the devices', options: LIST_OPTIONS, ...reads }, ({ tenant }, request) =>
    answerList(api, tenant.id, request, DEVICES, tenant.devices.list),
  )

  const one = (device: Device) => ({ ...context('/$entity'), ...shape(DEVICES, parseSelect(DEVICES, null), device) })
  route('GET', '/devices/:id', { does: 'Shows a device', ...reads }, async (caller, request) => {
    const device = await caller.tenant.devices.find(pathOf(request))
    if (!device) throw notFound()
    return one(device)
  })

  route(
    'GET',
    '/devices/:id/registeredUsers',
    { does: 'Lists who has had a token on a device, and when last', needs: ['Device.Read.All'] },
    async ({ tenant }, request) => {
      const device = await tenant.devices.find(pathOf(request))
      if (!device) throw notFound()
      const value = (await tenant.devices.users(device.id)).map(({ id, displayName, upn, lastUsedAt }) => ({
        ...{ id, displayName, userPrincipalName: upn, lastUsedDateTime: lastUsedAt === 0 ? null : toTime(lastUsedAt) },
      }))
      return { ...context('/registeredUsers'), value }
    },
  )

  route('POST', '/devices', { does: 'Registers a device', needs: ['Device.ReadWrite.All'], body: created }, async (caller, _request, reply, body) => {
    const { displayName, publicKey, owner, accountEnabled, isCompliant, trustType } = body
    const done = await caller.tenant.devices.create(caller.actor, {
      ...{ displayName, publicKey },
      ...(owner === undefined ? {} : { owner }),
      ...(accountEnabled === undefined ? {} : { enabled: accountEnabled }),
      ...(isCompliant === undefined ? {} : { compliant: isCompliant }),
      ...(trustType === undefined ? {} : { trustType }),
    })
    const device = (await caller.tenant.devices.find(done.result)) as Device
    return written(reply, done).code(201).send(one(device))
  })

  route('PATCH', '/devices/:id', { does: 'Changes a device', needs: ['Device.ReadWrite.All'], body: patch }, async (caller, request, reply, body) => {
    const { displayName, accountEnabled, isCompliant } = body
    const done = await caller.tenant.devices.update(caller.actor, pathOf(request), {
      ...(displayName === undefined ? {} : { displayName }),
      ...(accountEnabled === undefined ? {} : { enabled: accountEnabled }),
      ...(isCompliant === undefined ? {} : { compliant: isCompliant }),
    })
    return written(reply, done).code(204).send()
  })

  route('DELETE', '/devices/:id', { does: 'Deletes a device', needs: ['Device.ReadWrite.All'] }, async (caller, request, reply) => {
    return written(reply, await caller.tenant.devices.remove(caller.actor, pathOf(request)))
      .code(204)
      .send()
  })

  // What one user has on a device, while the device and its other users go on.
  route(
    'POST',
    '/caegis/devices/:id/revoke',
    { does: 'Ends what one user has on a device', needs: ['Device.ReadWrite.All'], body: whose },
    async (caller, request, reply, { user }) => {
      const known = await caller.tenant.directory.user(user)
      const done = known && (await caller.tenant.devices.revokeUser(caller.actor, pathOf(request), known.id))
      if (!done?.result) throw notFound()
      return written(reply, done).code(204).send()
    },
  )
}
