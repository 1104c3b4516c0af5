import { randomUUID } from 'node:crypto'
import { sql, type Transaction } from 'kysely'
import { listedRows } from '../store/listed-rows.ts'
import type { Schema, SignInRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { firstId } from '../store/time-id.ts'
import { createFlood } from './flood.ts'
import { createNews } from './news.ts'
import { LOOK, type Page, type Paging } from './page.ts'
import { OUTCOMES, type Outcome, outcomeOf, type SignIn, signInRecord } from './sign-in.ts'

/** All that are given have to hold. */
export interface SignInFilter {
  userId?: string
  /** Where nobody has that name now. */
  userName?: string
  appId?: string
  code?: number
  /** Whatever was not let in. */
  denied?: true
  address?: string
  correlation?: string
  interactive?: boolean
  policies?: string
  outcome?: Outcome
}

/** What was decided between two instants. */
export interface Activity {
  /** Milliseconds. */
  from: number
  allowed: number
  blocked: number
  challenged: number
  failed: number
}

/** Whose sign-ins: one user's, one application's, or everybody's. */
export type SignInsOf = { user: string } | { app: string } | 'all'

/** What somebody may find out about the past: the sign-ins of one tenant. */
export interface SignIns {
  /** Part of the transaction that lets the answer out: there is a record if, and only if, something was given out. */
  insert(db: Transaction<Schema>, record: SignIn): Promise<void>
  /** Adds to a record of before what came of it; makes one of it where that is gone. */
  complete(db: Transaction<Schema>, id: string, more: Partial<SignIn>, otherwise?: SignIn): Promise<void>
  /**
   * What let nobody in is written a moment later, so that no denial waits for the disk: a crash may lose those of the last instants. Of an address that is refused
   * again and again, one record says how often; a crash may lose half a minute of it.
   */
  deny(record: SignIn): void
  /** The same for what was refused before anything was looked at. */
  turnAway(given: Omit<Parameters<typeof signInRecord>[1], 'correlation'>): void
  list(page: Paging & SignInFilter): Promise<Page<SignIn>>
  find(id: string): Promise<SignIn | undefined>
  /** Those of them that are there. */
  read(ids: readonly string[]): Promise<SignIn[]>
  /** How many decisions there were in each of the last `count` intervals; the last one is not over. @param every milliseconds of each */
  activity(every: number, count: number): Promise<Activity[]>
  /** Tells of each record that is written, by its id: at once, when it may not be there yet. @returns what ends it */
  watch(listener: (id: string) => void): () => void
  /** The first ones since an instant, oldest first. @param at milliseconds */
  since(at: number, of: SignInsOf, limit: number): Promise<SignIn[]>
  /** Resolves when there is another one, written, or when the signal aborts; registered when the call returns. */
  changed(of: SignInsOf, signal: AbortSignal): Promise<void>
  /** Writes what is held together; every half minute. */
  flush(): Promise<void>
}

/** Denials a minute that are written one by one. */
const BOUNDS = { perSource: 30, total: 1000 }

export function createSignIns(store: Store, tenant: string): SignIns {
  const flood = createFlood<SignIn>({ ...BOUNDS, clock: store.clock, merge })
  const listeners = new Set<(id: string) => void>()
  const news = createNews(store)
  const topic = `sign-ins:${tenant}`
  const heard = (id: string) => {
    for (const one of listeners) one(id)
  }
  const spread = spreadLater((ids) => store.say(topic, ids))
  const tell = (db: Transaction<Schema>, record: SignIn) => {
    heard(record.id)
    news.told(db, record)
    store.after(db, () => spread(record.id))
  }

  const rowOf = (record: SignIn) => {
    const { id, user, app, code, address, correlation, kind, policies, count } = record
    return {
      ...{
        tenant,
        id,
        user_id: user?.id ?? null,
        user_name: user?.name.toLowerCase() ?? null,
        app_id: app?.id ?? null,
        code,
        denied: code === 0 ? 0 : 1,
        address,
        correlation,
      },
      ...{ interactive: kind === 'interactiveUser' ? 1 : 0, policies: policies.status, record: JSON.stringify(record) },
      ...{ outcome: outcomeOf(code), times: count },
    }
  }
  const insert = async (db: Transaction<Schema>, record: SignIn): Promise<void> => {
    await db.insertInto('sign_ins').values(rowOf(record)).execute()
    tell(db, record)
  }

  function deny(record: SignIn): void {
    if (flood.admits(record.address, `${record.code} ${record.kind}`, record)) void store.soon((db) => insert(db, record))
  }

  return {
    insert,

    async complete(db, id, more, otherwise) {
      const row = await db.selectFrom('sign_ins').select('record').where('tenant', '=', tenant).where('id', '=', id).executeTakeFirst()
      if (row) {
        const { id: _id, tenant: _tenant, ...columns } = rowOf({ ...(JSON.parse(row.record) as SignIn), ...more, id })
        await db.updateTable('sign_ins').set(columns).where('tenant', '=', tenant).where('id', '=', id).execute()
        tell(db, { ...(JSON.parse(row.record) as SignIn), ...more })
      } else if (otherwise) await insert(db, otherwise)
    },

    deny,
    turnAway: (given) => deny(signInRecord(store.clock(), { correlation: randomUUID(), ...given })),

    async list({ limit, before, from, to, ...filter }) {
      let narrow = store.db.selectFrom('sign_ins').where('tenant', '=', tenant)
      if (before !== undefined) narrow = narrow.where('id', '<', before)
      if (from !== undefined) narrow = narrow.where('id', '>=', firstId(from))
      if (to !== undefined) narrow = narrow.where('id', '<', firstId(to))
      const { userId, correlation, appId } = filter
      // One index at a time: the one that leaves least.
      if (userId !== undefined) narrow = narrow.where('user_id', '=', userId)
      else if (correlation !== undefined) narrow = narrow.where('correlation', '=', correlation)
      else if (appId !== undefined) narrow = narrow.where('app_id', '=', appId)
      else if (filter.outcome !== undefined) narrow = narrow.where('outcome', '=', filter.outcome)
      else if (filter.denied || filter.code) narrow = narrow.where('denied', '=', sql.lit(1))

      const wanted = Object.entries({
        ...{ user_name: filter.userName?.toLowerCase(), address: filter.address, policies: filter.policies, code: filter.code },
        ...{ correlation: userId === undefined ? undefined : correlation, app_id: (userId ?? correlation) ? appId : undefined },
        ...{ outcome: (userId ?? correlation ?? appId) ? filter.outcome : undefined },
        ...{ interactive: filter.interactive === undefined ? undefined : filter.interactive ? 1 : 0 },
      }).filter((pair) => pair[1] !== undefined) as [keyof SignInRow, string | number][]
      let found = narrow
      for (const [column, value] of wanted) found = found.where(column, '=', value)
      if (filter.denied) found = found.where('denied', '=', sql.lit(1))
      // No index serves the rest: a page looks at so many rows and no more, and may be short, or empty, with another one after it.
      const floor =
        wanted.length === 0 && !filter.denied
          ? undefined
          : (await narrow.select('id').orderBy('id', 'desc').offset(LOOK).limit(1).executeTakeFirst())?.id
      if (floor !== undefined) found = found.where('id', '>=', floor)
      const rows = await found
        .select(['id', 'record'])
        .orderBy('id', 'desc')
        .limit(limit + 1)
        .execute()
      const value = rows.slice(0, limit).map(({ record }) => JSON.parse(record) as SignIn)
      const next = rows.length > limit ? value.at(-1)?.id : floor
      return { value, ...(next === undefined ? {} : { next }) }
    },

    async find(id) {
      const row = await store.db.selectFrom('sign_ins').select('record').where('tenant', '=', tenant).where('id', '=', id).executeTakeFirst()
      return row && (JSON.parse(row.record) as SignIn)
    },

    async read(ids) {
      const rows = await store.db.selectFrom('sign_ins').select('record').where('tenant', '=', tenant).where('id', 'in', ids).orderBy('id').execute()
      return rows.map(({ record }) => JSON.parse(record) as SignIn)
    },

    async activity(every, count) {
      const from = (Math.floor((store.clock() * 1000) / every) - count + 1) * every
      const edges = Array.from({ length: count }, (_, index) => [firstId(from + index * every), firstId(from + (index + 1) * every)])
      // Each sum reads a piece of one index, and no row.
      const sum = (outcome: Outcome) => sql`coalesce((select sum(times) from sign_ins where tenant = ${tenant} and outcome = ${sql.lit(outcome)}
        and id >= edges.since and id < edges.before), 0) as ${sql.ref(outcome)}`
      const { rows } = await sql<Omit<Activity, 'from'>>`select ${sql.join(OUTCOMES.map(sum))}
        from ${listedRows(store, { since: 'text', before: 'text' }, edges)} as edges order by edges.place`.execute(store.db)
      return rows.map((row, index) => ({ from: from + index * every, ...row }))
    },

    watch(listener) {
      // Those of other servers as well.
      const end = store.listen(topic, (ids) => {
        for (const id of ids.split(',')) listener(id)
      })
      listeners.add(listener)
      return () => {
        end()
        listeners.delete(listener)
      }
    },

    async since(at, of, limit) {
      let query = store.db.selectFrom('sign_ins').select('record').where('tenant', '=', tenant).where('id', '>=', firstId(at))
      if (of !== 'all') query = 'user' in of ? query.where('user_id', '=', of.user) : query.where('app_id', '=', of.app)
      return (await query.orderBy('id').limit(limit).execute()).map(({ record }) => JSON.parse(record) as SignIn)
    },

    changed: news.wait,

    async flush() {
      for (const { record, count } of flood.take()) void store.soon((db) => insert(db, { ...record, count }))
      await store.flush()
    },
  }
}

/** Of two denials in one record only what is true of both. */
function merge(kept: SignIn, more: SignIn): SignIn {
  // Several sign-ins are nothing that policies could be asked about.
  const { brought: _, ...rest } = kept
  const same = (a: { id: string } | null, b: { id: string } | null) => a?.id === b?.id
  return {
    ...rest,
    user: same(kept.user, more.user) ? kept.user : null,
    app: same(kept.app, more.app) ? kept.app : null,
    device: same(kept.device, more.device) ? kept.device : null,
    address: kept.address === more.address ? kept.address : '',
    rpAddress: kept.rpAddress === more.rpAddress ? kept.rpAddress : '',
    session: kept.session === more.session ? kept.session : '',
  }
}

/** Milliseconds for which sign-ins are collected, and how many one message holds: more than that nobody reads as they come. */
const COLLECT = 200
const MOST_SPREAD = 100

/** Not one by one: each message to the other servers takes its turn with all others. */
function spreadLater(say: (ids: string) => void): (id: string) => void {
  let waiting = new Set<string>()
  return (id) => {
    if (waiting.size === 0)
      setTimeout(() => {
        say([...waiting].join(','))
        waiting = new Set()
      }, COLLECT).unref()
    if (waiting.size < MOST_SPREAD) waiting.add(id)
  }
}
