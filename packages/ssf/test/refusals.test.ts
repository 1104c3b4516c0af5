import { afterEach, describe, expect, it } from 'vitest'
import { createRefusals } from '../src/receiver/refusals.ts'
import type { Caller } from '../src/transmitter/index.ts'
import { callerOf, createLoop, type Loop, revoke, startGuard, until } from './loop.ts'

const running: { close(): Promise<void> }[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.close()))
})

const guardOf = async (loop: Loop, options: Parameters<typeof startGuard>[1] = {}) => {
  const guard = startGuard(loop, options)
  running.push(guard.follower)
  await until(() => guard.heads.length > 0)
  return guard
}
/** A guard whose polls are held for longer than any test waits. */
const held = async () => {
  const loop = createLoop({ maxStaleness: 300, limits: { hold: 60 } })
  return { loop, ...(await guardOf(loop, { waitSeconds: 60 })) }
}
const told = (loop: Loop) => loop.requests.flatMap(({ body }) => (body?.caegis_refused as [number, number][] | undefined) ?? [])
const recorded = (loop: Loop) => loop.store.deliveries().filter(({ state }) => state === 'refused')

describe('first refusals on their way', () => {
  it('are told once, soon, beside the poll that is held', async () => {
    const { loop, follower, heads } = await held()
    const [row] = loop.store.commit(revoke('alice'))
    await until(() => heads.at(-1)?.seq === 1)
    const at = Date.now() / 1000
    follower.refused(1, at)
    await until(() => recorded(loop).length > 0)
    expect(recorded(loop)).toMatchObject([{ seq: 1, txn: row?.txn, at, jti: expect.stringContaining(`${row?.id}.`) }])
    expect(told(loop)).toEqual([[1, at]])
    loop.store.commit(revoke('bob'))
    await until(() => heads.at(-1)?.seq === 2)
    expect(told(loop)).toHaveLength(1)
  })

  it('go in portions of a hundred, and those that were not delivered go again', async () => {
    const loop = createLoop()
    const { follower, heads } = await guardOf(loop)
    loop.store.commit(...Array.from({ length: 250 }, () => revoke('alice')))
    await until(() => heads.at(-1)?.seq === 250)
    let broken = true
    loop.intercept = ({ body }, next) => (broken && body?.caegis_refused ? Promise.reject(new TypeError('reset')) : next())
    for (let seq = 1; seq <= 250; seq++) follower.refused(seq, 1)
    await until(() => told(loop).length > 0)
    expect(recorded(loop)).toEqual([])
    broken = false
    await until(() => new Set(recorded(loop).map(({ seq }) => seq)).size === 250)
    for (const { body } of loop.requests) expect(((body?.caegis_refused as unknown[] | undefined) ?? []).length).toBeLessThanOrEqual(100)
  })

  it('are not told to another log than the one in which they happened', async () => {
    const loop = createLoop()
    const { follower, heads } = await guardOf(loop)
    loop.store.commit(revoke('alice'), revoke('bob'))
    await until(() => heads.at(-1)?.seq === 2)
    let broken = true
    loop.intercept = ({ body }, next) => (broken && body?.caegis_refused ? Promise.reject(new TypeError('reset')) : next())
    follower.refused(2, 1)
    await until(() => told(loop).length > 0)
    loop.store.restore(0)
    loop.store.commit(revoke('carol'), revoke('dave'))
    broken = false
    const { epoch } = await loop.store.head()
    await until(() => heads.at(-1)?.epoch === epoch)
    const seen = loop.requests.length
    await until(() => loop.requests.length > seen + 1)
    expect(recorded(loop)).toEqual([])
  })

  it('are not told to another log either when they were on their way as it was replaced', async () => {
    const { loop, follower, heads } = await held()
    loop.store.commit(revoke('alice'))
    await until(() => heads.at(-1)?.seq === 1)
    let fail: ((reason: unknown) => void) | undefined
    loop.intercept = ({ body }, next) => {
      if (!body?.caegis_refused || fail) return next()
      return new Promise((_, reject) => {
        fail = reject
      })
    }
    follower.refused(1, 1)
    await until(() => fail !== undefined)
    loop.store.restore(0)
    loop.store.commit(revoke('carol'))
    const { epoch } = await loop.store.head()
    await until(() => heads.at(-1)?.epoch === epoch)
    fail?.(new TypeError('reset'))
    loop.store.commit(revoke('dave'))
    await until(() => heads.at(-1)?.seq === 2)
    follower.refused(2, 1)
    await until(() => recorded(loop).length > 0)
    expect(recorded(loop).map(({ seq }) => seq)).toEqual([2])
  })

  it('are never told to a transmitter of selected events', async () => {
    const loop = createLoop()
    const guard = startGuard(loop, { stream: { subjects: 'simple', alg: 'RS256', guard: false } })
    running.push(guard.follower)
    loop.store.commit(revoke('alice'))
    await until(() => guard.follower.status().stream !== undefined)
    guard.follower.refused(1, 1)
    const seen = loop.requests.length
    await until(() => loop.requests.length > seen + 2)
    expect(told(loop)).toEqual([])
  })

  it('wait in a bounded number', () => {
    const refusals = createRefusals()
    for (let seq = 1; seq <= 1500; seq++) refusals.add(seq, 1)
    expect(refusals.size).toBe(1000)
    const some = refusals.take()
    expect(some).toHaveLength(100)
    refusals.putBack(some)
    expect(refusals.take()).toEqual(some)
    refusals.clear()
    expect(refusals.take()).toEqual([])
  })
})

describe('a guard that is ahead of the log', () => {
  const caller: Caller = callerOf()
  it('B5: is reported to the host before it is answered, and answered with the log of then', async () => {
    const reports: object[] = []
    const loop: Loop = createLoop({
      transmitter: {
        async onAhead(report) {
          reports.push(report)
          await new Promise((resolve) => setTimeout(resolve, 5))
          loop.store.restore(report.head.seq)
        },
      },
    })
    const { body } = await loop.transmitter.create(caller, {
      delivery: { method: 'urn:ietf:rfc:8936' },
      caegis: { guard: true, subjects: 'complex', alg: 'ES256' },
    })
    const { stream_id: id } = body as { stream_id: string }
    loop.store.commit(revoke('alice'))
    const { epoch } = await loop.store.head()
    const poll = async (applied: object) => {
      const answer = await loop.transmitter.poll(caller, id, { returnImmediately: true, caegis_applied: applied }, new AbortController().signal)
      return (answer.body as { caegis_head: { epoch: string } }).caegis_head.epoch
    }
    expect(await poll({ epoch, seq: 1 })).toBe(epoch)
    expect(reports).toEqual([])
    const renewed = await poll({ epoch, seq: 2 })
    expect(renewed).not.toBe(epoch)
    expect(reports).toMatchObject([{ stream: id, receiver: 'files-api', claimed: { epoch, seq: 2 }, head: { epoch, seq: 1 } }])
    // Of another log than this one, it is just late.
    expect(await poll({ epoch, seq: 2 })).toBe(renewed)
    expect(reports).toHaveLength(1)
  })
})
