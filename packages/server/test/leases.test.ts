import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLog } from '../src/log.ts'
import { createLeaseFile } from '../src/store/lease-file.ts'
import { createLeaseTable } from '../src/store/lease-table.ts'
import { createLeases, type LeaseKeeper, type Leases } from '../src/store/leases.ts'
import type { Store } from '../src/store/store.ts'
import { openStore } from './open-store.ts'

const log = createLog('silent')
const LASTS = 5000
let now: number
let store: Store
const ending: { close(): Promise<void> }[] = []
beforeEach(async () => {
  now = 1_700_000_000_000
  store = await openStore({ file: ':memory:', now: () => now, log })
})
afterEach(async () => {
  for (const one of ending.splice(0)) await one.close()
  await store.close()
})

const sorted = (names: ReadonlySet<string>) => [...names].sort()
const until = (right: () => boolean) => expect.poll(right, { timeout: 20_000, interval: 5 }).toBe(true)

describe('who holds what, over one database', () => {
  const node = () => createLeaseTable({ store, log, lasts: LASTS })

  it('is one node for each name, and the others get it at once when it is given back', async () => {
    const [a, b] = [node(), node()]
    expect(sorted(await a.keep(['push', 'fleet']))).toEqual(['fleet', 'push'])
    expect(sorted(await b.keep(['push', 'ldap']))).toEqual(['ldap'])
    expect(sorted(await a.keep(['fleet']))).toEqual(['fleet'])
    expect(sorted(await b.keep(['push', 'ldap', 'fleet']))).toEqual(['ldap', 'push'])
    await a.end()
    expect(sorted(await b.keep(['push', 'ldap', 'fleet']))).toEqual(['fleet', 'ldap', 'push'])
  })

  it('a database that took over and gave it to somebody else is believed, whatever was known before', async () => {
    const [a, b] = [node(), node()]
    expect(sorted(await a.keep(['push', 'fleet']))).toEqual(['fleet', 'push'])
    expect(sorted(await b.keep(['push']))).toEqual([])
    const { holder } = await store.db.selectFrom('leases').select('holder').where('name', '=', 'push').executeTakeFirstOrThrow()
    const { id } = await store.db.selectFrom('nodes').select('id').where('id', '!=', holder).executeTakeFirstOrThrow()
    await store.db.updateTable('leases').set({ holder: id }).where('name', '=', 'push').execute()
    expect(sorted(await a.keep(['push', 'fleet']))).toEqual(['fleet'])
    expect(sorted(await b.keep(['push']))).toEqual(['push'])
    expect(sorted(await a.keep(['push', 'fleet']))).toEqual(['fleet'])
  })

  it('whoever asks first, exactly one of many has it', async () => {
    const names = Array.from({ length: 300 }, (_, i) => `name ${i}`)
    const nodes = Array.from({ length: 8 }, node)
    const kept = await Promise.all(nodes.map((one, i) => one.keep(names.slice(i))))
    expect(kept.flatMap(sorted).sort()).toEqual([...names].sort())
  })

  it('a node that renews keeps everything by one row; one that is dead for as long as a lease lasts loses it, and not before', async () => {
    const [a, b] = [node(), node()]
    await a.keep(['push', 'fleet'])
    for (let i = 0; i < 5; i++) {
      now += LASTS - 1
      expect((await a.keep(['push', 'fleet'])).size).toBe(2)
      expect((await b.keep(['push'])).size).toBe(0)
    }
    now += LASTS - 1
    expect((await b.keep(['push'])).size).toBe(0)
    now += 1
    expect(sorted(await b.keep(['push']))).toEqual(['push'])
    // It was only slow: what it did under the old lease ends before it begins anything.
    expect(sorted(await a.keep(['push', 'fleet']))).toEqual([])
    expect(sorted(await a.keep(['push', 'fleet']))).toEqual(['fleet'])
    expect(sorted(await b.keep(['push']))).toEqual(['push'])
  })

  it('a node that was taken for dead is told so, even when nobody wanted what it had', async () => {
    const [a, b] = [node(), node()]
    await a.keep(['push'])
    await b.keep([])
    now += LASTS
    await b.keep([])
    expect(sorted(await a.keep(['push']))).toEqual([])
    expect(sorted(await a.keep(['push']))).toEqual(['push'])
  })

  it('A4: a clock that was set back an hour does not make a dead node live for an hour', async () => {
    const [a, b] = [node(), node()]
    await a.keep(['push'])
    now -= 3_600_000
    expect((await b.keep(['push'])).size).toBe(0)
    now += LASTS - 1
    expect((await b.keep(['push'])).size).toBe(0)
    now += 1
    expect((await b.keep(['push'])).size).toBe(1)
  })

  it('A4: a clock that was set forward costs nothing as long as nobody has taken anything', async () => {
    const [a, b] = [node(), node()]
    await a.keep(['push'])
    now += 3_600_000
    expect((await a.keep(['push'])).size).toBe(1)
    expect((await b.keep(['push'])).size).toBe(0)
  })

  it('after a commit whose answer was lost, it asks what it has', async () => {
    let lost = false
    const a = createLeaseTable({
      ...{ log, lasts: LASTS },
      store: {
        ...store,
        async transaction(lock, work) {
          const result = await store.transaction(lock, work)
          if (lost) throw new Error('the connection broke')
          return result
        },
      },
    })
    const b = node()
    await a.keep(['push', 'fleet'])
    lost = true
    await expect(a.keep(['fleet', 'ldap'])).rejects.toThrow()
    lost = false
    // The lost one gave push back, and took ldap.
    expect(sorted(await b.keep(['push', 'fleet', 'ldap']))).toEqual(['push'])
    expect(sorted(await a.keep(['push', 'fleet']))).toEqual(['fleet'])
    expect(sorted(await b.keep(['push', 'ldap']))).toEqual(['ldap', 'push'])
  })

  it('every node can read what the holder says of its work, until somebody else holds it', async () => {
    const [a, b] = [node(), node()]
    await a.keep(['push'])
    await a.tell(new Map([['push', '"busy"']]))
    // Not its own to tell of.
    await b.tell(new Map([['push', '"idle"']]))
    expect(await b.reportOf('push')).toBe('"busy"')
    now += LASTS
    await b.keep(['push'])
    expect(await a.reportOf('push')).toBeUndefined()
  })
})

