import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { createLiveHub, type Listener, type News, type Topic } from '../src/graph/live-hub.ts'
import type { LoopLook } from '../src/graph/signals.ts'
import type { SignIn } from '../src/logs/sign-in.ts'

const quiet = { debug() {}, info() {}, warn() {}, error() {} }
const ends: (() => void)[] = []
afterEach(() => {
  for (const end of ends.splice(0)) end()
})

/** A tenant of which a test says what happens. */
function world(every = 10) {
  const tenant = { seq: 1, backlog: 0, looks: 0, isAway: false, streams: new Map([['s1', 'enabled']]), records: new Map<string, SignIn>() }
  const waiters = new Set<() => void>()
  const stirrers = new Set<() => void>()
  const writers = new Set<(id: string) => void>()
  const watch =
    <T>(all: Set<T>) =>
    (one: T) => {
      all.add(one)
      return () => void all.delete(one)
    }
  const hub = createLiveHub({
    ...{ log: quiet, every, collect: 5 },
    signIns: { watch: watch(writers), read: async (ids) => ids.flatMap((id) => tenant.records.get(id) ?? []) },
    signals: {
      deliveries: { watch: watch(stirrers) } as never,
      streams: {
        head: async () => {
          if (tenant.isAway) throw new Error('the database is away')
          return { epoch: 'e', seq: tenant.seq, asOf: 1 }
        },
        async wait(after: number, signal: AbortSignal) {
          if (tenant.seq > after || signal.aborted) return
          await new Promise<void>((resolve) => {
            waiters.add(resolve)
            signal.addEventListener('abort', () => resolve(), { once: true })
          })
        },
      } as never,
      hops: {
        async look(): Promise<LoopLook> {
          tenant.looks++
          return { asOf: tenant.looks, windowMinutes: 60, hops: [{ backlog: tenant.backlog }], streams: new Map(tenant.streams) }
        },
      },
    },
  })
  return {
    tenant,
    hub,
    waiters,
    commit: () => {
      tenant.seq++
      for (const one of waiters) one()
      waiters.clear()
    },
    stir: () => {
      for (const one of stirrers) one()
    },
    write: (id: string, record?: Partial<SignIn>) => {
      if (record) tenant.records.set(id, { ...record, id } as SignIn)
      for (const one of writers) one(id)
    },
    heard: () => ({ stirrers: stirrers.size, writers: writers.size }),
    join: (...topics: Topic[]) => {
      const one = hub.join(new Set(topics))
      ends.push(one.leave)
      return one
    },
  }
}

/** What a listener hears until it is what is waited for. */
async function hear(listener: Listener, enough: (news: News) => boolean): Promise<News> {
  const over = AbortSignal.timeout(5000)
  while (!over.aborted) {
    const news = listener.take()
    if (enough(news)) return news
    await listener.news(over)
  }
  throw new Error('nothing of the kind was said')
}

