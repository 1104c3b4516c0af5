import { parseAddress } from '@caegis/policy'
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
  /** Counts a wrong guess. In a transaction of its own: it counts whatever becomes of the request. */
  count(tenant: string, guessers: readonly Guesser[]): Promise<void>
  /**
   * Runs a try, unless one of the guessers has to wait. Tries of the same first guesser run one after another, so that many at once are no way around.
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
    const rows = await store.db.selectFrom('throttles').select('until').where('tenant', '=', tenant).where('key', 'in', keys).execute()
    return Math.ceil(Math.max(0, ...rows.map(({ until }) => until - store.clock())))
  }

  async function count(tenant: string, guessers: readonly Guesser[]): Promise<void> {
    // One lock for each, in one order for everybody.
    const keyed = guessers.map((guesser) => ({ ...BOUNDS[guesser.kind], key: keyOf(tenant, guesser) })).sort((a, b) => (a.key < b.key ? -1 : 1))
    for (const { free, leak, cap, key } of keyed) {
      await store.transaction({ name: `throttle ${tenant} ${key}` }, async (db, clock) => {
        const at = Math.floor(clock())
        const row = await db.selectFrom('throttles').select(['failures', 'at']).where('tenant', '=', tenant).where('key', '=', key).executeTakeFirst()
        const failures = row ? Math.max(0, row.failures - Math.floor(Math.max(0, at - row.at) / leak)) + 1 : 1
        const until = failures > free ? at + Math.min(cap, 2 ** Math.min(failures - free - 1, 30)) : 0
        const columns = { failures, at, until }
        await db
          .insertInto('throttles')
          .values({ tenant, key, ...columns })
          .onConflict((conflict) => conflict.columns(['tenant', 'key']).doUpdateSet(columns))
          .execute()
      })
    }
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
        const wait = await waitOf(tenant, guessers)
        if (wait > 0) return { wait }
        const { right, value } = await work()
        if (right === false) await count(tenant, guessers)
        if (right === true) await clear(tenant, guessers)
        return { value }
      }),
  }
}

/** Everybody behind one address; of IPv6, behind one /64, which is what one customer has. None when it is unknown: nobody else may pay for it. */
export function addressGuesser(address: string): Guesser[] {
  const parsed = parseAddress(address)
  if (!parsed) return []
  return [{ kind: 'address', id: parsed.family === 4 ? `4 ${parsed.words[0]}` : `6 ${parsed.words[0]} ${parsed.words[1]}` }]
}
