import { EVENT } from '@caegis/protocol'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { PUSH_METHOD } from '../src/transmitter/index.ts'
import { callerOf, revoke } from './loop.ts'
import { accepted, createPushing, failing, type Pushing, quiet, refusing } from './pushing.ts'

const caller = callerOf()
const STREAMS = ['https://a.test/in', 'https://b.test/in']
const USERS = ['u0', 'u1', 'u2']

/** What a receiver does with the next SETs: `late` holds the answer back, and gives it whatever happened meanwhile. */
type Mood = 'accept' | 'fail' | 'drop' | 'refuse' | 'late'

type Step =
  | { do: 'commit'; users: number[] }
  | { do: 'status'; stream: number; status: 'enabled' | 'paused' | 'disabled'; own: boolean }
  | { do: 'mood'; stream: number; moods: Mood[] }
  | { do: 'answer'; pick: number }
  | { do: 'crash' }
  | { do: 'redeliver'; stream: number }
  | { do: 'later'; ms: number }

const stream = fc.integer({ min: 0, max: STREAMS.length - 1 })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('commit' as const), users: fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 4 }) }),
  },
  fc.record({
    do: fc.constant('status' as const),
    stream,
    status: fc.constantFrom('enabled' as const, 'paused' as const, 'disabled' as const),
    own: fc.boolean(),
  }),
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('mood' as const),
      stream,
      moods: fc.array(fc.constantFrom<Mood>('accept', 'fail', 'drop', 'refuse', 'late'), { minLength: 1, maxLength: 5 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('answer' as const), pick: fc.nat(9) }) },
  fc.constant({ do: 'crash' as const }),
  fc.record({ do: fc.constant('redeliver' as const), stream }),
  { weight: 2, arbitrary: fc.record({ do: fc.constant('later' as const), ms: fc.constantFrom(10, 150, 1000, 30_000) }) },
)

/** One stream as a simple machine: what must arrive, what may not, and in which order the receiver takes it in. */
interface Model {
  id: string
  status: 'enabled' | 'paused' | 'disabled'
  /** Committed while it was not disabled, and since then not dropped: must arrive, or end as a dead letter. */
  due: Set<string>
  /** Committed while disabled: must never arrive. */
  forbidden: Set<string>
  moods: Mood[]
  /** What the receiver took in, first time only, as a receiver that knows `jti`s does. */
  taken: { id: string; user: string; seq: number }[]
  seen: Set<string>
  refused: Set<string>
  /** The host has stopped it. */
  fixed: boolean
}

async function open(pushing: Pushing, url: string): Promise<Model> {
  const answer = await pushing.loop.transmitter.create(caller, { delivery: { method: PUSH_METHOD, endpoint_url: url } })
  const { stream_id: id } = answer.body as { stream_id: string }
  return { id, status: 'enabled', due: new Set(), forbidden: new Set(), moods: [], taken: [], seen: new Set(), refused: new Set(), fixed: false }
}

it('I3, B7: push loses nothing, sends nothing on a stopped stream, and keeps the order about each subject', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
      const pushing = createPushing({ pushLimits: { giveUpAfter: 1e7, perStream: 3, total: 4 } })
      const { transmitter, store } = pushing.loop
      const models = new Map<string, Model>()
      for (const url of STREAMS) models.set(url, await open(pushing, url))
      const all = [...models.values()]
      const seqs = new Map<string, number>()
      const held: (() => void)[] = []
      const violations: string[] = []
      let generation = 0

      pushing.respond = ({ url, claims, jti }) => {
        const model = models.get(url) as Model
        if (claims.events[EVENT.streamUpdated]) return accepted
        const id = jti.slice(0, -model.id.length - 1)
        // Thrown here it would be one more lost connection.
        if (model.status !== 'enabled') violations.push(`sent while ${model.status}`)
        if (model.forbidden.has(id)) violations.push('sent although it was dropped')
        const take = () => {
          if (model.seen.has(id)) return
          model.seen.add(id)
          model.taken.push({ id, user: claims.sub_id.sub, seq: seqs.get(id) as number })
        }
        switch (model.moods.shift() ?? 'accept') {
          case 'fail':
            return failing
          case 'drop':
            return Promise.reject(new Error('reset'))
          case 'refuse':
            // A receiver answers a repeated SET as it did the first time.
            if (model.seen.has(id)) return accepted
            model.refused.add(id)
            return refusing('invalid_request')
          case 'late': {
            take()
            const born = generation
            // After a crash nobody hears the answer.
            return new Promise((resolve, reject) => held.push(() => (born === generation ? resolve(accepted) : reject(new Error('gone')))))
          }
          default:
            take()
            return accepted
        }
      }
      const enter = (model: Model, status: Model['status']) => {
        if (status === 'disabled') {
          // What was not delivered by now may be dropped; what commits from here on must be.
          for (const id of model.due) if (!model.seen.has(id)) model.due.delete(id)
        }
        model.status = status
      }

      await quiet()
      for (const one of steps) {
        if (one.do === 'commit') {
          const rows = store.commit(...one.users.map((user) => revoke(USERS[user] as string)))
          for (const row of rows) {
            seqs.set(row.id, row.seq)
            for (const model of all) (model.status === 'disabled' ? model.forbidden : model.due).add(row.id)
          }
        } else if (one.do === 'status') {
          const model = all[one.stream] as Model
          if (!one.own && model.fixed) {
            expect((await transmitter.updateStatus(caller, { stream_id: model.id, status: one.status })).status).toBe(403)
            continue
          }
          if (one.status === 'enabled') enter(model, 'enabled')
          if (one.own) await transmitter.setStatus(model.id, one.status)
          else await transmitter.updateStatus(caller, { stream_id: model.id, status: one.status })
          enter(model, one.status)
          if (one.own) model.fixed = one.status !== 'enabled'
        } else if (one.do === 'mood') (all[one.stream] as Model).moods = [...one.moods]
        else if (one.do === 'answer') held.splice(one.pick % Math.max(1, held.length), 1)[0]?.()
        else if (one.do === 'crash') {
          generation++
          await pushing.crash()
        } else if (one.do === 'redeliver') {
          const model = all[one.stream] as Model
          const { queued } = await transmitter.redeliver(model.id)
          for (const id of queued) {
            model.refused.delete(id)
          }
        } else await pushing.advance(one.ms)
        await quiet()
      }
      // Quiet at last: everybody listens, and what was held back is answered.
      for (const model of all) {
        model.moods = []
        enter(model, 'enabled')
        await transmitter.setStatus(model.id, 'enabled')
      }
      for (let i = 0; i < 6; i++) {
        while (held.length > 0) held.shift()?.()
        await pushing.advance(120_000)
      }
      expect(violations).toEqual([])
      for (const model of all) {
        const dead = new Set((await transmitter.deadLetters(model.id)).map(({ id }) => id))
        for (const id of model.due) expect(model.seen.has(id) || dead.has(id)).toBe(true)
        // Only what was refused is dead.
        for (const id of dead) expect(model.seen.has(id)).toBe(false)
        for (const user of USERS) {
          const order = model.taken.filter((one) => one.user === user).map(({ seq }) => seq)
          expect(order).toEqual([...order].sort((a, b) => a - b))
        }
        const record = store.streams().find(({ id }) => id === model.id)
        expect(record).toMatchObject({ acked: seqs.size, ackedAhead: [] })
      }
      await pushing.pusher.close()
    }),
    { numRuns: 150 },
  )
})
