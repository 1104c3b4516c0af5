import { request as send } from 'node:http'
import type { Guard } from '@caegis/guard'
import type { Caller, Transmitter } from '@caegis/ssf/transmitter'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterEach, expect, it } from 'vitest'
import { createAdmission } from '../src/admission.ts'
import { createLoad } from '../src/life/load.ts'
import { registerSignals } from '../src/signals/routes.ts'
import type { TenantRooms } from '../src/tenants.ts'

let app: FastifyInstance
afterEach(() => app?.close())

/** A door at which everybody waits for the test. */
function slowDoor() {
  const waiting: (() => void)[] = []
  return {
    waiting,
    pass: () => new Promise<void>((resolve) => waiting.push(resolve)),
    open: () => {
      for (const one of waiting.splice(0)) one()
    },
  }
}

const until = (true_: () => boolean) => expect.poll(true_, { timeout: 20_000 }).toBe(true)

/** Requests without a body that leave while they wait at the door; resolves when the server has noticed all of them. */
async function leave(count: number, method: string, path: string, waiting: readonly unknown[], headers = {}): Promise<void> {
  let closed = 0
  app.server.on('request', (_request, response) => void response.once('close', () => closed++))
  const { port } = app.server.address() as { port: number }
  const all = Array.from({ length: count }, () =>
    send({ port, method, path, headers })
      .on('error', () => {})
      .end(),
  )
  await until(() => waiting.length === count)
  for (const one of all) one.destroy()
  await until(() => closed === count)
}

it('takes no place for who left while it was found out who they are', async () => {
  app = Fastify({ forceCloseConnections: true })
  const load = createLoad(app, { admin: 4 })
  const door = slowDoor()
  let passed = 0
  const onRequest = () => door.pass().then(() => void passed++)
  let handled = 0
  for (const method of ['GET', 'POST', 'DELETE']) app.route({ method, url: '/v1.0/users', onRequest, handler: async () => ({ handled: ++handled }) })
  const origin = await app.listen({ port: 0 })
  for (const method of ['GET', 'POST', 'DELETE']) {
    await leave(20, method, '/v1.0/users', door.waiting)
    door.open()
  }
  await until(() => passed === 60)
  const next = fetch(`${origin}/v1.0/users`)
  await until(() => door.waiting.length === 1)
  door.open()
  expect((await next).status).toBe(200)
  await until(() => load.underWay('admin') === 0)
  expect(load.refused('admin')).toBe(0)
  // Nobody has asked for it any more.
  expect(handled).toBe(1)
})

it('lets the verdict go of who left while it was waited for', async () => {
  app = Fastify({ forceCloseConnections: true })
  const door = slowDoor()
  const origin = 'https://login.example'
  let verdicts = 0
  let released = 0
  const guard = {
    async check() {
      await door.pass()
      verdicts++
      return { allowed: true, claims: { aud: origin }, release: () => void released++ }
    },
    status: () => ({ head: { seq: 1 } }),
  } as unknown as Guard
  const admission = createAdmission({
    origin,
    store: { position: async () => ({ seq: 1, asOf: 1, epoch: 'e' }) },
    find: async () => ({ tenant: { id: 't' }, guard }) as unknown as TenantRooms,
    addressOf: () => '',
    ldapOf: async () => undefined,
  })
  app.get('/', { onRequest: async (request, reply) => void (await admission.caller(request, reply)) }, async () => 'in')
  await app.listen({ port: 0 })
  const payload = Buffer.from(JSON.stringify({ iss: `${origin}/t/v2.0` })).toString('base64url')
  await leave(20, 'GET', '/', door.waiting, { authorization: `Bearer x.${payload}.x` })
  door.open()
  await until(() => verdicts === 20)
  await until(() => released === 20)
})

it('holds no poll, and hands nothing out, for who left before it began', async () => {
  app = Fastify({ forceCloseConnections: true })
  const door = slowDoor()
  const gone: boolean[] = []
  const transmitter = {
    async poll(_caller: Caller, _stream: string, _body: unknown, signal: AbortSignal) {
      gone.push(signal.aborted)
      return { status: 200, headers: {}, body: { sets: {} } }
    },
  } as unknown as Transmitter
  registerSignals(app, {
    findTransmitter: async () => transmitter,
    async admit() {
      await door.pass()
      return { receiver: 'r', audience: 'a', scopes: new Set<string>() }
    },
  })
  await app.listen({ port: 0 })
  await leave(5, 'POST', '/t/ssf/poll/s', door.waiting)
  door.open()
  await until(() => gone.length === 5)
  expect(gone).toEqual([true, true, true, true, true])
})
