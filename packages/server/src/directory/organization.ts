import { EVENT } from '@caegis/protocol'
import { z } from 'zod'
import { modified } from '../store/audit.ts'
import type { Actor, ChangeContext, Committed, Draft } from '../store/change.ts'
import type { Store } from '../store/store.ts'

const range = (least: number, most: number) =>
  z
    .strictObject({ from: z.int().min(least).max(most), to: z.int().min(least).max(most) })
    .refine(({ from, to }) => from <= to, { message: 'must not begin after its end', path: ['from'] })

/** A day: what cannot be taken back is over by the next one. Less than five minutes would be one refresh after the other. */
const ORDINARY = range(5, 24 * 60)
/** Guards refuse what lives longer than 28 hours: their table of cutoffs reaches no further. */
const LONG_LIVED = range(1, 28)

/** How long tokens live; what it does not say is as the server has it. A random length between two ends keeps a fleet's refreshes apart. */
export const tokenLifetimes = z.strictObject({
  ordinaryMinutes: ORDINARY.optional(),
  /** For tokens that can be taken back. */
  longLivedHours: LONG_LIVED.optional(),
  /** For those that name the address that an API saw; never longer than an ordinary one. */
  exceptionMinutes: z
    .int()
    .min(5)
    .max(24 * 60)
    .optional(),
})
export type TokenLifetimes = z.infer<typeof tokenLifetimes>

/**
 * Days for which sign-ins and audits are kept. Never for longer than the server keeps them: whoever runs it pays for the disk, and answers for what it knows of people. And for a week at
 * least, unless the server itself forgets sooner: who takes over an administrator must not be able to have every trace gone by tomorrow.
 */
const logRetentionDays = z.int().min(7).max(3660)

/** What a tenant says of itself; `null` = what the server says. */
export const tenantSettings = z.strictObject({
  tokenLifetimes: tokenLifetimes.nullable().optional(),
  logRetentionDays: logRetentionDays.nullable().optional(),
})
export const organizationPatch = tenantSettings
  .extend({ displayName: z.string().trim().min(1).max(256).optional() })
  .refine((given) => Object.keys(given).length > 0, 'an empty change')
export type OrganizationPatch = z.infer<typeof organizationPatch>

/** The tenant itself, as its administrators see it. */
export interface Organization {
  id: string
  name: string
  displayName: string
  /** Second of the emergency stop; `null` while the tenant runs. */
  stoppedAt: number | null
  /** What it says itself. */
  tokenLifetimes: TokenLifetimes
  /** `null`: as long as the server. */
  logRetentionDays: number | null
}

/** Whom a stop would hit now. */
export interface Reach {
  /** Enabled. */
  users: number
  /** Of which a token is good. */
  sessions: number
  applications: number
}

/** The result of each change says whether anything changed: what is already so is not done, and not published, again. */
export interface Organizations {
  read(): Promise<Organization>
  reach(): Promise<Reach>
  update(actor: Actor, patch: OrganizationPatch): Promise<Committed<boolean>>
  /** Everything that was issued or proved so far dies, and nothing is issued until `resume`. */
  stop(actor: Actor): Promise<Committed<boolean>>
  /** Lets sign-ins begin again. What died by the stop stays dead: its cutoff is never taken back. */
  resume(actor: Actor): Promise<Committed<boolean>>
  /** Everything that was issued or proved so far dies, and sign-ins go on: nobody knows what was taken back since the backup that these data are of. */
  restored(actor: Actor): Promise<Committed<void>>
}

