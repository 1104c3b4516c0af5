import { setTimeout as pause } from 'node:timers/promises'
import Fastify from 'fastify'
import { type CompiledQuery, DummyDriver, Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely'
import { expect, it } from 'vitest'
import { registerHealth } from '../src/life/health.ts'
import type { Schema } from '../src/store/schema.ts'

/** A database that answers as it is told. */
function open(answer: () => Promise<void>, inSync: () => boolean[] = () => [true]) {
  const asked: string[] = []
  const db = new Kysely<Schema>({
    dialect: {
      createAdapter: () => new SqliteAdapter(),
      createIntrospector: (one) => new SqliteIntrospector(one),
      createQueryCompiler: () => new SqliteQueryCompiler(),
      createDriver: () =>
        Object.assign(new DummyDriver(), {
          acquireConnection: async () => ({
            async executeQuery({ sql }: CompiledQuery) {
              asked.push(sql)
              await answer()
              return { rows: [] }
            },
            async *streamQuery() {},
          }),
        }),
    },
  })
  const state = { draining: false }
  const app = Fastify()
  registerHealth(app, { store: { db }, isDraining: () => state.draining, inSync })
  const get = async (url: string) => {
    const { statusCode, body } = await app.inject({ url })
    return { status: statusCode, body: JSON.parse(body) }
  }
  return { app, asked, state, get }
}

const READY = { status: 200, body: { status: 'ready' } }
const not = (code: string) => ({ status: 503, body: { status: 'not_ready', code } })

it('asks the database once for everybody who asks at a time, and tells nothing of what it holds', async () => {
  const { asked, get } = open(async () => {})
  expect(await Promise.all(Array.from({ length: 50 }, () => get('/readyz')))).toEqual(Array(50).fill(READY))
  expect(asked).toHaveLength(1)
  expect(await get('/readyz')).toEqual(READY)
  expect(asked).toHaveLength(1)
  await pause(1050)
  expect(await get('/readyz')).toEqual(READY)
  expect(asked).toHaveLength(2)
})

it('is not ready while the database fails, and alive all the same', async () => {
  const { get } = open(() => Promise.reject(new Error('away, with a password in its text')))
  expect(await get('/readyz')).toEqual(not('store_unavailable'))
  expect(await get('/healthz')).toEqual({ status: 200, body: { status: 'ok' } })
})

it('is not ready while the database does not answer, asks it no second time meanwhile, and never asks it whether the process lives', async () => {
  const gate = Promise.withResolvers<void>()
  const { asked, get } = open(() => gate.promise)
  expect(await get('/healthz')).toEqual({ status: 200, body: { status: 'ok' } })
  expect(asked).toEqual([])
  expect(await get('/readyz')).toEqual(not('store_unavailable'))
  expect(await get('/readyz')).toEqual(not('store_unavailable'))
  expect(asked).toHaveLength(1)
  gate.resolve()
  await expect.poll(async () => (await get('/readyz')).status, { timeout: 20_000 }).toBe(200)
})

it('is not ready when it follows no log, but one tenant that cannot be followed does not take the others with it', async () => {
  let guards = [true, false]
  const { get, state } = open(
    async () => {},
    () => guards,
  )
  expect(await get('/readyz')).toEqual(READY)
  guards = [false, false]
  expect(await get('/readyz')).toEqual(not('out_of_sync'))
  guards = []
  expect(await get('/readyz')).toEqual(READY)
  state.draining = true
  expect(await get('/readyz')).toEqual(not('draining'))
})
