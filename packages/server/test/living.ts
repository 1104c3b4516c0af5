import { parsePolicy, policyToGraph } from '@caegis/policy'
import { createBook } from '../src/access/book.ts'
import { createReevaluation, type ReevaluationOptions } from '../src/access/reevaluate.ts'
import { lookAgain, writeSignals } from '../src/access/second-look.ts'
import type { Brought } from '../src/access/signals.ts'
import { createLog } from '../src/log.ts'
import type { ChangeContext, Committed } from '../src/store/change.ts'
import { scheduleReevaluation } from '../src/store/reevaluations.ts'
import type { Store } from '../src/store/store.ts'
import { openStore } from './open-store.ts'

export const TENANT = 't'
export const START = 1_700_000_000
const log = createLog('silent')
const HOUR = 3600

export interface Person {
  id: string
  groups?: string[]
}

/** Where somebody is let in, and from where. */
export interface Asks {
  sid: string | null
  user: string | null
  app?: string
  resource?: string
  brought?: Partial<Brought>
  device?: string
  capable?: boolean
  seconds?: number
}

/** A directory in memory whose people live by decisions, made and kept as the fence keeps them, without an issuer around it. */
export async function createLiving(people: readonly Person[], given: Partial<ReevaluationOptions> = {}) {
  const clock = { seconds: START }
  const store = await openStore({ file: ':memory:', now: () => clock.seconds * 1000, log })
  const { db } = store
  await db
    .insertInto('tenants')
    .values({ id: TENANT, name: 'tenant', display_name: 'T', epoch: 'e', created_at: 0, issuer: 'https://us.test' })
    .execute()
  for (const { id, groups = [] } of people) {
    const name = { upn: id, upn_key: id, display_name: id, password: null, password_at: null, deleted_at: null }
    await db
      .insertInto('users')
      .values({ tenant: TENANT, id, ...name, enabled: 1, roles: '[]', created_at: 0 })
      .execute()
    for (const group of groups) await join(db, group, id)
  }
  const lists = { redirect_uris: '[]', identifier_uris: '[]', scopes: '[]', permissions: '[]' }
  for (const id of ['web', 'other', 'nightly']) {
    await db
      .insertInto('applications')
      .values({ tenant: TENANT, id, app_id: id, display_name: id, type: 'web', enabled: 1, cae: 1, ...lists })
      .execute()
  }
  const book = createBook(store, TENANT)
  const worker = (over: Partial<ReevaluationOptions> = {}) => createReevaluation({ store, tenant: TENANT, book, log, ...given, ...over })

  return {
    ...{ store, clock, book, worker },
    /** Gives out a token, if the policies allow it: what it was decided by is kept. */
    async mint({ sid, user, app = 'web', resource = 'files', device, capable = true, seconds = 20 * HOUR, brought }: Asks): Promise<boolean> {
      const page = await book.current()
      const at = clock.seconds
      const all: Brought = {
        ...{ application: resource, contexts: [], address: '203.0.113.7', flow: 'none' },
        ...(user === null ? {} : { clientAppType: 'browser', proof: { at, mfa: false, methods: ['password'] } }),
        ...brought,
      }
      const id = [sid ?? '', app, resource, ...(brought?.address === undefined ? [] : [brought.address])].join(' ')
      const row = {
        ...{ tenant: TENANT, id, user_id: user, sid, app_id: app, resource, device_id: device ?? null, capable: capable ? 1 : 0 },
        ...{ version: page.version, tokens_until: at + seconds, outcome: 'allow', fingerprint: '', signals: writeSignals(all, at), job: null },
      }
      const [look] = await lookAgain(db, TENANT, page.set, [{ ...row, marks: 0 }], at, log)
      if (look?.outcome !== 'allow') return false
      await db
        .insertInto('decisions')
        .values({ ...row, fingerprint: look.fingerprint })
        .onConflict((conflict) => conflict.columns(['tenant', 'id']).doUpdateSet({ ...row, fingerprint: look.fingerprint }))
        .execute()
      const last = { last_iat: at, tokens_until: at + seconds }
      if (sid !== null && user !== null) {
        await db
          .insertInto('sessions')
          .values({ tenant: TENANT, id: sid, user_id: user, auth_time: at, created_at: at, ...last })
          .onConflict((conflict) => conflict.columns(['tenant', 'id']).doUpdateSet(last))
          .execute()
      } else await db.updateTable('applications').set(last).where('app_id', '=', app).execute()
      await db.updateTable('tenants').set(last).execute()
      return true
    },
    /** Makes the policies what is given, as an administrator would. */
    policies: (given: readonly object[], locations: readonly { id: string; ranges: string[] }[] = []): Promise<Committed<void>> =>
      change(store, async (context) => {
        const { db: tx } = context
        const { policies_version: version } = await tx
          .updateTable('tenants')
          .set((eb) => ({ policies_version: eb('policies_version', '+', 1) }))
          .returning('policies_version')
          .executeTakeFirstOrThrow()
        await tx.deleteFrom('policies').execute()
        await tx.deleteFrom('locations').execute()
        for (const { id, ranges } of locations) {
          const body = JSON.stringify({ '@odata.type': '#microsoft.graph.ipNamedLocation', id, displayName: id, isTrusted: true })
          await tx
            .insertInto('locations')
            .values({
              tenant: TENANT,
              id,
              name: id,
              kind: 'ip',
              trusted: 1,
              body,
              ranges: ranges.join('\n'),
              version,
              created_at: 0,
              changed_at: null,
              deleted_at: null,
            })
            .execute()
        }
        for (const one of given) {
          const policy = parsePolicy(one)
          const body = JSON.stringify(policyToGraph(policy))
          await tx
            .insertInto('policies')
            .values({
              tenant: TENANT,
              id: policy.id,
              name: policy.displayName,
              state: policy.state,
              body,
              version,
              created_at: 0,
              changed_at: null,
              deleted_at: null,
            })
            .execute()
        }
        await scheduleReevaluation(context, { reason: 'A policy was changed' })
      }),
    /** Puts somebody into a group, as the directory would. */
    join: (group: string, user: string) =>
      change(store, async (context) => {
        await join(context.db, group, user)
        await scheduleReevaluation(context, { reason: 'A membership was changed', users: [user] })
      }),
    /** Cutoffs as guards hydrate them: `session s1 access 1700000000`. */
    async cutoffs(): Promise<string[]> {
      const rows = await db.selectFrom('cutoffs').selectAll().execute()
      return rows.map(({ kind, id, depth, t }) => `${kind} ${id.replace('\n', '+')} ${depth} ${t - START}`).sort()
    },
    async events() {
      const rows = await db.selectFrom('events').selectAll().orderBy('seq').execute()
      return rows.map(({ type, txn, payload, subject }) => ({
        type: type.split(/[/:]/).at(-1),
        txn,
        payload: JSON.parse(payload),
        subject: JSON.parse(subject),
      }))
    },
    jobs: () => db.selectFrom('reevaluations').selectAll().orderBy('created_at').orderBy('version').execute(),
  }
}

export type Living = Awaited<ReturnType<typeof createLiving>>

const join = async (db: Store['db'] | ChangeContext['db'], group: string, user: string) =>
  void (await db.insertInto('members').values({ tenant: TENANT, group_id: group, user_id: user }).execute())

const change = <T>(store: Store, edit: (context: ChangeContext) => Promise<T>) =>
  store.commit({ tenant: TENANT, actor: { kind: 'system', reason: 'test' }, edit })

/** A policy of which a test says only what it is about: it blocks everybody. */
export function policy(id: string, { conditions, ...rest }: Record<string, unknown> = {}): object {
  return {
    ...{ id, displayName: id, state: 'enabled' },
    conditions: { users: { includeUsers: ['All'] }, applications: { includeApplications: ['All'] }, ...(conditions as object) },
    ...('sessionControls' in rest ? {} : { grantControls: { operator: 'OR', builtInControls: ['block'] } }),
    ...rest,
  }
}
export const ofGroup = (group: string) => ({ conditions: { users: { includeGroups: [group] } } })
