import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLog } from '../src/log.ts'
import { compareTables, copyRows } from '../src/store/move/copy.ts'
import { readMark, removeMark, writeMark } from '../src/store/move/mark.ts'
import { openSource } from '../src/store/move/source.ts'
import type { ColumnType, Target } from '../src/store/move/target.ts'
import { createStore } from '../src/store/store.ts'

const open = (file: string) => createStore({ file, now: Date.now, log: createLog('silent') })
const columns = new Map<string, ColumnType>([
  ['id', 'text'],
  ['n', 'bigint'],
])
const tables = new Map([['things', columns]])
const sourceOf = (rows: unknown[][]) => ({
  ...{ tables: new Map([['things', ['id', 'n']]]), count: () => rows.length, rows: () => rows },
  ...{ keys: () => [], newest: () => 0, close() {} },
})

/** What arrived, statement by statement. */
function targetThat(loses = 0) {
  const writes: unknown[][][] = []
  const target: Target = {
    tables,
    count: async () => writes.reduce((sum, [first]) => sum + (first as unknown[]).length, 0) - loses,
    clock: async () => 0,
    async write(_table, _columns, values) {
      writes.push(values as unknown[][])
    },
    async commit() {},
    async close() {},
  }
  return { writes, target }
}
const copy = (rows: unknown[][], { target } = targetThat()) =>
  copyRows({ source: sourceOf(rows), target, renewed: { table: 'none', column: 'none', value: () => '' }, onProgress() {} })

describe('copying', () => {
  it('goes in batches, bounded by rows and by size, and counts what arrived', async () => {
    const many = targetThat()
    expect(
      await copy(
        Array.from({ length: 12_000 }, (_, n) => [`id${n}`, n]),
        many,
      ),
    ).toEqual({ tables: { things: 12_000 }, replaced: 0 })
    expect(many.writes.map(([first]) => first?.length)).toEqual([5000, 5000, 2000])
    const large = targetThat()
    await copy(
      Array.from({ length: 5 }, (_, n) => ['x'.repeat(5_000_000), n]),
      large,
    )
    expect(large.writes.map(([first]) => first?.length)).toEqual([2, 2, 1])
    await expect(copy([['a', 1]], targetThat(1))).rejects.toMatchObject({
      code: 'move_failed',
      message: expect.stringContaining('of which 0 arrived'),
    })
  })

  it('replaces NUL characters and counts the texts; what is no number is refused, without being repeated', async () => {
    const some = targetThat()
    expect(
      await copy(
        [
          ['a\0b\0', 1],
          ['c', null],
        ],
        some,
      ),
    ).toMatchObject({ replaced: 1 })
    expect(some.writes).toEqual([
      [
        ['a\uFFFDb\uFFFD', 'c'],
        [1, null],
      ],
    ])
    for (const wrong of ['hunter2', 1.5, new Uint8Array(3)]) {
      const error = await copy([['a', wrong]]).catch((error) => error)
      expect(error).toMatchObject({ code: 'move_failed', message: expect.stringContaining('things.n') })
      expect(error.message).not.toContain('hunter2')
    }
  })

  it('knows the tables from both databases, and refuses what only one has', () => {
    const here = new Map([['things', ['id', 'n']]])
    expect(compareTables(here, tables)).toEqual(['things'])
    for (const other of [new Map([...here, ['notes', ['id']]]), new Map([['things', ['id', 'n', 'more']]]), new Map([['things', ['id']]])])
      expect(() => compareTables(other, tables)).toThrow('only one of the databases has')
  })
})

describe('an embedded database', () => {
  let folder: string
  let file: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'caegis-test-'))
    file = join(folder, 'caegis.db')
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('is opened only while nobody else has it open, of this version, and by nobody else then', async () => {
    const store = await open(file)
    await expect(openSource(file)).rejects.toMatchObject({ code: 'data_in_use' })
    await store.close()
    const source = await openSource(file)
    expect(source.tables.get('members')).toEqual(['tenant', 'group_id', 'user_id'])
    expect([...source.tables.keys()].filter((name) => name === 'nodes' || name.startsWith('kysely'))).toEqual([])
    await expect(open(file)).rejects.toThrow('locked')
    source.close()
    const db = new DatabaseSync(file)
    db.exec("insert into kysely_migration values ('9999-later', '')")
    db.close()
    await expect(openSource(file)).rejects.toMatchObject({ code: 'data_outdated' })
  })

  it('that was moved is not opened again until somebody removes the mark, whatever is in it', async () => {
    await (await open(file)).close()
    for (const state of ['moving', 'moved'] as const) {
      expect(writeMark(file, { state, to: 'db:5432/caegis' })).toBe(`${file}.moved`)
      expect(readMark(file)).toEqual({ state, to: 'db:5432/caegis' })
      await expect(open(file)).rejects.toMatchObject({ code: 'data_moved', message: expect.stringContaining('db:5432/caegis') })
    }
    writeFileSync(`${file}.moved`, '')
    await expect(open(file)).rejects.toMatchObject({ code: 'data_moved' })
    removeMark(file)
    await (await open(file)).close()
  })
})