describe('what is done under a lease', () => {
  /** Hands out what it is told to. */
  function createKeeper(lasts: number) {
    const state = { free: new Set<string>(), asked: 0, stuck: undefined as Promise<void> | undefined, ended: false, broken: false }
    const keeper: LeaseKeeper = {
      lasts,
      async keep(wanted) {
        state.asked++
        await state.stuck
        if (state.broken) throw new Error('no database')
        return new Set(wanted.filter((name) => state.free.has(name)))
      },
      tell: async () => {},
      reportOf: async () => '"elsewhere"',
      wait: (signal) => new Promise((resolve) => (signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve()))),
      async end() {
        state.ended = true
      },
    }
    return { state, keeper }
  }
  const leasesOf = (keeper: LeaseKeeper): Leases => {
    const leases = createLeases({ keeper, log })
    ending.push(leases)
    return leases
  }
  /** Work whose end can be held back. */
  function createWork() {
    const said: string[] = []
    const gate = { open: Promise.resolve() }
    const begin = () => {
      said.push('begun')
      return {
        async close() {
          said.push('closing')
          await gate.open
          said.push('over')
        },
        report: () => ({ here: true }),
      }
    }
    return { said, gate, begin }
  }

  it('begins when the lease is here, ends when it is gone, and begins again only after it has ended', async () => {
    const { state, keeper } = createKeeper(30)
    const { said, gate, begin } = createWork()
    const held = leasesOf(keeper).hold('push', begin)
    await until(() => state.asked > 1)
    expect(said).toEqual([])
    expect(await held.report()).toBe('elsewhere')
    state.free.add('push')
    await until(() => said.length === 1)
    expect(await held.report()).toEqual({ here: true })
    const opened = Promise.withResolvers<void>()
    gate.open = opened.promise
    state.free.clear()
    await until(() => said.includes('closing'))
    state.free.add('push')
    const { asked } = state
    await until(() => state.asked > asked + 2)
    expect(said).toEqual(['begun', 'closing'])
    opened.resolve()
    await until(() => said.length === 4)
    expect(said).toEqual(['begun', 'closing', 'over', 'begun'])
  })

  it.each(['does not answer', 'fails'])('ends while it is still ours when the database %s, and goes on when it is back', async (how) => {
    const { state, keeper } = createKeeper(400)
    const { said, begin } = createWork()
    state.free.add('push')
    leasesOf(keeper).hold('push', begin)
    await until(() => said.length === 1)
    const back = Promise.withResolvers<void>()
    state.stuck = back.promise
    state.broken = how === 'fails'
    if (how === 'fails') back.resolve()
    const { asked } = state
    await until(() => state.asked > asked)
    // From here on somebody else may have it: the renewal that did not come through was asked for by now.
    await new Promise((resolve) => setTimeout(resolve, 400))
    expect(said).toEqual(['begun', 'closing', 'over'])
    state.broken = false
    back.resolve()
    await until(() => said.length === 4)
  })

  it('what could not be begun is tried again', async () => {
    const { state, keeper } = createKeeper(30)
    state.free.add('push')
    let tries = 0
    leasesOf(keeper).hold('push', () => {
      if (tries++ === 0) throw new Error('not yet')
      return { close: async () => {} }
    })
    await until(() => tries === 2)
  })

  it('close ends the work before the lease is given back', async () => {
    const [a, b] = [createLeaseTable({ store, log, lasts: LASTS }), createLeaseTable({ store, log, lasts: LASTS })]
    const [one, two] = [createWork(), createWork()]
    const first = leasesOf(a)
    const held = first.hold('push', one.begin)
    await until(() => one.said.length === 1)
    const second = leasesOf(b)
    second.hold('push', two.begin)
    const opened = Promise.withResolvers<void>()
    one.gate.open = opened.promise
    const closed = held.close()
    await until(() => one.said.includes('closing'))
    expect(sorted(await b.keep(['push']))).toEqual([])
    opened.resolve()
    await closed
    await until(() => two.said.length === 1)
    expect(one.said).toEqual(['begun', 'closing', 'over'])
    const third = leasesOf(createLeaseTable({ store, log, lasts: LASTS }))
    const last = createWork()
    third.hold('push', last.begin)
    await second.close()
    await until(() => last.said.length === 1)
    expect(two.said).toEqual(['begun', 'closing', 'over'])
  })

  it('a name is held once', () => {
    const leases = leasesOf(createKeeper(30).keeper)
    leases.hold('push', createWork().begin)
    expect(() => leases.hold('push', createWork().begin)).toThrow(TypeError)
  })
})

