import { EVENT } from '@caegis/protocol'
import { afterEach, describe, expect, it } from 'vitest'
import { isLive, type StreamRecord, type TransmitterStore } from '../src/transmitter/index.ts'
import { createLoop, revoke } from './loop.ts'
import { accepted, createPushing, failing, type Pushing, quiet } from './pushing.ts'
import { caller, GUARD, make, never, type Polled, poll, record, users } from './streams.ts'

const HOUR = 3_600_000
const MINUTE = 60_000

/** As a store does that several servers write to: it keeps the most that any of them has said. */
function keepsMost(store: TransmitterStore): TransmitterStore {
  return {
    ...store,
    async saveProgress(id, progress, epoch) {
      const known = await store.getStream(id)
      const seenAt = Math.max(known?.seenAt ?? 0, progress.seenAt ?? 0)
      const applied = known?.applied && (progress.applied?.asOf ?? 0) < known.applied.asOf ? known.applied : progress.applied
      await store.saveProgress(id, { ...progress, seenAt, ...(applied && { applied }) }, epoch)
    },
  }
}

/** A loop whose clock can be set, and guards of it. */
function begin(wrap: (store: TransmitterStore) => TransmitterStore = keepsMost) {
  let clock = 1e12
  const transmitter = { inactivityTimeout: 600, guardInactivityTimeout: 300 }
  const loop = createLoop({ now: () => clock, wrap, transmitter, limits: { hold: 0.02 } })
  return {
    loop,
    async guard(): Promise<string> {
      const { stream_id } = await make(loop, GUARD)
      for await (const _ of (await loop.transmitter.snapshot(caller, stream_id)).body as AsyncIterable<string>);
      return stream_id
    },
    async apply(id: string) {
      await poll(loop, id, { caegis_applied: await loop.store.head() })
    },
    async live(id: string): Promise<boolean> {
      return isLive(record(loop, id), clock / 1000, 30, (await loop.store.head()).epoch)
    },
    async held(id: string, body = {}): Promise<(string | undefined)[]> {
      return users((await loop.transmitter.poll(caller, id, body, never())).body as unknown as Polled)
    },
    pass(milliseconds: number) {
      clock += milliseconds
    },
    time: () => clock / 1000,
  }
}

describe('a clock that was ahead and is set right', () => {
  it('I5: a guard that died meanwhile is not live', async () => {
    const { guard, apply, live, pass } = begin()
    const id = await guard()
    await apply(id)
    expect(await live(id)).toBe(true)
    pass(HOUR)
    await apply(id)
    expect(await live(id)).toBe(true)
    pass(-HOUR)
    expect(await live(id)).toBe(false)
    pass(MINUTE)
    expect(await live(id)).toBe(false)
  })

  it('I5: readings of the clock may differ by a moment', async () => {
    const { guard, apply, live, pass } = begin()
    const id = await guard()
    await apply(id)
    pass(-900)
    expect(await live(id)).toBe(true)
  })

  it('I5: a guard that polls on is live again with its first poll after a round of tidy', async () => {
    const { loop, guard, apply, live, pass } = begin()
    const id = await guard()
    pass(HOUR)
    await apply(id)
    pass(-HOUR)
    expect(await loop.transmitter.tidy()).toEqual({ silent: [], lagging: [] })
    expect(await live(id)).toBe(false)
    pass(1000)
    await apply(id)
    expect(await live(id)).toBe(true)
  })

  it('I5: what a guard has applied is kept with the beginning of its next poll, however soon that follows', async () => {
    const { loop, guard, pass, held, time } = begin((store) => store)
    const id = await guard()
    pass(HOUR)
    const { epoch, seq } = await loop.store.head()
    const first = held(id, { caegis_applied: { epoch, seq } })
    await new Promise((resolve) => setTimeout(resolve, 5))
    pass(-HOUR)
    await first
    await held(id, { caegis_applied: { epoch, seq } })
    expect(record(loop, id).applied?.asOf).toBe(time())
  })

  it('who went silent meanwhile is ended as long after as otherwise; who is there is not', async () => {
    const { loop, guard, apply, pass } = begin()
    const { tidy } = loop.transmitter
    const [dead, there] = [await guard(), await guard()]
    const [gone, asks] = [(await make(loop)).stream_id, (await make(loop)).stream_id]
    pass(HOUR)
    for (const id of [dead, there]) await apply(id)
    for (const id of [gone, asks]) await poll(loop, id)
    pass(-HOUR)
    for (let minute = 0; minute <= 10; minute++) {
      const { silent } = await tidy()
      expect(silent).toEqual(minute === 6 ? [dead] : [])
      pass(MINUTE)
      await apply(there)
      await poll(loop, asks)
    }
    expect((await tidy()).silent).toEqual([gone])
  })

  it('says "still here" by the right time at once', async () => {
    const { loop, pass, time } = begin((store) => store)
    const { stream_id } = await make(loop)
    pass(HOUR)
    await poll(loop, stream_id)
    pass(-HOUR)
    await poll(loop, stream_id)
    expect(record(loop, stream_id).seenAt).toBe(time())
  })

  it('a SET whose answer was lost meanwhile is handed out again, and what follows it about the same subject', async () => {
    const { loop, pass, held } = begin()
    const { stream_id } = await make(loop)
    pass(HOUR)
    loop.store.commit(revoke('alice'))
    expect(await held(stream_id)).toEqual(['alice'])
    pass(11_000 - HOUR)
    loop.store.commit(revoke('alice'))
    expect(await held(stream_id)).toEqual(['alice', 'alice'])
    // And not again at once.
    expect(await held(stream_id)).toEqual([])
  })
})

describe('push, while the clock is set', () => {
  let running: Pushing | undefined
  afterEach(() => running?.pusher.close())

  async function startFailing() {
    const pushing = createPushing()
    running = pushing
    const id = await pushing.open('https://a.test/in')
    pushing.respond = () => failing
    pushing.loop.store.commit(revoke('alice'))
    await pushing.advance(1000)
    return { pushing, stream: () => pushing.loop.store.streams().find((one) => one.id === id) as StreamRecord }
  }

  it('I3: what fails while it is ahead is tried again as soon as otherwise', async () => {
    const { pushing, stream } = await startFailing()
    pushing.setClock(HOUR)
    await pushing.advance(5000)
    pushing.setClock(0)
    pushing.respond = () => accepted
    await pushing.advance(MINUTE)
    expect(stream()).toMatchObject({ status: 'enabled', acked: 1 })
    expect(Object.keys(pushing.arrivals.at(-1)?.claims.events)).toEqual([EVENT.sessionRevoked])
  })

  it('I3: an hour that did not pass is no hour of failures', async () => {
    const { pushing, stream } = await startFailing()
    pushing.setClock(2 * HOUR)
    await pushing.advance(MINUTE)
    expect(stream().status).toBe('enabled')
    pushing.setClock(0)
    await pushing.advance(HOUR)
    expect(stream()).toMatchObject({ status: 'paused', statusReason: 'delivery fails: http 503' })
  })

  it('what is shown is the time of the wall clock', async () => {
    const { pushing } = await startFailing()
    await quiet()
    const [before] = pushing.pusher.status()
    pushing.setClock(HOUR)
    const [ahead] = pushing.pusher.status()
    expect(before).toMatchObject({ failures: expect.any(Number), failingSince: 1e12 })
    expect(before?.retryAt).toBeGreaterThan(pushing.now() - HOUR)
    expect([ahead?.failingSince, ahead?.retryAt]).toEqual([1e12 + HOUR, (before?.retryAt ?? 0) + HOUR])
  })
})
