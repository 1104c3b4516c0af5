import { type CutoffKey, cutoffKeys, cutoffsOf, type SecurityEvent, trustOwn } from '@caegis/protocol'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { createSessions, TOKENS_OF_OWNER, TOKENS_OF_SESSION } from '../src/directory/sessions.ts'
import { createAttempt } from '../src/issuer/attempt.ts'
import { passFence } from '../src/issuer/fence.ts'
import type { Tenant } from '../src/issuer/tenant.ts'
import { createLog } from '../src/log.ts'
import { EXPIRY_LEEWAY } from '../src/store/change.ts'
import { openStore } from './open-store.ts'

const TENANT = 't'
const ISSUER = 'https://id.test/t/v2.0'
const LIFE = 3600
const log = createLog('silent')
const actor = { kind: 'system', reason: 'test' } as const

/** Whoever tokens are of: two sessions of one user, one of another, and a daemon. */
const HOLDERS = [{ user: 'a', sid: 'r' }, { user: 'a', sid: 's' }, { user: 'b', sid: 'q' }, {}] as const
interface Token {
  jti: string
  iat: number
  exp: number
  appId: string
  user?: string
  sid?: string
}
type Step =
  | { kind: 'clock'; by: number }
  | { kind: 'issue'; holder: number; count: number }
  | { kind: 'revoke'; holder: number; count: number }
  | { kind: 'session'; sid: 'r' | 's' | 'q' }

const holder = fc.integer({ min: 0, max: HOLDERS.length - 1 })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.oneof(fc.integer({ min: 0, max: 4 }), fc.constantFrom(LIFE / 2, LIFE + 1)).map((by) => ({ kind: 'clock' as const, by })),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('issue' as const), holder, count: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('revoke' as const), holder, count: fc.integer({ min: 1, max: 25 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('session' as const), sid: fc.constantFrom('r' as const, 's' as const, 'q' as const) }) },
)

it('A8(e): whatever is revoked one by one is dead at a guard, however many there are; who has few revoked loses nothing else; what guards keep is bounded', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 24, size: 'max' }), async (steps) => {
      let seconds = 1_700_000_000
      const store = await openStore({ file: ':memory:', now: () => seconds * 1000, log })
      const { db } = store
      try {
        await db.insertInto('tenants').values({ id: TENANT, name: 'tenant', display_name: 'T', epoch: 'e', created_at: 0 }).execute()
        for (const id of ['a', 'b']) {
          const name = { upn: id, upn_key: id, display_name: id, password: null, password_at: null, deleted_at: null }
          await db
            .insertInto('users')
            .values({ tenant: TENANT, id, ...name, enabled: 1, roles: '[]', created_at: 0 })
            .execute()
        }
        const lists = { redirect_uris: '[]', identifier_uris: '[]', scopes: '[]', permissions: '[]' }
        for (const id of ['app', 'daemon']) {
          await db
            .insertInto('applications')
            .values({ tenant: TENANT, id, app_id: id, display_name: id, type: 'native', enabled: 1, cae: 0, ...lists })
            .execute()
        }
        const sessions = createSessions(store, TENANT, ISSUER, () => {})
        let made = 0
        const tokens: Token[] = []
        const revoked = new Set<Token>()
        const endedSessions = new Set<string>()
        /** How many were revoked of an owner that could have been good at that time. */
        const revocations = new Map<string, number[]>()
        const ownerOf = ({ user }: { user?: string }) => user ?? 'daemon'

        const issue = async (n: number, count: number): Promise<Token[]> => {
          const who = HOLDERS[n] as { user?: string; sid?: string }
          const appId = who.user === undefined ? 'daemon' : 'app'
          for (;;) {
            const iat = Math.floor(seconds)
            const attempt = createAttempt(iat, { capable: false, acrs: [] }, '')
            for (let i = 0; i < count; i++) attempt.mints.push({ iat, exp: iat + LIFE, appId, ...who, authTime: iat })
            if ((await passFence(store, { id: TENANT } as Tenant, attempt)).outcome === 'passed') {
              const fresh = Array.from({ length: count }, () => ({ jti: `j${made++}`, iat, exp: iat + LIFE, appId, ...who }))
              tokens.push(...fresh)
              return fresh
            }
            seconds += 1
          }
        }
        const claimsOf = ({ jti, appId, user, sid }: Token) => ({
          ...{ sub: user ?? 'daemon-object', tid: TENANT, azp: appId, jti },
          ...(sid === undefined ? {} : { sid }),
        })

        for (const one of steps) {
          if (one.kind === 'clock') seconds += one.by
          else if (one.kind === 'issue') await issue(one.holder, one.count)
          else if (one.kind === 'session') {
            if ((await sessions.revokeSession(actor, one.sid, 'test')).result) endedSessions.add(one.sid)
          } else {
            for (const token of await issue(one.holder, one.count)) {
              await sessions.revokeToken(actor, token, 'test')
              revoked.add(token)
              revocations.set(ownerOf(token), [...(revocations.get(ownerOf(token)) ?? []), seconds])
            }
          }

          // A guard that applied every event, and one that has just loaded what there is.
          const follower = new Map<string, number>()
          const name = ({ kind, id }: CutoffKey) => `${kind} ${id}`
          for (const row of await db.selectFrom('events').selectAll().orderBy('seq').execute()) {
            const { complex: subject } = JSON.parse(row.subject)
            const set = {
              iss: ISSUER,
              iat: row.at,
              jti: row.id,
              type: row.type,
              subject,
              payload: JSON.parse(row.payload),
            } as unknown as SecurityEvent
            const read = cutoffsOf(set, trustOwn(ISSUER), 28 * 3600)
            if (read.outcome !== 'cutoffs') throw new Error(`an event that says nothing: ${read.outcome}`)
            for (const cutoff of read.cutoffs) follower.set(name(cutoff), Math.max(follower.get(name(cutoff)) ?? 0, cutoff.t))
          }
          const rows = await db.selectFrom('cutoffs').selectAll().execute()
          const starter = new Map(rows.filter(({ until }) => until + EXPIRY_LEEWAY > seconds).map(({ kind, id, t }) => [`${kind} ${id}`, t]))
          for (const token of tokens) {
            if (token.exp <= seconds) continue
            for (const guard of [follower, starter]) {
              const dead = (cutoffKeys(claimsOf(token)) as CutoffKey[]).some((key) => (guard.get(name(key)) ?? 0) >= token.iat)
              if (revoked.has(token)) expect(dead, `${token.jti} lives on`).toBe(true)
              const few = (revocations.get(ownerOf(token)) ?? []).length < TOKENS_OF_SESSION
              if (!revoked.has(token) && few && !endedSessions.has(token.sid ?? '')) expect(dead, `${token.jti} died for others`).toBe(false)
            }
          }
          const single = rows
            .filter(({ kind, until }) => kind === 'token' && until > seconds)
            .map(({ id }) => tokens.find(({ jti }) => jti === id) as Token)
          for (const who of ['a', 'b', 'daemon']) expect(single.filter((token) => ownerOf(token) === who).length).toBeLessThanOrEqual(TOKENS_OF_OWNER)
          for (const sid of ['r', 's', 'q']) expect(single.filter((token) => token.sid === sid).length).toBeLessThanOrEqual(TOKENS_OF_SESSION)
        }
      } finally {
        await store.close()
      }
    }),
    { numRuns: 12 },
  )
}, 60_000)
