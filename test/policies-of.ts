import { randomUUID } from 'node:crypto'
import type { Loop } from './loop.ts'

/** Makes these the tenant's policies and locations, whatever there was, at once. Ids are made up where none are given; a location of countries is as Graph writes it. */
export async function setPolicies(loop: Loop, policies: Record<string, unknown>[], locations: Record<string, unknown>[] = []): Promise<string[]> {
  const ids = policies.map((one) => String(one.id ?? randomUUID()))
  await loop.server.store.transaction({ tenant: loop.tenant }, async (tx) => {
    const { policies_version: before } = await tx
      .selectFrom('tenants')
      .select('policies_version')
      .where('id', '=', loop.tenant)
      .executeTakeFirstOrThrow()
    const version = before + 1
    await tx.updateTable('tenants').set({ policies_version: version }).where('id', '=', loop.tenant).execute()
    await tx.deleteFrom('policies').where('tenant', '=', loop.tenant).execute()
    await tx.deleteFrom('locations').where('tenant', '=', loop.tenant).execute()
    for (const [at, one] of policies.entries()) {
      const body = JSON.stringify({ ...one, id: ids[at] })
      const row = {
        tenant: loop.tenant,
        id: ids[at] as string,
        name: String(one.displayName),
        state: String(one.state),
        body,
        version,
        created_at: 0,
      }
      await tx.insertInto('policies').values(row).execute()
    }
    for (const one of locations) {
      const isCountry = one.countriesAndRegions !== undefined
      const ranges = isCountry ? '' : (one.ranges as string[]).join('\n')
      const row = {
        tenant: loop.tenant,
        id: String(one.id),
        name: String(one.id),
        kind: isCountry ? ('country' as const) : ('ip' as const),
        trusted: one.trusted ? 1 : 0,
        body: isCountry ? JSON.stringify(one) : '{}',
        ranges,
      }
      await tx
        .insertInto('locations')
        .values({ ...row, version, created_at: 0 })
        .execute()
    }
  })
  return ids
}

/** A policy of the shape that Graph has, enabled, for all users and all applications unless said otherwise. */
export const policy = (displayName: string, { conditions = {}, ...more }: Record<string, unknown> & { conditions?: object }) => ({
  displayName,
  state: 'enabled',
  conditions: { users: { includeUsers: ['All'] }, applications: { includeApplications: ['All'] }, clientAppTypes: ['all'], ...conditions },
  ...more,
})

export const grant = (...builtInControls: string[]) => ({ grantControls: { operator: 'AND', builtInControls } })
