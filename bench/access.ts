import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { seedLiving } from '../test/living-rows.ts'
import { type Loop, SECRET, startLoop } from '../test/loop.ts'
import { withRows } from '../test/rows-of.ts'
import { type Figure, quantile } from './figure.ts'

const LIVING = { sessions: 100_000, users: 20_000, groups: 200 }
/** Sessions of one group. */
const CONCERNED = LIVING.sessions / LIVING.groups
/** Policies besides. */
const OTHERS = 10
const TENANT = JSON.stringify({
  tenant: { name: 'contoso' },
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/.default'] },
  ],
})

/** What an edit of a policy costs a tenant in which 100,000 are signed in, of whom it concerns 500: server, asker and neighbours share this process. */
export async function run(emit: (figure: Figure) => void): Promise<void> {
  const say = (name: string, value: number, unit: string, rest: Partial<Figure> = {}) =>
    emit({ suite: 'access', name, value: Number(value.toPrecision(4)), unit, ...rest })
  const data = mkdtempSync(join(tmpdir(), 'caegis-bench-'))
  const first = await startLoop({ data, tenant: TENANT })
  await first.close()
  await withRows(data, (rows) => seedLiving(rows, first.tenant, LIVING, Math.floor(Date.now() / 1000)), { readOnly: false })
  const loop = await startLoop({ data, tenant: TENANT })
  try {
    const guard = await loop.guard()
    for (let index = 0; index < OTHERS; index++) await add(loop, `p${index}`, `g${index + 1}`, 'disabled')
    const alone = await neighbours(loop, async () => sleep(2000))

    const { db } = loop.server.store
    const counts = async () => {
      const { events } = await db
        .selectFrom('events')
        .select((eb) => eb.fn.countAll<number>().as('events'))
        .executeTakeFirstOrThrow()
      const { cutoffs } = await db
        .selectFrom('cutoffs')
        .select((eb) => eb.fn.countAll<number>().as('cutoffs'))
        .executeTakeFirstOrThrow()
      return { events, cutoffs }
    }
    const before = await counts()
    let answered = 0
    let worked = 0
    let applied = 0
    const during = await neighbours(loop, async () => {
      const start = performance.now()
      const txn = await add(loop, 'the edit', 'g0', 'enabled')
      answered = performance.now() - start
      const job = () => db.selectFrom('reevaluations').selectAll().where('id', '=', txn).executeTakeFirstOrThrow()
      while ((await job()).state === 'running') await sleep(10)
      worked = performance.now() - start
      const { seq } = await loop.server.store.position(loop.tenant)
      while ((guard.status().head?.seq ?? 0) < seq) await sleep(1)
      applied = performance.now() - start
      const { done, changed } = await job()
      if (done < LIVING.sessions || changed !== CONCERNED) throw new Error(`looked at ${done}, of which ${changed} are others`)
    })
    const after = await counts()
    const cut = await db.selectFrom('sessions').select(['id', 'user_id']).where('access_from', '>', 0).execute()
    const wrong = cut.filter(({ user_id }) => Number(user_id.slice(1)) % LIVING.groups !== 0)
    if (cut.length !== CONCERNED || wrong.length > 0) throw new Error(`${cut.length} sessions are cut off, ${wrong.length} of others`)

    const people = `${LIVING.sessions.toLocaleString('en')} sessions`
    say(`an edit answered beside ${people}`, answered, 'ms')
    say(`until all of ${people} are looked at`, worked / 1000, 's')
    say(`  and ${CONCERNED} are refused by a guard`, applied / 1000, 's')
    say('decisions made again', LIVING.sessions / (worked / 1000), '/s')
    say('sessions cut off', cut.length, 'sessions', { budget: `exactly ${CONCERNED}`, holds: true })
    say('cutoffs written', after.cutoffs - before.cutoffs, 'rows')
    say('events written, each a SET for a guard', after.events - before.events - during.length, 'rows')
    say('commits of others meanwhile, p50', quantile(during, 0.5), 'ms', { peer: 'alone', ratio: quantile(during, 0.5) / quantile(alone, 0.5) })
    say('commits of others meanwhile, p95', quantile(during, 0.95), 'ms', { peer: 'alone', ratio: quantile(during, 0.95) / quantile(alone, 0.95) })
    say('commits of others meanwhile, worst', Math.max(...during), 'ms', { peer: 'alone', ratio: Math.max(...during) / Math.max(...alone) })
  } finally {
    await loop.close()
    rmSync(data, { recursive: true, force: true })
  }
}

/** @returns the edit's txn */
async function add(loop: Loop, displayName: string, group: string, state: string): Promise<string> {
  const response = await loop.graph('POST', '/identity/conditionalAccess/policies', {
    ...{ displayName, state, grantControls: { operator: 'OR', builtInControls: ['block'] } },
    conditions: { users: { includeGroups: [group] }, applications: { includeApplications: ['All'] } },
  })
  if (response.status !== 201) throw new Error(`the admin API answered ${response.status} ${await response.text()}`)
  return String(response.headers.get('caegis-txn'))
}

/** Milliseconds of commits that others make meanwhile: one user after the other is revoked, ten times a second each. */
async function neighbours({ server: { store }, tenant }: Loop, meanwhile: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = []
  let over = false
  const lane = async () => {
    for (let turn = 0; !over; turn++) {
      const start = performance.now()
      await store.commit({
        tenant,
        actor: { kind: 'system', reason: 'bench' },
        async edit({ publish, db }) {
          await db
            .updateTable('users')
            .set({ display_name: `User ${turn}` })
            .where('tenant', '=', tenant)
            .where('id', '=', `u${turn % LIVING.users}`)
            .execute()
          const complex = { format: 'complex', tenant: { format: 'opaque', id: tenant } } as const
          publish({ type: 'urn:caegis:event:location-rules-changed', subject: { complex }, reason: 'bench' })
        },
      })
      times.push(performance.now() - start)
      await sleep(20)
    }
  }
  const lanes = [lane(), lane()]
  await meanwhile()
  over = true
  await Promise.all(lanes)
  return times
}