describe('what live connections of a tenant share', () => {
  it('looks once, however many listen, says how things stand to whoever comes, and nothing twice', async () => {
    const { tenant, stir, join } = world()
    const first = join('loop')
    expect((await hear(first, ({ loop }) => loop !== undefined)).loop?.asOf).toBe(1)
    const looks = tenant.looks
    const others = Array.from({ length: 20 }, () => join('loop'))
    expect(tenant.looks).toBe(looks)
    for (const one of others) expect(one.take().loop).toBeDefined()
    // The same again is looked at, and not said: what is said next is the change.
    stir()
    await expect.poll(() => tenant.looks, { timeout: 20_000 }).toBeGreaterThan(1)
    expect(first.take().loop).toBeUndefined()
    tenant.backlog = 3
    stir()
    for (const one of [first, ...others]) expect((await hear(one, ({ loop }) => loop !== undefined)).loop?.hops).toEqual([{ backlog: 3 }])
  })

  it('looks again when nothing happens, as silence is a state too, and beats meanwhile', async () => {
    const { tenant, join } = world()
    const one = join('loop', 'streams')
    // Nothing happens, and it is looked again and again.
    await expect.poll(() => tenant.looks, { timeout: 20_000 }).toBeGreaterThan(3)
    tenant.streams.set('s1', 'enabled, silent')
    tenant.streams.set('s2', 'enabled')
    expect((await hear(one, ({ streams }) => streams.length > 0)).streams).toEqual(['s1', 's2'])
    expect((await hear(one, ({ beat }) => beat)).streams).toEqual([])
  })

  it('wakes who follows the log, and nobody else', async () => {
    const { waiters, commit, join } = world(60_000)
    const [one, other, deaf] = [join('events'), join('events'), join('signIns')]
    // One waits for all of them.
    await expect.poll(() => waiters.size, { timeout: 20_000 }).toBe(1)
    for (const each of [one, other, deaf]) each.take()
    let woken = false
    void deaf.news(AbortSignal.timeout(5000)).then(() => {
      woken = true
    })
    const told = [one, other].map((each) => each.news(AbortSignal.timeout(5000)))
    commit()
    await Promise.all(told)
    await expect.poll(() => waiters.size, { timeout: 20_000 }).toBe(1)
    expect(woken).toBe(false)
  })

  it('says a sign-in when it is committed, once more when it was completed, and none that never was', async () => {
    const { tenant, write, join } = world()
    const one = join('signIns')
    write('a')
    write('never')
    await pause(8)
    tenant.records.set('a', { id: 'a', code: 50074 } as SignIn)
    expect((await hear(one, ({ signIns }) => signIns.length > 0)).signIns).toEqual([{ id: 'a', code: 50074 }])
    write('a', { code: 0 })
    expect((await hear(one, ({ signIns }) => signIns.length > 0)).signIns).toEqual([{ id: 'a', code: 0 }])
    write('b', { code: 0 })
    expect((await hear(one, ({ signIns }) => signIns.length > 0)).signIns.map(({ id }) => id)).toEqual(['b'])
  })

  it('E9: keeps a bounded number for who does not listen, and says how many it missed', async () => {
    const { write, join } = world()
    const slow = join('signIns')
    const ids = Array.from({ length: 700 }, (_, index) => `id-${String(index).padStart(4, '0')}`)
    for (const id of ids) write(id, { code: 0 })
    const quick = join('signIns')
    write('last', { code: 0 })
    await hear(quick, ({ signIns }) => signIns.some(({ id }) => id === 'last'))
    const { signIns, missed } = slow.take()
    expect([signIns.length, missed]).toEqual([500, 201])
    expect(signIns.at(-1)?.id).toBe('last')
  })

  it('does nothing at all when nobody listens any more', async () => {
    const { tenant, heard, join, stir } = world()
    const one = join('loop', 'signIns')
    await hear(one, ({ loop }) => loop !== undefined)
    expect(heard()).toEqual({ stirrers: 1, writers: 1 })
    one.leave()
    expect(heard()).toEqual({ stirrers: 0, writers: 0 })
    const { looks } = tenant
    stir()
    await pause(60)
    expect(tenant.looks).toBe(looks)
    expect((await hear(join('loop'), ({ loop }) => loop !== undefined)).loop).toBeDefined()
  })

  it('goes on when the database is back, for whoever has listened all the time', async () => {
    const { tenant, join, commit } = world()
    const one = join('events')
    const next = async () => {
      const end = AbortSignal.timeout(15_000)
      await one.news(end)
      return end.aborted ? 'nothing' : 'news'
    }
    tenant.isAway = true
    commit()
    await pause(50)
    one.take()
    tenant.isAway = false
    await pause(50)
    one.take()
    commit()
    for (let beats = 0; beats < 100; beats++) {
      expect(await next()).toBe('news')
      // A beat says nothing of the log.
      if (!one.take().beat) return
    }
    expect.unreachable('it hears of beats alone')
  })
})
