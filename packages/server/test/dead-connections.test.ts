import { type AddressInfo, createServer, type Socket } from 'node:net'
import { sql } from 'kysely'
import { afterEach, expect, it } from 'vitest'
import { connect } from '../src/store/postgres/connect.ts'

/** As much of PostgreSQL's protocol (its documentation, chapter 55) as a statement without parameters needs; and it can go silent, as if something in between had forgotten it. */
async function startDatabase() {
  const sockets = new Set<Socket>()
  const silent = new Set<Socket>()
  const message = (type: string, body: Buffer) => {
    const head = Buffer.alloc(5)
    head.write(type)
    head.writeInt32BE(body.length + 4, 1)
    return Buffer.concat([head, body])
  }
  const ready = message('Z', Buffer.from('I'))
  let begun = 0
  const server = createServer((socket) => {
    sockets.add(socket)
    let greeted = false
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
    socket.on('data', (bytes) => {
      if (silent.has(socket)) return
      if (!greeted) {
        greeted = true
        begun++
        socket.write(Buffer.concat([message('R', Buffer.alloc(4)), ready]))
      } else if (bytes.toString('latin1', 0, 1) === 'Q') socket.write(Buffer.concat([message('C', Buffer.from('SELECT 0\0')), ready]))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    /** Connections that were begun so far. */
    begun: () => begun,
    /** All that are there say nothing from now on, not even that they end. */
    forget() {
      for (const one of sockets) silent.add(one)
    },
    async close() {
      for (const one of sockets) one.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

async function open() {
  const database = await startDatabase()
  ends.push(() => database.close())
  const warned: string[] = []
  const log = { debug() {}, info() {}, warn: (message: string) => void warned.push(message), error() {} }
  const settings = { host: '127.0.0.1', port: database.port, database: 'd', user: 'u', tls: false, connections: 3 }
  const { db } = connect(settings, log as never, { query_timeout: 300 })
  ends.push(() => db.destroy())
  const ask = () => sql`select 1`.execute(db)
  return { database, db, ask, warned }
}

const AWAY = { code: 'store_unavailable', status: 503 }

it('whoever asks over a connection that something in between has forgotten is told so, and all of that age are replaced at once', async () => {
  const { database, ask } = await open()
  await Promise.all([ask(), ask(), ask()])
  expect(database.begun()).toBe(3)
  database.forget()
  await expect(ask()).rejects.toMatchObject(AWAY)
  // The two others were not asked: nobody has to wait for them.
  for (let i = 0; i < 3; i++) await ask()
  expect(database.begun()).toBe(4)
})

it('a transaction over such a connection ends with its first statement that is not answered', async () => {
  const { database, db, ask, warned } = await open()
  let asked = 0
  const work = db.transaction().execute(async (tx) => {
    database.forget()
    asked++
    await sql`select 1`.execute(tx)
  })
  await expect(work).rejects.toMatchObject(AWAY)
  expect(asked).toBe(1)
  // Its rollback was not sent after it.
  expect(warned).toEqual(['a connection to the database is dead'])
  await ask()
  expect(database.begun()).toBe(2)
})
