import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { lookAgain, writeSignals } from '../src/access/second-look.ts'
import { createLog } from '../src/log.ts'
import { createLiving, policy, START, TENANT } from './living.ts'

const GROUPS = ['finance', 'sales']
const USERS = ['alice', 'bob', 'carol']
const RESOURCES = ['files', 'mail']
const ADDRESSES = ['203.0.113.7', '198.51.100.7']
const OFFICE = [{ id: 'office', ranges: ['198.51.100.0/24'] }]
const log = createLog('silent')

type Step =
  | { kind: 'mint'; user: string; session: number; resource: string; address: string }
  | { kind: 'policies'; policies: object[] }
  | { kind: 'join'; user: string; group: string }
  | { kind: 'work'; batch: number }

const some = <T>(values: readonly T[]) => fc.subarray([...values], { minLength: 1 })
const controls = fc.constantFrom(
  { grantControls: { operator: 'OR', builtInControls: ['block'] } },
  { grantControls: { operator: 'OR', builtInControls: ['mfa'] } },
  { sessionControls: { signInFrequency: { isEnabled: true, value: 6, type: 'hours', frequencyInterval: 'timeBased' } } },
)
const one = fc
  .record({
    users: fc.oneof(
      fc.constant({ includeUsers: ['All'] }),
      some(GROUPS).map((includeGroups) => ({ includeGroups })),
      some(USERS).map((includeUsers) => ({ includeUsers })),
    ),
    applications: some(RESOURCES).map((includeApplications) => ({ includeApplications })),
    locations: fc.option(fc.constantFrom({ includeLocations: ['All'], excludeLocations: ['office'] }, { includeLocations: ['office'] }), {
      nil: undefined,
    }),
    controls,
  })
  .map(({ controls: what, locations, ...conditions }) => ({ conditions: { ...conditions, ...(locations ? { locations } : {}) }, ...what }))
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('mint' as const),
      ...{ user: fc.constantFrom(...USERS), session: fc.nat(1), resource: fc.constantFrom(...RESOURCES), address: fc.constantFrom(...ADDRESSES) },
    }),
  },
  {
    weight: 2,
    arbitrary: fc.array(one, { maxLength: 3 }).map((all) => ({ kind: 'policies' as const, policies: all.map((given, i) => policy(`p${i}`, given)) })),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('join' as const), user: fc.constantFrom(...USERS), group: fc.constantFrom(...GROUPS) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('work' as const), batch: fc.integer({ min: 1, max: 4 }) }) },
)

interface Token {
  sid: string
  user: string
  resource: string
  address: string
  iat: number
  /** Some edit since has made another decision of it. */
  touched: boolean
}

describe('B12: whatever is edited, in whatever order', () => {
  it('who would not be let in any more is cut off; who would be decided as before, or has been since, is not', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 6, maxLength: 30, size: 'max' }), async (steps) => {
        const living = await createLiving(USERS.map((id) => ({ id })))
        const { db } = living.store
        try {
          const tokens: Token[] = []
          const members = new Set<string>()
          /** What each token's decision would be now, by the engine alone. */
          const decided = async () => {
            const { set } = await living.book.current()
            const rows = tokens.map(({ sid, user, resource, address, iat }) => {
              const brought = { application: resource, contexts: [], address, flow: 'none', clientAppType: 'browser', proof: PROOF } as const
              return { ...EMPTY, id: '', user_id: user, sid, resource, signals: writeSignals(brought, iat) }
            })
            return lookAgain(db, TENANT, set, rows, living.clock.seconds, log)
          }
          const edit = async (work: () => Promise<unknown>) => {
            const before = await decided()
            await work()
            const after = await decided()
            for (const [i, token] of tokens.entries()) token.touched ||= before[i]?.fingerprint !== after[i]?.fingerprint
          }
          let last = 0
          for (const taken of steps) {
            living.clock.seconds += 1
            if (taken.kind === 'mint') {
              const { user, session, resource, address } = taken
              const sid = `${user}${session}`
              const iat = living.clock.seconds
              if (await living.mint({ sid, user, resource, brought: { address, proof: PROOF } }))
                tokens.push({ sid, user, resource, address, iat, touched: false })
            } else if (taken.kind === 'work') await living.worker({ batch: taken.batch }).run()
            else {
              if (taken.kind === 'join' && members.has(`${taken.user} ${taken.group}`)) continue
              last = living.clock.seconds
              if (taken.kind === 'policies') await edit(() => living.policies(taken.policies, OFFICE))
              else {
                members.add(`${taken.user} ${taken.group}`)
                await edit(() => living.join(taken.group, taken.user))
              }
            }
          }
          await living.worker().run()

          const sessions = new Map((await db.selectFrom('sessions').selectAll().execute()).map((row) => [row.id, row]))
          const cutoffs = new Map((await db.selectFrom('cutoffs').selectAll().execute()).map((row) => [`${row.id} ${row.depth}`, row.t]))
          const told = (await living.events()).flatMap(({ payload }) => payload.cutoffs as [string, string, number, string, number][])
          const now = await decided()
          for (const [i, { sid, iat }] of tokens.entries()) {
            const row = sessions.get(sid)
            if (now[i]?.outcome !== 'allow') expect(row?.access_from ?? 0, sid).toBeGreaterThanOrEqual(iat)
            if (iat > last) expect(Math.max(row?.access_from ?? 0, row?.claims_from ?? 0), sid).toBeLessThan(iat)
          }
          for (const [sid, row] of sessions) {
            const its = tokens.filter((token) => token.sid === sid)
            if (its.every(({ touched }) => !touched)) expect([row.access_from, row.claims_from], sid).toEqual([0, 0])
            // The row, the table that guards hydrate from, and the log say the same.
            for (const [depth, from] of [
              ['access', row.access_from],
              ['claims', row.claims_from],
            ] as const) {
              expect(cutoffs.get(`${sid} ${depth}`) ?? 0).toBe(from)
              const rows = told.filter((one) => one[1] === sid && one[3] === depth)
              expect(Math.max(0, ...rows.map((one) => one[2]))).toBe(from)
            }
          }
          expect((await living.jobs()).filter(({ state }) => state !== 'done')).toEqual([])
          expect(last === 0 || last > START).toBe(true)
        } finally {
          await living.store.close()
        }
      }),
      { numRuns: 30 },
    )
  }, 60_000)
})

const PROOF = { at: START, mfa: false, methods: ['password'] }
const EMPTY = {
  ...{
    tenant: TENANT,
    app_id: 'web',
    device_id: null,
    capable: 1,
    version: 0,
    tokens_until: 0,
    outcome: 'allow',
    fingerprint: '',
    job: null,
    marks: 0,
  },
}
