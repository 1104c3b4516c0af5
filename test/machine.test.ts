import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { type Loop, SECRET, startLoop, verdictOf } from './loop.ts'

const PATIENT = { timeout: 30_000, interval: 50 }
const form = { grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope: 'api://files/.default' }

// What the embedded database says when its disk is full or read-only; PostgreSQL has an outage of its own in outage.test.ts.
describe.skipIf(process.env.CAEGIS_TEST_POSTGRES)('a disk that cannot be written', () => {
  let loop: Loop
  beforeAll(async () => {
    loop = await startLoop()
  })
  afterAll(() => loop.close())

  const pragma = (text: string) => sql.raw(`pragma ${text}`).execute(loop.server.store.db)
  const revoke = (name: string, admin: string) =>
    fetch(`${loop.origin}/v1.0/users/${name}@contoso.test/revokeSignInSessions`, { method: 'POST', headers: { authorization: `Bearer ${admin}` } })

  it.each([
    [
      'is full',
      async () => pragma(`max_page_count = ${((await pragma('page_count')).rows[0] as { page_count: number }).page_count}`),
      'max_page_count = 4294967294',
    ],
    ['is read-only', () => pragma('query_only = on'), 'query_only = off'],
  ])(
    'I7: that %s: nothing is issued or changed, with words that say so; what was revoked stays so, and it goes on when it can',
    async (kind, begin, end) => {
      const flow = createFlow(loop, { capable: true })
      const { accessToken, refreshToken } = await flow.tokens()
      const bob = await createFlow(loop, { capable: true, username: 'bob@contoso.test' }).tokens()
      const admin = await loop.daemonToken('nightly', `${loop.origin}/.default`)
      const guard = await loop.guard()
      expect((await revoke('bob', admin)).status).toBe(200)
      await expect.poll(() => verdictOf(guard, bob.accessToken), PATIENT).toMatchObject({ allowed: false })

      const named = (index: number) => `user${index}.${kind.replace(' ', '')}@contoso.test`
      const made = new Set<number>()
      const make = (index: number) =>
        fetch(`${loop.origin}/v1.0/users`, {
          method: 'POST',
          headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
          body: JSON.stringify({
            ...{ userPrincipalName: named(index), displayName: 'C'.repeat(200), accountEnabled: true, mailNickname: 'carol' },
            passwordProfile: { password: 'correct horse battery' },
          }),
        })

      await begin()
      try {
        // Some rows still find room on pages that are there.
        let answer = await loop.token(form)
        for (let tries = 0; answer.status === 200 && tries < 500; tries++) answer = await loop.token(form)
        expect(answer).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } })
        let refused = await make(0)
        for (; refused.status === 201; refused = await make(made.size)) made.add(made.size)
        expect([refused.status, await refused.json()]).toMatchObject([
          503,
          { error: { code: 'ServiceUnavailable', message: expect.stringContaining('cannot write') } },
        ])
        expect(await verdictOf(guard, accessToken)).toMatchObject({ allowed: true })
        expect(await verdictOf(guard, bob.accessToken)).toMatchObject({ allowed: false, code: 'revoked' })
        // It reads: polls are answered, and guards stay fresh.
        expect((await fetch(`${loop.origin}/readyz`)).status).toBe(200)
      } finally {
        await pragma(end)
      }
      expect((await loop.token(form)).status).toBe(200)
      expect((await flow.refresh(refreshToken)).status).toBe(200)
      expect((await revoke('alice', admin)).status).toBe(200)
      await expect.poll(() => verdictOf(guard, accessToken), PATIENT).toMatchObject({ allowed: false, code: 'revoked' })
      // What was acknowledged is there, and nothing else.
      const { value } = (await (await fetch(`${loop.origin}/v1.0/users?$top=999`, { headers: { authorization: `Bearer ${admin}` } })).json()) as {
        value: { userPrincipalName: string }[]
      }
      const there = value.map(({ userPrincipalName }) => userPrincipalName).filter((name) => name.includes(kind.replace(' ', '')))
      expect(there.sort()).toEqual([...made].map(named).sort())
      expect((await pragma('integrity_check')).rows).toEqual([{ integrity_check: 'ok' }])
    },
  )
})

describe.skipIf(process.env.CAEGIS_TEST_POSTGRES)('a clock that jumps', () => {
  let offset = 0
  let loop: Loop
  beforeAll(async () => {
    loop = await startLoop({ now: () => Date.now() + offset * 1000 })
  })
  afterAll(() => loop.close())

  it.each([-3600, 3600])(
    'A4, I4: by %i seconds, and back: strict guards say that they cannot know, and all goes on when it is right again',
    async (seconds) => {
      const guard = await loop.guard({ maxStaleness: 2, staleness: 'strict' })
      const flow = createFlow(loop, { capable: true })
      const other = createFlow(loop, { capable: true, username: 'bob@contoso.test' })
      const alice = await flow.tokens()
      const bob = await other.tokens()
      const said = (token: string) => verdictOf(guard, token).then((verdict) => (verdict.allowed ? 'allowed' : verdict.code))

      offset = seconds
      expect((await loop.graph('POST', '/users/bob@contoso.test/revokeSignInSessions')).status).toBe(200)
      await expect.poll(() => said(alice.accessToken), PATIENT).toBe('out_of_sync')
      expect(await said(bob.accessToken)).not.toBe('allowed')
      const during = await flow.refresh(alice.refreshToken)
      expect(during.status).toBe(200)
      expect(await said(String(during.body.access_token))).toBe(seconds > 0 ? 'token_not_yet' : 'out_of_sync')

      offset = 0
      await expect.poll(() => said(alice.accessToken), PATIENT).toBe('allowed')
      expect(await said(bob.accessToken)).toBe('revoked')
      const after = await flow.refresh(String(during.body.refresh_token))
      expect(after.status).toBe(200)
      expect(await said(String(after.body.access_token))).toBe('allowed')
      // Who was revoked by a clock that was ahead is let in when the right one has come to that instant: nothing issued before it can be told from what was revoked.
      const anew = await createFlow(loop, { capable: true, username: 'bob@contoso.test' }).tokens()
      expect(await said(anew.accessToken)).toBe(seconds > 0 ? 'token_not_yet' : 'allowed')
      expect(await said((await createFlow(loop, { capable: true }).tokens()).accessToken)).toBe('allowed')
    },
  )

  it('B1: ahead for a while in which nothing happened: guards call nothing old that is new, once it is right again', async () => {
    const guard = await loop.guard({ maxStaleness: 2, staleness: 'strict' })
    const { accessToken } = await createFlow(loop).tokens()
    const isFresh = async () => (await verdictOf(guard, accessToken)).allowed && guard.status().age < 2
    await expect.poll(isFresh, PATIENT).toBe(true)
    const before = guard.status().head?.asOf ?? 0
    offset = 600
    await expect.poll(() => guard.status().head?.asOf, PATIENT).toBeGreaterThan(before + 300)
    offset = 0
    await expect.poll(() => guard.status().head?.asOf, PATIENT).toBeLessThan(before + 300)
    // By the latest time that it has seen, until it is sure that this was a mistake.
    await expect.poll(() => guard.status().age, PATIENT).toBeGreaterThan(2)
    await expect.poll(isFresh, PATIENT).toBe(true)
  })
})
