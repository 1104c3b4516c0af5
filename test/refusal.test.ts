import { copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createGuard, type Guard } from '@caegis/guard'
import { PUSH_METHOD } from '@caegis/ssf/transmitter'
import { decodeJwt } from 'jose'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { eventually, freePort, type Loop, SECRET, startLoop, verdictOf } from './loop.ts'
import { query } from './postgres.ts'
import { storeBeside, temporaryFolder } from './process.ts'
import { createReceiver, SIGNALS_TENANT, startEndpoint } from './signals-tenant.ts'

let loop: Loop
const ends: (() => unknown)[] = []
afterEach(async () => {
  await loop?.close()
  for (const end of ends.splice(0).reverse()) await end()
})

interface Receiver {
  guard: boolean
  complete: boolean
  applied?: { at: string }
  refused?: { at: string }
}
const revoke = async (name = 'alice') => {
  const answer = await loop.graph('POST', `/users/${name}@contoso.test/revokeSignInSessions`)
  expect(answer.status).toBe(200)
  return answer.headers.get('caegis-txn') as string
}
const receiversOf = async (txn: string) =>
  ((await (await loop.graph('GET', `/caegis/revocations/${txn}`)).json()) as { receivers: Receiver[] }).receivers
const applied = (txn: string) =>
  eventually(
    () => receiversOf(txn),
    (receivers) => receivers.length > 0 && receivers.every((one) => one.applied !== undefined),
    'the proof',
  )

describe('the first refusal', () => {
  it('is in the proof, with its time, once the guard has refused a request because of the event', async () => {
    loop = await startLoop({ tenant: SIGNALS_TENANT })
    const bodies: string[] = []
    const guard = await loop.guard({
      fetch: (input, init) => {
        if (String(input).includes('/ssf/poll/')) bodies.push(String(init?.body))
        return fetch(input, init)
      },
    })
    const token = await loop.person('alice').signIn()
    const other = await loop.person('bob').signIn()
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })
    const txn = await revoke('alice')
    const [receiver] = await applied(txn)
    expect(receiver).not.toHaveProperty('refused')
    expect(await verdictOf(guard, other)).toMatchObject({ allowed: true })
    const before = Date.now()
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: false, code: 'revoked' })
    const [told] = await eventually(
      () => receiversOf(txn),
      ([one]) => one?.refused !== undefined,
      'the refusal',
    )
    const at = Date.parse(told?.refused?.at as string)
    expect(at).toBeGreaterThanOrEqual(before)
    expect(at).toBeGreaterThanOrEqual(Date.parse(told?.applied?.at as string))
    expect(Object.keys(told?.refused ?? {})).toEqual(['at'])
    // Said once: what comes after is no first.
    for (let i = 0; i < 3; i++) expect(await verdictOf(guard, token)).toMatchObject({ allowed: false })
    const second = await revoke('bob')
    await applied(second)
    expect((await receiversOf(txn))[0]?.refused?.at).toBe(told?.refused?.at)
    expect(bodies.filter((body) => body.includes('caegis_refused'))).toHaveLength(1)
    expect((await receiversOf(second))[0]).not.toHaveProperty('refused')
  })

  it('is told by each guard for itself, and soon although a poll is held', async () => {
    loop = await startLoop({ tenant: SIGNALS_TENANT })
    const [one] = [await loop.guard(), await loop.guard()]
    const token = await loop.person('alice').signIn()
    const txn = await revoke('alice')
    await applied(txn)
    expect(await verdictOf(one, token)).toMatchObject({ allowed: false })
    const receivers = await eventually(
      () => receiversOf(txn),
      (all) => all.some(({ refused }) => refused !== undefined),
      'the refusal',
    )
    expect(receivers.map(({ refused }) => refused !== undefined).sort()).toEqual([false, true])
  })

  it('is believed of guards only, within the time that it can have been', async () => {
    loop = await startLoop({ tenant: SIGNALS_TENANT })
    const files = createReceiver(loop)
    const guard = await files.create({ caegis: { subjects: 'complex', alg: 'ES256', guard: true } })
    const poller = await files.create()
    const txn = await revoke('alice')
    const { epoch, seq } = await loop.server.store.position(loop.tenant)
    const say = (id: string, body: object) => files.call('POST', `/poll/${id}`, { returnImmediately: true, ...body })
    const at = async () => (await receiversOf(txn)).find((one) => one.guard)?.refused?.at
    // Of another log, of what is not there yet, or without a word about what was applied: nothing.
    for (const body of [
      { caegis_refused: [[seq, 1]] },
      { caegis_applied: { epoch: 'other', seq }, caegis_refused: [[seq, 1]] },
      { caegis_applied: { epoch, seq }, caegis_refused: [[seq + 1, 1]] },
    ])
      expect((await say(guard, body)).status).toBe(200)
    expect((await say(poller, { caegis_applied: { epoch, seq }, caegis_refused: [[seq, 1]] })).status).toBe(200)
    expect((await receiversOf(txn)).map(({ refused }) => refused)).toEqual([undefined, undefined])
    for (const refused of [{}, 'x', [[1]], [[0, 1]], [[1.5, 1]], [[1, 'x']], [[1, null]], Array.from({ length: 101 }, () => [1, 1])])
      expect((await say(guard, { caegis_applied: { epoch, seq }, caegis_refused: refused })).status).toBe(400)
    const before = Math.floor(Date.now() / 1000) - 60
    await say(guard, { caegis_applied: { epoch, seq }, caegis_refused: [[seq, before]] })
    const first = await eventually(at, (found) => found !== undefined)
    // A guard whose clock is behind has not refused before the event.
    expect(Date.parse(first as string)).toBeGreaterThan(before * 1000)
    await say(guard, { caegis_applied: { epoch, seq }, caegis_refused: [[seq, Date.now() / 1000 + 3600]] })
    expect(await at()).toBe(first)
  })
})

