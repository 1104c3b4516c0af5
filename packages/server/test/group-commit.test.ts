import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type Kysely, sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLog } from '../src/log.ts'
import { createGroupCommit } from '../src/store/group-commit.ts'
import { createOutage } from '../src/store/outage.ts'
import type { Schema } from '../src/store/schema.ts'
import { openSqlite } from '../src/store/sqlite.ts'

let db: Kysely<Schema>
let transaction: ReturnType<typeof createGroupCommit>

beforeEach(async () => {
  db = openSqlite(':memory:', createOutage(createLog('silent')))
  transaction = createGroupCommit(db)
  await sql`create table notes (id integer primary key, text text not null unique)`.execute(db)
})
afterEach(() => db.destroy())

const note = (text: string) => transaction(async (tx) => sql`insert into notes (text) values (${text})`.execute(tx))
const notes = async () => (await sql<{ text: string }>`select text from notes order by id`.execute(db)).rows.map(({ text }) => text)
const settled = async (work: Promise<unknown>[]) => (await Promise.allSettled(work)).map(({ status }) => status)

describe('transactions that share a commit', () => {
  it('each sees what the ones before it did, in the order in which they came', async () => {
    const lengths = Array.from({ length: 50 }, (_, index) =>
      transaction(async (tx) => {
        await sql`insert into notes (text) values (${String(index)})`.execute(tx)
        return (await sql`select 1 from notes`.execute(tx)).rows.length
      }),
    )
    expect(await Promise.all(lengths)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1))
  })

  it('B13: one that throws is taken back alone, with all that it wrote, and its neighbours stand', async () => {
    const bad = transaction(async (tx) => {
      await sql`insert into notes (text) values ('half')`.execute(tx)
      throw new Error('no')
    })
    expect(await settled([note('a'), bad, note('b'), note('a'), note('c')])).toEqual(['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'])
    await expect(bad).rejects.toThrow('no')
    expect(await notes()).toEqual(['a', 'b', 'c'])
  })

  it('tells everybody who waits when not even a transaction can begin, and works again when one can', async () => {
    await sql`pragma query_only = on`.execute(db)
    const [first, second] = await Promise.allSettled([note('a'), note('b')])
    expect([first, second]).toMatchObject([{ reason: { code: 'store_unavailable', statusCode: 503 } }, { reason: { code: 'store_unavailable' } }])
    await sql`pragma query_only = off`.execute(db)
    await note('c')
    expect(await notes()).toEqual(['c'])
  })

  it('waits while somebody else has the file without keeping anybody in this process, and says so when that lasts', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'caegis-busy-'))
    const file = openSqlite(join(folder, 'file.db'), createOutage(createLog('silent')), 500)
    const other = new DatabaseSync(join(folder, 'file.db'))
    try {
      await sql`create table notes (text text)`.execute(file)
      const write = createGroupCommit(file)
      const asked = () => write(async (tx) => sql`insert into notes values ('a')`.execute(tx))
      other.exec('begin immediate')
      const patient = asked()
      // The other one is in this process as well: it can only go on if there is a turn for it.
      setTimeout(() => other.exec('rollback'), 50)
      await patient
      expect(other.prepare('select count(*) as n from notes').get()).toEqual({ n: 1 })
      other.exec('begin immediate')
      const away = { reason: { code: 'store_unavailable' } }
      expect(await Promise.allSettled([asked(), sql`delete from notes`.execute(file)])).toMatchObject([away, away])
    } finally {
      await file.destroy()
      other.close()
      rmSync(folder, { recursive: true })
    }
  })

  it('I2: nobody is told that it is done when the commit fails, and nothing of it exists', async () => {
    await sql`pragma foreign_keys = on`.execute(db)
    await sql`create table parents (id integer primary key)`.execute(db)
    await sql`create table children (parent integer references parents (id) deferrable initially deferred)`.execute(db)
    // Its constraint is looked at when all of it is committed.
    const orphan = transaction(async (tx) => sql`insert into children values (1)`.execute(tx))
    const all = [note('a'), orphan, note('b')]
    expect(await settled(all)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(await notes()).toEqual([])
    await note('later')
    expect(await notes()).toEqual(['later'])
  })

  it('one that comes while others are at work gets its turn, and so does a reader', async () => {
    const gate = Promise.withResolvers<void>()
    const slow = transaction(async (tx) => {
      await gate.promise
      await sql`insert into notes (text) values ('slow')`.execute(tx)
    })
    const late = note('late')
    const reader = notes()
    gate.resolve()
    await Promise.all([slow, late])
    expect(await notes()).toEqual(['slow', 'late'])
    expect(await reader).toContain('slow')
  })
})