describe('the lock of the embedded database', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'caegis-lease-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('is held by one server, which has everything at once; the next one has it when that ends', async () => {
    const [a, b] = [createLeaseFile(join(folder, 'lock')), createLeaseFile(join(folder, 'lock'))]
    expect(sorted(await a.keep(['push', 'fleet']))).toEqual(['fleet', 'push'])
    expect(sorted(await b.keep(['push']))).toEqual([])
    expect(sorted(await a.keep(['push']))).toEqual(['push'])
    await a.end()
    expect(sorted(await b.keep(['push']))).toEqual(['push'])
    await b.end()
  })

  it('is free at once when its process is killed', async () => {
    const file = join(folder, 'lock')
    const program = `const { createLeaseFile } = await import(${JSON.stringify(import.meta.resolve('../src/store/lease-file.ts'))})
      const kept = await createLeaseFile(${JSON.stringify(file)}).keep(['push'])
      process.stdout.write(String(kept.size)); setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
    const said = await new Promise((resolve) => child.stdout.once('data', (data) => resolve(String(data))))
    expect(said).toBe('1')
    const next = createLeaseFile(file)
    expect((await next.keep(['push'])).size).toBe(0)
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
    expect((await next.keep(['push'])).size).toBe(1)
    await next.end()
  })
})
