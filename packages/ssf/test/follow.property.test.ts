import fc from 'fast-check'
import { expect, it } from 'vitest'
import { createLoop, FAST, revoke, startGuard, truth, until } from './loop.ts'

type Step = { do: 'commit'; users: number[]; session: boolean; ago: number } | { do: 'pause' | 'enable' | 'restart' | 'expire' | 'rest' | 'restore' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('commit' as const),
      users: fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 4 }),
      session: fc.boolean(),
      ago: fc.integer({ min: 0, max: 50 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('pause', 'enable', 'restart', 'expire', 'rest') as fc.Arbitrary<'pause'> }) },
)

it('I1, I3: through lost requests and answers, restarts and pauses a guard ends as one that missed nothing, and is never called synced before', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 3, maxLength: 15 }),
      fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 5, maxLength: 40 }),
      async (steps, luck) => {
        const loop = createLoop({ limits: { hold: 0.02, maxEvents: 3, streams: 1000 } })
        let calls = 0
        let calm = false
        loop.intercept = async (_, next) => {
          const fate = luck[calls++ % luck.length] as number
          if (calm || fate > 3) return next()
          if (fate === 0) throw new TypeError('lost on the way')
          const response = await next()
          if (fate === 1) return new Response(null, { status: 502 })
          if (fate === 2) throw new TypeError('lost on the way back')
          return response
        }
        let guard = startGuard(loop, { maxEvents: 2, timing: { ...FAST, backoff: [1, 3] } })
        const early: string[] = []
        const watch = (one: typeof guard) => {
          // When it is told "synced up to n", the table must hold all that the rows up to n mean.
          const push = one.heads.push.bind(one.heads)
          one.heads.push = (head) => {
            for (const row of committed.slice(0, head.seq)) if (!one.table.has(row)) early.push(row)
            return push(head)
          }
        }
        const committed: string[] = []
        watch(guard)
        try {
          for (const one of steps) {
            const id = loop.store.streams().at(-1)?.id
            if (one.do === 'commit') {
              const t = Math.floor(Date.now() / 1000) - one.ago
              loop.store.commit(...one.users.map((user) => revoke(`u${user}`, { t, ...(one.session && { session: `s${user}` }) })))
              committed.push(...one.users.map((user) => (one.session ? `session s${user}` : `user u${user}`)))
            } else if (one.do === 'pause' && id) loop.store.setStatus(id, 'paused')
            else if (one.do === 'enable' && id) loop.store.setStatus(id, 'enabled')
            else if (one.do === 'expire' && id) await loop.store.deleteStream(id)
            else if (one.do === 'restart') {
              await guard.follower.close()
              guard = startGuard(loop, { maxEvents: 2, timing: { ...FAST, backoff: [1, 3] } })
              watch(guard)
            } else await new Promise((resolve) => setTimeout(resolve, 4))
          }
          calm = true
          for (const { id } of loop.store.streams()) loop.store.setStatus(id, 'enabled')
          const { seq } = await loop.store.head()
          await until(() => guard.told.at(-1) === 'synced' && guard.heads.at(-1)?.seq === seq && guard.follower.status().state === 'following')
          expect(guard.table).toEqual(await truth(loop.store))
          expect(early).toEqual([])
        } finally {
          calm = true
          await guard.follower.close()
        }
      },
    ),
    { numRuns: 40 },
  )
})
