import { createDevices } from '../devices.ts'
import { saveOrganization } from '../organization.ts'
import { saveOff } from '../risk-settings.ts'
import type { TenantFile } from '../tenant-file.ts'
import type { UpstreamEntry } from '../upstream.ts'
import { createUpstreamRegistry } from '../upstreams.ts'
import { differencesOf, given, secret } from './differences.ts'
import { definePart } from './part.ts'

/** What the tenant says of itself; its name never changes. */
export const ORGANIZATION = definePart<TenantFile['tenant']>({
  entries: ({ tenant }) => (tenant.displayName === undefined && !tenant.settings ? [] : [tenant]),
  kindOf: () => 'organization',
  nameOf: ({ name }) => name,
  needs: () => ['Organization.ReadWrite.All'],
  async compare({ db, tenant }, entries) {
    const columns = ['display_name', 'token_lifetimes', 'log_retention'] as const
    const row = await db.selectFrom('tenants').select(columns).where('id', '=', tenant).executeTakeFirstOrThrow()
    const before = { displayName: row.display_name, tokenLifetimes: JSON.parse(row.token_lifetimes), logRetentionDays: row.log_retention }
    return entries.map(({ displayName, settings: { tokenLifetimes: lifetimes, logRetentionDays } = {} }) => {
      const tokenLifetimes = lifetimes === undefined ? undefined : lifetimes === null ? {} : { ...before.tokenLifetimes, ...lifetimes }
      const changes = differencesOf(before, { displayName, tokenLifetimes, logRetentionDays })
      return changes.length === 0 ? undefined : { operation: 'change', changes }
    })
  },
  save: (context, _place, { displayName, settings }) =>
    saveOrganization(context, { ...settings, ...(displayName === undefined ? {} : { displayName }) }),
})

/** Which detections of risk are off. */
export const RISK = definePart<NonNullable<TenantFile['risk']>>({
  entries: ({ risk }) => (risk ? [risk] : []),
  kindOf: () => 'risk',
  nameOf: () => 'detections',
  needs: () => ['Policy.ReadWrite.ConditionalAccess'],
  async compare({ db, tenant }, entries) {
    const row = await db.selectFrom('tenants').select('risk_off').where('id', '=', tenant).executeTakeFirst()
    const before = (JSON.parse(row?.risk_off ?? '[]') as string[]).toSorted()
    return entries.map(({ off }) => {
      const changes = differencesOf({ off: before }, { off: [...new Set<string>(off)].sort() })
      return changes.length === 0 ? undefined : { operation: 'change', changes }
    })
  },
  save: (context, _place, { off }) => saveOff(context, off),
})

/** Transmitters that are listened to, by their issuers. */
export const UPSTREAMS = definePart<UpstreamEntry>({
  entries: (file) => file.upstreams ?? [],
  kindOf: () => 'upstream',
  nameOf: ({ issuer }) => issuer,
  needs: () => ['Upstream.ReadWrite.All'],
  async compare({ db, tenant, issuer, secrets }, entries) {
    const registry = createUpstreamRegistry({ db } as never, secrets, tenant, issuer)
    const drafts = []
    for (const { credentials, ...entry } of entries) {
      const before = await registry.findByIssuer(entry.issuer)
      const { issuer: _, ...rest } = entry
      if (!before) drafts.push({ operation: 'add' as const, changes: [...given(rest), secret('credentials')] })
      else {
        const changes = differencesOf(before as never, rest as never)
        if (!(await registry.hasCredentials(before.id, credentials))) changes.push(secret('credentials'))
        drafts.push(changes.length === 0 ? undefined : { operation: 'change' as const, changes })
      }
    }
    return drafts
  },
  async run({ store, secrets, tenant, issuer }, actor, entry) {
    const registry = createUpstreamRegistry(store, secrets, tenant, issuer)
    const before = await registry.findByIssuer(entry.issuer)
    const { issuer: _, ...rest } = entry
    await (before ? registry.update(actor, before.id, rest) : registry.create(actor, entry))
  },
})

/** What people sign in from. */
export const DEVICES = definePart<NonNullable<TenantFile['devices']>[number]>({
  entries: (file) => file.devices ?? [],
  kindOf: () => 'device',
  nameOf: ({ deviceId }) => deviceId,
  needs: () => ['Device.ReadWrite.All'],
  async compare({ db, tenant }, entries) {
    const ids = entries.map(({ deviceId }) => deviceId)
    const rows = await db
      .selectFrom('devices')
      .select(['id', 'display_name', 'enabled', 'compliant', 'public'])
      .where('tenant', '=', tenant)
      .where('deleted_at', 'is', null)
      .where('id', 'in', ids)
      .execute()
    const known = new Map(rows.map((row) => [row.id, row]))
    return entries.map(({ deviceId, displayName, enabled, compliant, publicKey, user, trustType }) => {
      const row = known.get(deviceId)
      if (!row) return { operation: 'add', changes: given({ displayName: displayName ?? deviceId, user, trustType, enabled, compliant, publicKey }) }
      const before = {
        ...{ displayName: row.display_name, enabled: row.enabled === 1, compliant: row.compliant === null ? null : row.compliant === 1 },
        publicKey: JSON.parse(row.public),
      }
      const changes = differencesOf(before, { displayName, enabled, compliant, publicKey })
      return changes.length === 0 ? undefined : { operation: 'change', changes }
    })
  },
  async run({ store, tenant }, actor, { deviceId, user, displayName, publicKey, trustType, enabled, compliant }, { operation }) {
    const devices = createDevices(store, tenant)
    const standing = { ...(enabled === undefined ? {} : { enabled }), ...(compliant === undefined ? {} : { compliant }) }
    if (operation === 'change') {
      await devices.update(actor, deviceId, { publicKey, ...standing, ...(displayName === undefined ? {} : { displayName }) })
      return
    }
    const more = { ...(user === undefined ? {} : { owner: user }), ...(trustType === undefined ? {} : { trustType }) }
    await devices.create(actor, { id: deviceId, displayName: displayName ?? deviceId, publicKey, ...standing, ...more })
  },
})
