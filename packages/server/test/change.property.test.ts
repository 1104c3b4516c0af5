import { CUTOFF_DEPTHS, type CutoffDepth, EVENT } from '@caegis/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createAttempt } from '../src/issuer/attempt.ts'
import { nextInstant, passFence } from '../src/issuer/fence.ts'
import type { Tenant } from '../src/issuer/tenant.ts'
import { createLog } from '../src/log.ts'
import { createArtifacts } from '../src/store/artifacts.ts'
import type { Target } from '../src/store/change.ts'
import { createSecrets } from '../src/store/secrets.ts'
import { openStore } from './open-store.ts'

const TENANT = 't'
const log = createLog('silent')

type Step =
  | { kind: 'clock'; by: number }
  | { kind: 'mint'; user: 'a' | 'b'; app: 'x' | 'y'; sid: 'r' | 's' }
  | { kind: 'cut'; target: Target; depth: CutoffDepth }
  /** Of an edit that was committed so many seconds ago. */
  | { kind: 'late'; target: Target; depth: CutoffDepth; ago: number }

const target = fc.oneof(
  fc.constantFrom('a', 'b').map((id): Target => ({ kind: 'user', id })),
  fc.constantFrom('x', 'y').map((id): Target => ({ kind: 'app', id })),
  fc.constantFrom('r', 's').map((id): Target => ({ kind: 'session', id })),
  fc.constant<Target>({ kind: 'tenant', id: TENANT }),
)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .oneof(fc.integer({ min: -7200, max: 7200 }), fc.integer({ min: -3, max: 3 }), fc.double({ min: -1, max: 1, noNaN: true }))
      .map((by) => ({ kind: 'clock' as const, by })),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('mint' as const),
      user: fc.constantFrom('a' as const, 'b' as const),
      app: fc.constantFrom('x' as const, 'y' as const),
      sid: fc.constantFrom('r' as const, 's' as const),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('cut' as const), target, depth: fc.constantFrom(...CUTOFF_DEPTHS) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('late' as const), target, depth: fc.constantFrom(...CUTOFF_DEPTHS), ago: fc.nat(7200) }),
  },
)

describe('A4: where a cutoff is placed', () => {
  it('whatever the clock does: never below an earlier one, never below an iat of its row, and no token is minted at or below one', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }), async (steps) => {
        let seconds = 1_700_000_000
        const store = await openStore({ file: ':memory:', now: () => seconds * 1000, log })
        try {
          const { db } = store
          await db.insertInto('tenants').values({ id: TENANT, name: 'tenant', display_name: 'T', epoch: 'e', created_at: 0 }).execute()
          for (const id of ['a', 'b']) {
            const name = { upn: id, upn_key: id, display_name: id, password: null, password_at: null, deleted_at: null }
            await db
              .insertInto('users')
              .values({ tenant: TENANT, id, ...name, enabled: 1, roles: '[]', created_at: 0 })
              .execute()
          }
          for (const id of ['x', 'y']) {
            const lists = { redirect_uris: '[]', identifier_uris: '[]', scopes: '[]', permissions: '[]' }
            await db
              .insertInto('applications')
              .values({ tenant: TENANT, id, app_id: id, display_name: id, type: 'native', enabled: 1, cae: 0, ...lists })
              .execute()
          }
          for (const id of ['r', 's'])
            await db.insertInto('sessions').values({ tenant: TENANT, id, user_id: 'a', auth_time: 0, created_at: 0 }).execute()
          const tenant = { id: TENANT, artifacts: createArtifacts(TENANT, createSecrets('x'.repeat(32))) } as Tenant

          /** The latest cutoff and the greatest iat, by row. */
          const cuts = new Map<string, number>()
          const mints = new Map<string, number>()
          const rowsOf = ({ user, app, sid }: { user: string; app: string; sid: string }) => [
            `user ${user}`,
            `app ${app}`,
            `session ${sid}`,
            `tenant ${TENANT}`,
          ]
          let seq = 0
          for (const one of steps) {
            if (one.kind === 'clock') seconds = Math.max(1_600_000_000, seconds + one.by)
            else if (one.kind === 'mint') {
              let iat = Math.floor(seconds)
              for (let tries = 0; tries < 3; tries++) {
                const attempt = createAttempt(iat, { capable: false, acrs: [] }, '')
                attempt.mints.push({ iat, exp: iat + 3600, appId: one.app, user: one.user, sid: one.sid })
                const verdict = await passFence(store, tenant, attempt)
                if (verdict.outcome === 'passed') {
                  for (const row of rowsOf(one)) {
                    expect(iat).toBeGreaterThan(cuts.get(row) ?? 0)
                    mints.set(row, Math.max(mints.get(row) ?? 0, iat))
                  }
                  break
                }
                if (verdict.outcome !== 'covered') throw new Error('nothing was edited')
                const next = nextInstant(seconds, verdict.until, log)
                seconds += next.waitMs / 1000
                iat = next.iat ?? Math.floor(seconds)
              }
            } else if (one.kind === 'late') {
              const t = Math.floor(seconds) - one.ago
              const late = await store.commit({
                tenant: TENANT,
                actor: { kind: 'policy', reason: 'test' },
                async edit({ publish }) {
                  const complex = { format: 'complex', tenant: { format: 'opaque', id: TENANT } } as const
                  publish({ type: EVENT.cutoffs, subject: { complex }, reason: 'test', cuts: [{ ...one.target, depth: one.depth, t }] })
                },
              })
              const row = `${one.target.kind} ${one.target.id}`
              cuts.set(row, Math.max(t, cuts.get(row) ?? 0))
              // Nobody is told of what no token can be hit by.
              expect([seq, seq + 1]).toContain(late.seq)
              if (late.seq > seq) {
                const { payload } = await db.selectFrom('events').select('payload').where('seq', '=', late.seq).executeTakeFirstOrThrow()
                expect(JSON.parse(payload)).toMatchObject({
                  event_timestamp: t,
                  cutoffs: [[one.target.kind, one.target.id, t, one.depth, expect.any(Number)]],
                })
              }
              seq = late.seq
            } else {
              const { target: cut, depth } = one
              const { t, seq: now } = await store.commit({
                tenant: TENANT,
                actor: { kind: 'system', reason: 'test' },
                async edit({ publish }) {
                  const complex = { format: 'complex', user: { format: 'opaque', id: 'x' } } as const
                  const type = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'
                  publish({ type, subject: { complex }, reason: 'test', cut: { ...cut, depth } })
                },
              })
              const row = `${cut.kind} ${cut.id}`
              expect(t).toBeGreaterThanOrEqual(cuts.get(row) ?? 0)
              expect(t).toBeGreaterThanOrEqual(mints.get(row) ?? 0)
              expect(t).toBeGreaterThanOrEqual(Math.floor(seconds))
              expect(now).toBe(++seq)
              cuts.set(row, t as number)
              const { payload } = await db.selectFrom('events').select('payload').where('seq', '=', seq).executeTakeFirstOrThrow()
              expect(JSON.parse(payload).event_timestamp).toBe(t)
            }
          }
        } finally {
          await store.close()
        }
      }),
      { numRuns: process.env.CAEGIS_TEST_POSTGRES ? 12 : 60 },
    )
  }, 60_000)
})
