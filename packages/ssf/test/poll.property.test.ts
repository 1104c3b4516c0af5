import fc from 'fast-check'
import { decodeJwt } from 'jose'
import { expect, it } from 'vitest'
import { createFilter } from '../src/transmitter/filter.ts'
import type { EventRow, StreamRecord } from '../src/transmitter/index.ts'
import { callerOf, createLoop, revoke } from './loop.ts'

const caller = callerOf()
const never = () => new AbortController().signal

type Step =
  | { do: 'commit'; whole: boolean[] }
  | { do: 'poll'; max: number; long: boolean; lost: boolean }
  /** Acknowledges some of what was received, chosen by bits, and repeats some old acknowledgements. */
  | { do: 'ack'; pick: number; again: boolean }
  | { do: 'later' }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('commit' as const), whole: fc.array(fc.boolean(), { minLength: 1, maxLength: 4 }) }),
  fc.record({ do: fc.constant('poll' as const), max: fc.integer({ min: 1, max: 4 }), long: fc.boolean(), lost: fc.boolean() }),
  fc.record({ do: fc.constant('ack' as const), pick: fc.integer({ min: 0, max: 255 }), again: fc.boolean() }),
  fc.constant({ do: 'later' as const }),
)

it.each(['plain', 'complex', 'guard'] as const)(
  'I3: %s streams deliver every matching row, first in log order, none after its acknowledgement',
  async (kind) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), fc.integer({ min: 3, max: 20 }), async (steps, window) => {
        let clock = 1e12
        const loop = createLoop({ now: () => clock, limits: { hold: 0.001, window } })
        // Signatures are not the matter here.
        loop.sign = async (payload) => `e30.${Buffer.from(JSON.stringify(payload)).toString('base64url')}.x`
        const body = kind === 'plain' ? {} : { caegis: { subjects: 'complex', guard: kind === 'guard' } }
        const id = ((await loop.transmitter.create(caller, body)).body as { stream_id: string }).stream_id
        const { epoch } = await loop.store.head()
        const rows: EventRow[] = []
        const sent: string[] = []
        const received = new Set<string>()
        const acked = new Set<string>()
        let applied = 0

        const poll = async (request: Record<string, unknown>, lost: boolean) => {
          const answer = await loop.transmitter.poll(
            caller,
            id,
            { ...request, ...(kind === 'guard' && { caegis_applied: { epoch, seq: applied } }) },
            never(),
          )
          const { sets, caegis_head: head } = answer.body as { sets: Record<string, string>; caegis_head: { seq: number } }
          for (const [jti, jwt] of Object.entries(sets)) {
            expect(acked.has(jti)).toBe(false)
            if (!sent.includes(jti)) sent.push(jti)
            if (lost) continue
            received.add(jti)
            const seq = decodeJwt(jwt).caegis_seq as number | undefined
            if (kind !== 'guard') expect(seq).toBeUndefined()
            else if (seq === applied + 1) applied = seq
          }
          return { size: Object.keys(sets).length, head: head.seq }
        }
        /** A guard's word is what it has applied; its acknowledgements only repeat that. */
        const finished = (jti: string) => kind !== 'guard' || rows.some((row) => `${row.id}.${id}` === jti && row.seq <= applied)

        for (const one of steps) {
          if (one.do === 'commit')
            rows.push(...loop.store.commit(...one.whole.map((whole, i) => revoke(`u${rows.length + i}`, whole ? {} : { session: 's' }))))
          else if (one.do === 'later') clock += 10_000
          else if (one.do === 'poll') await poll({ maxEvents: one.max, returnImmediately: !one.long }, one.lost)
          else {
            const picked = [...received].filter((jti, i) => finished(jti) && (one.again || !acked.has(jti)) && (one.pick >> (i % 8)) & 1)
            await loop.transmitter.poll(
              caller,
              id,
              {
                maxEvents: 0,
                returnImmediately: true,
                ack: [...picked, 'nonsense', `nonsense.${id}`],
                ...(kind === 'guard' && { caegis_applied: { epoch, seq: applied } }),
              },
              never(),
            )
            for (const jti of picked) acked.add(jti)
          }
        }
        // Quiet at last: whatever is left arrives, and acknowledging it ends it.
        for (let i = 0; i < 200; i++) {
          const fresh = [...received].filter((jti) => finished(jti) && !acked.has(jti))
          const request = { returnImmediately: true, maxEvents: 3, ack: fresh }
          for (const jti of fresh) acked.add(jti)
          const { size } = await poll(request, false)
          if (size === 0 && [...received].every((jti) => acked.has(jti))) break
        }
        const stream = loop.store.streams()[0] as StreamRecord
        const expected = rows.filter(createFilter(stream)).map((row) => `${row.id}.${id}`)
        expect([...received].sort()).toEqual([...expected].sort())
        expect(sent).toEqual(expected)
        expect((await poll({ returnImmediately: true }, false)).size).toBe(0)
        clock += 2000
        await poll({ returnImmediately: true }, false)
        expect(loop.store.streams()[0]).toMatchObject({ acked: rows.length, ackedAhead: [] })
      }),
      { numRuns: 120 },
    )
  },
)
