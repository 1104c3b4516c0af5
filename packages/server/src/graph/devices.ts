import { z } from 'zod'
import { type Device, deviceKey, TRUST_TYPES } from '../directory/devices.ts'
import { type Api, pageOf, pathOf, searchOf, written } from './api.ts'
import { notFound } from './errors.ts'
import { parseNames } from './query.ts'

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

const DEVICE_ID = /^[A-Za-z0-9._-]{1,128}$/

/** `devices`: what people sign in from. */
export function registerDevices({ origin, route }: Api): void {
  const context = (rest = '') => ({ '@odata.context': `${origin}/v1.0/$metadata#devices${rest}` })

  route('GET', '/devices', { does: 'Lists the devices', needs: ['Device.Read.All'], options: ['$top', '$skiptoken'] }, async (caller, request) => {
    const { limit, after } = parseNames(searchOf(request), DEVICE_ID)
    const found = await caller.tenant.devices.list({ limit: limit + 1, ...(after === undefined ? {} : { after }) })
    const { value, next } = pageOf(origin, request, found, limit, ({ id }) => id)
    return { ...context(), ...next, value: value.map(shape) }
  })

  route('GET', '/devices/:id', { does: 'Shows a device', needs: ['Device.Read.All'] }, async (caller, request) => {
    const device = await caller.tenant.devices.find(pathOf(request))
    if (!device) throw notFound()
    return { ...context('/$entity'), ...shape(device) }
  })

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
    return written(reply, done)
      .code(201)
      .send({ ...context('/$entity'), ...shape(device) })
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

/** Graph's `device`; `owner` and `registeredFrom` are ours: who registered it by themselves, and from which address. */
function shape(device: Device): object {
  const instant = (second: number) => `${new Date(second * 1000).toISOString().slice(0, 19)}Z`
  return {
    ...{ id: device.id, deviceId: device.id, displayName: device.displayName, accountEnabled: device.enabled, isCompliant: device.compliant },
    ...{ trustType: device.trustType, owner: device.owner, registeredFrom: device.registeredFrom, createdDateTime: instant(device.createdAt) },
    ...{ registrationDateTime: instant(device.createdAt) },
    approximateLastSignInDateTime: device.lastUsedAt === 0 ? null : instant(device.lastUsedAt),
  }
}