/** Copies the database of a data folder, which nobody has open. @returns puts it back as it was */
async function keepStore(data: string): Promise<() => Promise<void>> {
  const { DATABASE_URL: url } = storeBeside(data)
  if (url === undefined) {
    const [file, copy] = [join(data, 'caegis.db'), join(data, 'backup.db')]
    copyFileSync(file, copy)
    return async () => {
      for (const suffix of ['', '-wal', '-shm']) rmSync(`${file}${suffix}`, { force: true })
      copyFileSync(copy, file)
    }
  }
  const [server, name] = [new URL('postgres', url).href, new URL(url).pathname.slice(1)]
  await query(server, `create database ${name}_kept template ${name}`)
  return async () => {
    await query(server, `drop database ${name}`)
    await query(server, `alter database ${name}_kept rename to ${name}`)
  }
}

describe('a log that was restored from an older copy', () => {
  it('B5: is noticed when a guard has applied more; what follows at a re-used position is applied and acted on by all', async () => {
    let said = ''
    const stderr = vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
      said += String(text)
      return true
    })
    ends.push(() => stderr.mockRestore())
    const folder = temporaryFolder()
    ends.push(folder.remove)
    const port = await freePort()
    const start = async () => {
      loop = await startLoop({
        ...{ tenant: SIGNALS_TENANT, data: folder.path, settings: { logLevel: 'warn' } },
        environment: { CAEGIS_PORT: String(port), CAEGIS_DIAL_ALLOW: 'localhost' },
      })
    }
    await start()
    const files = () => createReceiver(loop)
    const endpoint = await startEndpoint(folder.path)
    ends.push(endpoint.close)
    const poller = await files().create()
    const pusher = await files().create({ delivery: { method: PUSH_METHOD, endpoint_url: endpoint.url } })
    const guards: Guard[] = []
    for (let i = 0; i < 2; i++) {
      const guard = createGuard({ issuer: loop.issuer, audience: 'api://files', clientId: 'files-api', clientSecret: SECRET })
      ends.push(() => guard.close())
      guards.push(guard)
      await guard.ready()
    }
    await revoke('alice')
    await files().drain(poller)
    await eventually(
      () => endpoint.pushed.length,
      (count) => count === 1,
    )
    const behind = await loop.server.store.position(loop.tenant)
    await loop.server.close()
    const restore = await keepStore(folder.path)

    await start()
    for (const name of ['alice', 'alice', 'admin']) await revoke(name)
    const taken = [...(await files().drain(poller)), ...endpoint.pushed]
    const lost = await loop.server.store.position(loop.tenant)
    expect(lost).toMatchObject({ epoch: behind.epoch, seq: behind.seq + 3 })
    await eventually(
      () => [endpoint.pushed.length, ...guards.map((guard) => guard.status().head?.seq)],
      (all) => all[0] === 4 && all[1] === lost.seq && all[2] === lost.seq,
      'everybody hears',
    )
    await loop.server.close()
    await restore()

    await start()
    const token = await loop.person('bob').signIn()
    const renewed = await eventually(
      () => loop.server.store.position(loop.tenant),
      ({ epoch }) => epoch !== behind.epoch,
      'a new epoch',
    )
    await eventually(
      () => guards.map((guard) => guard.status()),
      (all) => all.every(({ inSync, head }) => inSync && head?.epoch === renewed.epoch),
      'both guards',
    )
    const lines = said
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    const alarms = lines.filter(({ level, message }) => level === 'error' && message.startsWith('a guard has applied more than the log holds'))
    expect(alarms[0]).toMatchObject({ applied: lost.seq, seq: behind.seq, receiver: 'files-api', renewed: true })

    for (const guard of guards) expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })
    const known = new Set([...taken, ...endpoint.pushed].map((set) => decodeJwt(set).jti))
    await revoke('bob')
    expect(await loop.server.store.position(loop.tenant)).toMatchObject({ seq: behind.seq + 1 })
    for (const guard of guards)
      await eventually(
        () => verdictOf(guard, token),
        ({ allowed }) => !allowed,
        'the refusal',
      )
    const bob = (set: string) =>
      JSON.stringify(decodeJwt(set).sub_id).includes(String(decodeJwt(token).oid)) && !known.has(decodeJwt(set).jti as string)
    expect((await files().drain(poller)).filter(bob)).toHaveLength(1)
    await eventually(
      () => endpoint.pushed.filter(bob).length,
      (count) => count === 1,
      'the push',
    )
    expect(await files().call('GET', `/status?stream_id=${pusher}`)).toMatchObject({ body: { status: 'enabled' } })
  })

  it('B5: whoever only says so makes the guards load a snapshot once, and not over and over', async () => {
    loop = await startLoop({ tenant: SIGNALS_TENANT })
    const files = createReceiver(loop)
    const liar = await files.create({ caegis: { subjects: 'complex', alg: 'ES256', guard: true } })
    const poller = await files.create()
    const epoch = async () => (await loop.server.store.position(loop.tenant)).epoch
    const first = await epoch()
    const say = async (id: string) => files.poll(id, { caegis_applied: { epoch: await epoch(), seq: 1_000_000 } })
    // Of a stream that is no guard's the word means nothing.
    await say(poller)
    expect(await epoch()).toBe(first)
    const { caegis_head: head } = await say(liar)
    const second = await epoch()
    expect(second).not.toBe(first)
    // It is answered with the log as it is now.
    expect(head.epoch).toBe(second)
    for (let i = 0; i < 3; i++) await say(liar)
    expect(await epoch()).toBe(second)
  })
})
