import { parseAddress } from '@caegis/policy'
import { sql } from 'kysely'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'

/**
 * Somebody who guesses: at an account, from a browser that the account's holder used before, or from an address; from an address at one client, at any client, or at
 * the codes of devices.
 */
export interface Guesser {
  kind: keyof typeof BOUNDS
  id: string
}

export interface Throttle {
  /** Seconds to wait, for work that is too frequent to be done in turn. */
  waitOf(tenant: string, guessers: readonly Guesser[]): Promise<number>
  /** Counts a wrong guess, whatever becomes of the request. */
  count(tenant: string, guessers: readonly Guesser[]): Promise<void>
  /**
   * Runs a try, unless one of the guessers has to wait. Tries of the same first guesser run one after another in a process, and each takes a place that all processes
   * see, so that many at once are no way around.
   * @param work `right: undefined` = nothing was guessed
   * @returns what the work returned, or the seconds to wait
   */
  attempt<T>(
    tenant: string,
    guessers: readonly Guesser[],
    work: () => Promise<{ right: boolean | undefined; value: T }>,
  ): Promise<{ value: T } | { wait: number }>
}

/**
 * `free` wrong guesses cost nothing; each further one doubles the wait, from a second to `cap`. One is forgotten every `leak` seconds. So nobody is locked out for
 * good, and an account stands against about a hundred guesses a day. An address is shared by many people: it has room for their typing errors.
 */
const BOUNDS = {
  account: { free: 5, leak: 900, cap: 900 },
  browser: { free: 10, leak: 900, cap: 900 },
  address: { free: 100, leak: 30, cap: 300 },
  client: { free: 10, leak: 60, cap: 300 },
  clients: { free: 50, leak: 30, cap: 300 },
  device: { free: 10, leak: 60, cap: 300 },
} as const

export function createThrottle(store: Store, secrets: Secrets): Throttle {
  const turns = new Map<string, Promise<unknown>>()
  const keyOf = (tenant: string, { kind, id }: Guesser) => secrets.digest(`throttle:${tenant}:${kind}`, id)

  async function inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const mine = (turns.get(key) ?? Promise.resolve()).then(work)
    const over = mine.then(
      () => {},
      () => {},
    )
    turns.set(key, over)
    return mine.finally(() => {
      if (turns.get(key) === over) turns.delete(key)
    })
  }

  async function waitOf(tenant: string, guessers: readonly Guesser[]): Promise<number> {
    const keys = guessers.map((guesser) => keyOf(tenant, guesser))
    const rows = await store.db.selectFrom('throttles').select(['at', 'until']).where('tenant', '=', tenant).where('key', 'in', keys).execute()
    const clock = store.clock()
    const now = Math.floor(clock)
    // A clock that was set back: the wait begins anew, and runs from now on. Nobody waits for the clock to come again.
    if (rows.some(({ at, until }) => at > now && until > now))
      await store.db
        .updateTable('throttles')
        .set({ at: now, until: sql`until - at + ${now}` })
        .where('tenant', '=', tenant)
        .where('key', 'in', keys)
        .where('at', '>', now)
        .where('until', '>', now)
        .execute()
    return Math.ceil(Math.max(0, ...rows.map(({ at, until }) => until - Math.max(0, at - now) - clock)))
  }

  /**
   * Counts a guess of somebody, in one statement, so that two processes which count at once both count. The wait is written with it.
   * @param free only if nobody has to wait by now; then a place was taken that no other process takes
   * @returns the row, or nothing where somebody has to wait
   */
  async function add(tenant: string, guesser: Guesser, free: 'or not' | 'only'): Promise<{ failures: number; until: number } | undefined> {
    const { free: most, leak, cap } = BOUNDS[guesser.kind]
    const at = Math.floor(store.clock())
    // Numbers that come as parameters may be fractions to a database.
    const now = sql`cast(excluded.at as bigint)`
    const gone = sql`(case when ${now} > throttles.at then (${now} - throttles.at) / ${sql.lit(leak)} else 0 end)`
    const failures = sql<number>`(case when throttles.failures > ${gone} then throttles.failures - ${gone} else 0 end) + 1`
    const doublings = Math.floor(Math.log2(cap))
    const wait = sql`case when ${failures} - ${sql.lit(most + 1)} > ${sql.lit(doublings)} then ${sql.lit(cap)}
      else 1 << cast(${failures} - ${sql.lit(most + 1)} as integer) end`
    const until = sql<number>`case when ${failures} > ${sql.lit(most)} then ${now} + (${wait}) else 0 end`
    return store.db
      .insertInto('throttles')
      .values({ tenant, key: keyOf(tenant, guesser), failures: 1, at, until: 0 })
      .onConflict((known) => {
        const counted = known.columns(['tenant', 'key']).doUpdateSet({ failures, at: sql`excluded.at`, until })
        return free === 'only' ? counted.where(sql<boolean>`throttles.until <= excluded.at`) : counted
      })
      .returning(['failures', 'until'])
      .executeTakeFirst()
  }

  async function count(tenant: string, guessers: readonly Guesser[]): Promise<void> {
    for (const guesser of guessers) await add(tenant, guesser, 'or not')
  }

  /** Nothing was guessed after all: the place is given back, unless somebody has counted since. */
  async function giveBack(tenant: string, guesser: Guesser, { failures, until }: { failures: number; until: number }): Promise<void> {
    await store.db
      .updateTable('throttles')
      .set({ failures: failures - 1, until: 0 })
      .where('tenant', '=', tenant)
      .where('key', '=', keyOf(tenant, guesser))
      .where('failures', '=', failures)
      .where('until', '=', until)
      .execute()
  }

  /** What was right ends the account's or the browser's count, never the address's: an attacker has an account too. */
  async function clear(tenant: string, guessers: readonly Guesser[]): Promise<void> {
    const keys = guessers.filter(({ kind }) => kind !== 'address').map((guesser) => keyOf(tenant, guesser))
    const row = await store.db.selectFrom('throttles').select('key').where('tenant', '=', tenant).where('key', 'in', keys).executeTakeFirst()
    if (row) await store.db.deleteFrom('throttles').where('tenant', '=', tenant).where('key', 'in', keys).execute()
  }

  return {
    waitOf,
    count,
    attempt: (tenant, guessers, work) =>
      inTurn(keyOf(tenant, guessers[0] as Guesser), async () => {
        const [first, ...others] = guessers as [Guesser, ...Guesser[]]
        const wait = await waitOf(tenant, guessers)
        if (wait > 0) return { wait }
        // The guess counts before it is known to be wrong: otherwise as many processes as there are would each let one through.
        const place = await add(tenant, first, 'only')
        if (!place) return { wait: Math.max(1, await waitOf(tenant, guessers)) }
        let right: boolean | undefined
        try {
          const done = await work()
          right = done.right
          if (right === false) await count(tenant, others)
          if (right === true) await clear(tenant, guessers)
          return { value: done.value }
        } finally {
          if (right === undefined) await giveBack(tenant, first, place)
        }
      }),
  }
}

/** Everybody behind one address; of IPv6, behind one /64, which is what one customer has. None when it is unknown: nobody else may pay for it. */
export function addressGuesser(address: string): Guesser[] {
  const parsed = parseAddress(address)
  if (!parsed) return []
  return [{ kind: 'address', id: parsed.family === 4 ? `4 ${parsed.words[0]}` : `6 ${parsed.words[0]} ${parsed.words[1]}` }]
}
