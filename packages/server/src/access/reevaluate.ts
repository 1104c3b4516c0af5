import { EVENT } from '@caegis/protocol'
import { type Kysely, type Selectable, sql, type Transaction } from 'kysely'
import type { Log } from '../log.ts'
import { type Actor, type ChangeContext, type Cut, EXPIRY_LEEWAY } from '../store/change.ts'
import type { ReevaluationRow, Schema } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import type { Book } from './book.ts'
import { about, cutOf, draftsOf, isLoss } from './losses.ts'
import { type Kept, type Look, lookAgain } from './second-look.ts'

type Job = Selectable<ReevaluationRow>
type Db = Kysely<Schema> | Transaction<Schema>

export interface Reevaluation {
  /** Works out everything that is asked for by now. */
  run(): Promise<void>
  /** Does so from now on, whenever something is committed. */
  start(): void
  close(): Promise<void>
}

export interface ReevaluationOptions {
  store: Store
  tenant: string
  book: Book
  log: Log
  /** Decisions in one transaction; nobody else can write meanwhile. */
  batch?: number
  /** Decisions of a tenant that may change one by one; of more than both, all of the tenant are asked again. */
  most?: { rows: number; share: number }
}

/** Jobs of single users or devices that are looked at in one go. */
const JOBS = 20
/** Milliseconds after which it looks by itself: another process may have asked for something, or something failed. */
const IDLE = 15_000
const RETRY = 1000

/**
 * Works out what edits mean for the living (rule I2, threat B12). An edit has left a job in its own transaction (store/reevaluations.ts); here the decisions that it may
 * have changed are made again, a batch at a time, and who would be decided otherwise is cut off, at the second of the edit. A batch and the cutoffs that come of it are
 * one transaction, so a crash repeats nothing; the job ends when no decision is older.
 */