export function createOrganization(store: Store, tenant: string): Organizations {
  const endOfAll = (reason: string): Draft => ({
    ...{ type: EVENT.sessionRevoked, reason },
    subject: { complex: { format: 'complex', tenant: { format: 'opaque', id: tenant } } },
    cut: { kind: 'tenant', id: tenant, depth: 'sign-in' },
  })
  /** @param stop the state that is wanted */
  const turn = (actor: Actor, stop: boolean): Promise<Committed<boolean>> =>
    store.commit({
      tenant,
      actor,
      async edit({ db, now, publish, audit }) {
        const row = await db.selectFrom('tenants').select(['stopped_at', 'version']).where('id', '=', tenant).executeTakeFirstOrThrow()
        if ((row.stopped_at !== null) === stop) return false
        // The version moves, so that every decision that read the tenant is seen to be old.
        await db
          .updateTable('tenants')
          .set({ stopped_at: stop ? now : null, version: row.version + 1 })
          .where('id', '=', tenant)
          .execute()
        audit({
          ...{ activity: stop ? 'Stop organization' : 'Resume organization', category: 'DirectoryManagement', operation: 'Update' },
          targets: [{ type: 'Directory', id: tenant }],
        })
        if (stop) publish(endOfAll('The tenant was stopped'))
        return true
      },
    })

  return {
    async read() {
      const row = await store.db
        .selectFrom('tenants')
        .select(['id', 'name', 'display_name', 'stopped_at', 'token_lifetimes', 'log_retention'])
        .where('id', '=', tenant)
        .executeTakeFirstOrThrow()
      return {
        ...{ id: row.id, name: row.name, displayName: row.display_name, stoppedAt: row.stopped_at },
        ...{ tokenLifetimes: JSON.parse(row.token_lifetimes), logRetentionDays: row.log_retention },
      }
    },
    async reach() {
      const counted = async (table: 'users' | 'applications' | 'sessions') => {
        const all = store.db
          .selectFrom(table)
          .select((eb) => eb.fn.countAll<number>().as('count'))
          .where('tenant', '=', tenant)
        const live = table === 'sessions' ? all.where('tokens_until', '>', Math.floor(store.clock())) : all.where('enabled', '=', 1)
        return (await live.executeTakeFirstOrThrow()).count
      }
      return { users: await counted('users'), sessions: await counted('sessions'), applications: await counted('applications') }
    },
    update: (actor, patch) => store.commit({ tenant, actor, edit: (context) => saveOrganization(context, patch) }),
    stop: (actor) => turn(actor, true),
    resume: (actor) => turn(actor, false),
    restored: (actor) =>
      store.commit({
        tenant,
        actor,
        async edit({ publish, audit }) {
          audit({
            ...{ activity: 'Restore organization', category: 'DirectoryManagement', operation: 'Update' },
            targets: [{ type: 'Directory', id: tenant }],
          })
          publish(endOfAll('The data were restored from a backup'))
        },
      }),
  }
}

const NAMES: Parameters<typeof modified>[0] = {
  display_name: 'displayName',
  token_lifetimes: ['tokenLifetimes', (text: string) => JSON.parse(text)],
  log_retention: 'logRetentionDays',
}

/**
 * What it does not mention stays. No event: a shorter lifetime ends no token that was given out, and revoking is what ends those. The version moves with the lifetimes, so that the fence
 * lets no token out that was measured by the old ones; names and retention decide nothing.
 */
export async function saveOrganization({ db, tenant, audit }: ChangeContext, patch: OrganizationPatch): Promise<boolean> {
  const columns = ['display_name', 'token_lifetimes', 'log_retention'] as const
  const row = await db
    .selectFrom('tenants')
    .select([...columns, 'version'])
    .where('id', '=', tenant)
    .executeTakeFirstOrThrow()
  const { displayName, tokenLifetimes: lifetimes, logRetentionDays: days } = patch
  const after = {
    display_name: displayName ?? row.display_name,
    token_lifetimes: lifetimes === undefined ? row.token_lifetimes : lifetimes === null ? '{}' : merged(row.token_lifetimes, lifetimes),
    log_retention: days === undefined ? row.log_retention : days,
  }
  const changed = modified(NAMES, row, after)
  if (changed.length === 0) return false
  await db
    .updateTable('tenants')
    .set({ ...after, version: row.version + (after.token_lifetimes === row.token_lifetimes ? 0 : 1) })
    .where('id', '=', tenant)
    .execute()
  const targets = [{ type: 'Directory' as const, id: tenant, name: after.display_name, modified: changed }]
  audit({ activity: 'Update organization', category: 'DirectoryManagement', operation: 'Update', targets })
  return true
}

/** Always in the same order, so that the same again is no change. */
function merged(before: string, patch: TokenLifetimes): string {
  const { ordinaryMinutes: ordinary, longLivedHours: long, exceptionMinutes } = { ...(JSON.parse(before) as TokenLifetimes), ...patch }
  const rangeOf = (one: { from: number; to: number } | undefined) => one && { from: one.from, to: one.to }
  return JSON.stringify({ ordinaryMinutes: rangeOf(ordinary), longLivedHours: rangeOf(long), exceptionMinutes })
}
