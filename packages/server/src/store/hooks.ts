import type { Transaction } from 'kysely'
import type { Schema } from './schema.ts'

type Db = Transaction<Schema>

/** What is to happen once a transaction has ended well. */
export interface Hooks {
  add(db: Db, run: () => void): void
  /** How many a transaction has: what its parts add behind that is theirs. */
  count(db: Db): number
  /** Forgets those behind the first `count`, because the part that added them was taken back. */
  forget(db: Db, count: number): void
  run(db: Db): void
}

export function createHooks(): Hooks {
  const known = new WeakMap<Db, (() => void)[]>()
  return {
    add(db, run) {
      const own = known.get(db)
      if (own) own.push(run)
      else known.set(db, [run])
    },
    count: (db) => known.get(db)?.length ?? 0,
    forget: (db, count) => void known.get(db)?.splice(count),
    run(db) {
      for (const one of known.get(db) ?? []) one()
      known.delete(db)
    },
  }
}