export function createReevaluation({ store, tenant, book, log, batch = 500, most = { rows: 1000, share: 0.2 } }: ReevaluationOptions): Reevaluation {
  const { db } = store
  const closed = new AbortController()
  /** How many lived by a decision when a job was begun. */
  const living = new Map<string, number>()
  let turn = 0
  let following: Promise<void> | undefined
  let running: Promise<void> | undefined

  async function work(): Promise<void> {
    while (!closed.signal.aborted) {
      const jobs = await jobsOf(db, tenant)
      if (jobs.everybody.length + jobs.some.length === 0) return
      // In turns: neither a large one nor many small ones hold up the other kind.
      const order = turn++ % 2 === 0 ? [...jobs.some, ...jobs.everybody] : [...jobs.everybody, ...jobs.some]
      await step(order)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** One batch of the first job that has any; jobs that have none are over. */
  async function step(order: readonly Job[]): Promise<void> {
    for (const job of order) {
      const rows = await take(db, job, now(), batch)
      if (rows.length === 0) await store.transaction({ tenant }, (tx, clock) => endIfDone(tx, job, Math.floor(clock())))
      else return lookAndCut(job, order, rows)
    }
  }

  async function lookAndCut(job: Job, jobs: readonly Job[], rows: readonly Kept[]): Promise<void> {
    const page = await book.current()
    const looks = await lookAgain(db, tenant, page.set, rows, now(), log)
    if (!living.has(job.id)) living.set(job.id, await countLiving(db, tenant, now()))
    const most = limit(living.get(job.id) ?? 0)
    const write = (tx: Transaction<Schema>, publish: ChangeContext['publish']) => settle({ db: tx, publish }, job, jobs, page.version, looks, most)
    // Receivers are woken only where there is something for them.
    if (looks.some(isLoss)) await store.commit({ tenant, actor: actorOf(job), txn: job.id, edit: ({ db: tx, publish }) => write(tx, publish) })
    else await store.transaction({ tenant }, (tx) => write(tx, () => {}))
  }

  async function settle(
    { db: tx, publish }: { db: Transaction<Schema>; publish: ChangeContext['publish'] },
    job: Job,
    jobs: readonly Job[],
    version: number,
    looks: readonly Look[],
    most: number,
  ): Promise<void> {
    const home = await tx.selectFrom('tenants').selectAll().where('id', '=', tenant).executeTakeFirstOrThrow()
    // Decided by what does not hold any more: the next look decides by what does.
    if (home.policies_version !== version) return
    const still = await unmoved(tx, looks)
    const counted = await tx.selectFrom('reevaluations').selectAll().where('tenant', '=', tenant).where('id', '=', job.id).executeTakeFirstOrThrow()
    const changed = still.filter((one) => one.changed)
    const losses = changed.filter(isLoss).map((one) => cutOf(one, instantOf(one.kept, job, jobs)))
    const total = counted.total === 0 ? await count(tx, job, now()) : counted.total
    const sums = {
      changed: counted.changed + changed.length,
      lost: counted.lost + losses.filter(({ cut }) => cut.depth === 'access').length,
    }

    const wide = sums.lost > most ? 'access' : sums.changed > most ? 'claims' : undefined
    const reached = { access: Math.max(home.valid_from, home.access_from), claims: home.claims_from }
    if (wide !== undefined && losses.length > 0 && job.t > (wide === 'access' ? reached.access : Math.max(reached.access, reached.claims))) {
      const cut: Cut = { kind: 'tenant', id: tenant, depth: wide, t: job.t }
      // Where everybody is still let in, nothing happens that others than guards should know of.
      publish(wide === 'access' ? { ...about(job), type: EVENT.sessionRevoked, cut } : { ...about(job), type: EVENT.cutoffs, cuts: [cut] })
      reached[wide] = job.t
    }
    const left = losses.filter(({ cut: { depth, t = 0 } }) => t > (depth === 'claims' ? Math.max(reached.access, reached.claims) : reached.access))
    if (left.length > 0) for (const draft of await draftsOf(tx, job, left)) publish(draft)

    await move(tx, still, version)
    await tx
      .updateTable('reevaluations')
      .set({ ...sums, total, done: counted.done + still.length })
      .where('tenant', '=', tenant)
      .where('id', '=', job.id)
      .execute()
    if (looks.length < batch) await endIfDone(tx, job, now())
  }

  /** The decisions are as of now; those that did not change stay as they were made. */
  async function move(tx: Transaction<Schema>, looks: readonly Look[], version: number): Promise<void> {
    const same = looks.filter((one) => !one.changed).map(({ kept }) => kept.id)
    if (same.length > 0) {
      await tx.updateTable('decisions').set({ version, job: null }).where('tenant', '=', tenant).where('id', 'in', same).execute()
    }
    for (const { kept, outcome, fingerprint, changed } of looks) {
      if (!changed) continue
      await tx
        .updateTable('decisions')
        .set({ version, job: null, outcome, fingerprint })
        .where('tenant', '=', tenant)
        .where('id', '=', kept.id)
        .execute()
    }
  }

  /** Those that nothing has happened to since they were read: neither a new token nor one more edit. */
  async function unmoved(tx: Transaction<Schema>, looks: readonly Look[]): Promise<Look[]> {
    const ids = looks.map(({ kept }) => kept.id)
    const rows = await tx
      .selectFrom('decisions')
      .select(['id', 'version', 'job', 'marks'])
      .where('tenant', '=', tenant)
      .where('id', 'in', ids)
      .execute()
    const known = new Map(rows.map((row) => [row.id, row]))
    return looks.filter(({ kept }) => {
      const row = known.get(kept.id)
      return row?.version === kept.version && row.job === kept.job && row.marks === kept.marks
    })
  }

  async function endIfDone(tx: Transaction<Schema>, job: Job, at: number): Promise<void> {
    const [more] = await take(tx, job, at, 1)
    if (more) return
    await tx
      .updateTable('reevaluations')
      .set((eb) => ({ state: 'done', ended_at: at, total: eb.ref('done') }))
      .where('tenant', '=', tenant)
      .where('id', '=', job.id)
      .where('t', '=', job.t)
      .execute()
    living.delete(job.id)
  }

  async function follow(): Promise<void> {
    while (!closed.signal.aborted) {
      // Waiting begins before the look, so that nothing falls between both.
      const woken = store.wait(tenant, Number.MAX_SAFE_INTEGER, AbortSignal.any([closed.signal, AbortSignal.timeout(IDLE)]))
      try {
        await run()
        await woken
      } catch (error) {
        if (closed.signal.aborted) return
        log.error('decisions could not be looked at again', { tenant, message: (error as Error).message })
        await store.wait(tenant, Number.MAX_SAFE_INTEGER, AbortSignal.any([closed.signal, AbortSignal.timeout(RETRY)]))
      }
    }
  }

  function run(): Promise<void> {
    running ??= work().finally(() => {
      running = undefined
    })
    return running
  }

  const now = () => Math.floor(store.clock())
  const limit = (all: number) => Math.max(most.rows, Math.floor(all * most.share))

  return {
    run,
    start() {
      following ??= follow()
    },
    async close() {
      closed.abort()
      await following
      await running?.catch(() => {})
    },
  }
}

/** The jobs that are not over, in the order in which they were asked for. */
async function jobsOf(db: Db, tenant: string): Promise<{ everybody: Job[]; some: Job[] }> {
  const running = db
    .selectFrom('reevaluations')
    .selectAll()
    .where('tenant', '=', tenant)
    .where('state', '=', 'running')
    .orderBy('asked')
    .orderBy('id')
  return {
    everybody: await running.where('scope', 'is', null).execute(),
    some: await running.where('scope', 'is not', null).limit(JOBS).execute(),
  }
}

/** Decisions that somebody lives by. */
const alive = (db: Db, tenant: string, now: number) =>
  db
    .selectFrom('decisions')
    .where('tenant', '=', tenant)
    .where('tokens_until', '>', now - EXPIRY_LEEWAY)

/** Those that a job has not looked at. Marked and old ones are asked for apart: for both at once, SQLite looks at everybody. */
async function take(db: Db, { tenant, id, scope, version }: Job, now: number, most: number): Promise<Kept[]> {
  const marked = await alive(db, tenant, now).selectAll().where('job', '=', id).limit(most).execute()
  if (marked.length > 0 || scope !== null) return marked
  return alive(db, tenant, now).selectAll().where('version', '<', version).limit(most).execute()
}

async function count(db: Db, { tenant, id, version }: Job, now: number): Promise<number> {
  const old = alive(db, tenant, now)
    .where('version', '<', version)
    .where((eb) => eb.or([eb('job', 'is', null), eb('job', '!=', id)]))
  const marked = alive(db, tenant, now).where('job', '=', id)
  const counts = [old, marked].map((one) => one.select(sql<number>`count(*)`.as('n')).executeTakeFirstOrThrow())
  return (await Promise.all(counts)).reduce((sum, { n }) => sum + n, 0)
}

async function countLiving(db: Db, tenant: string, now: number): Promise<number> {
  return (await alive(db, tenant, now).select(sql<number>`count(*)`.as('n')).executeTakeFirstOrThrow()).n
}

/**
 * The first edit after it was decided: whatever was given out by it is from before that, and what its session was given out by others since then lives on
 * (threat B12).
 */
function instantOf(kept: Kept, job: Job, jobs: readonly Job[]): number {
  const its = jobs.filter(({ id, scope, version }) => id === kept.job || (scope === null && kept.version < version))
  return Math.min(job.t, ...its.map(({ t }) => t))
}

const actorOf = ({ reason }: Job): Actor => ({ kind: 'policy', reason })
