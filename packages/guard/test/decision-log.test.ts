import { describe, expect, it } from 'vitest'
import type { Decision } from '../src/decision-log.ts'
import { createGuard } from '../src/guard.ts'
import { createStaticKeys } from '../src/keys.ts'
import { AUDIENCE, cutoff, ISSUER, jwkOf, mint, otherEc, request, START, startGuard, verdictOf } from './tokens.ts'

/** Everything that waits is written by then: in batches, one at each turn. */
async function turns(count = 1): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => setImmediate(resolve))
}

function start(options: Parameters<typeof startGuard>[0] & { allowed?: boolean; limit?: number } = {}) {
  const { allowed, limit, ...rest } = options
  const records: Decision[] = []
  const decisionLog = { write: (one: Decision) => records.push(one), ...(allowed === undefined ? {} : { allowed }), ...(limit ? { limit } : {}) }
  return { ...startGuard({ decisionLog, ...rest }), records }
}

const from = (token: string, remoteAddress: string, more: object = {}) => ({ ...request(token, { socket: { remoteAddress } }), ...more })

describe('the decision log', () => {
  it('says who was refused what, where, by which change, and what the guard knew then', async () => {
    const { guard, sink, records, clocks } = start({ trustedProxies: ['10.0.0.0/8'] })
    const writers = guard.require({ scope: 'Files.Write', maxAge: 60 })
    const token = mint({ azp: 'spa', xms_cc: ['cp1'], auth_time: START - 90 })
    sink.merge([cutoff('user', 'alice', START)], 7, 'txn-7')
    clocks.pass(2)
    const asked = from(token, '10.0.0.1')
    const headers = { ...asked.headers, 'x-forwarded-for': '203.0.113.9, 10.9.9.9' }
    expect(verdictOf(writers.check({ ...asked, headers })).allowed).toBe(false)
    // Not yet: the request comes first.
    expect(records).toEqual([])
    await turns()
    expect(records).toEqual([
      {
        ...{
          time: '2027-01-15T08:00:02.000Z',
          allowed: false,
          code: 'revoked',
          challenged: true,
          issuer: ISSUER,
          aud: AUDIENCE,
          azp: 'spa',
          user: 'alice',
        },
        ...{ sid: 's-1', jti: 'j-1', needs: { scope: 'Files.Write', maxAge: 60 }, state: { epoch: 'e1', seq: 0 }, rules: 0, txn: 'txn-7' },
        address: '203.0.113.9',
      },
    ])
    expect(guard.status().decisions).toEqual({ written: 1, dropped: 0, failed: 0 })
  })

  it('says nothing of what was not verified, and never holds the token', async () => {
    const { guard, records } = start({ allowed: true })
    const tokens = [mint(), mint({ sub: 'mallory', oid: 'mallory' }, {}, otherEc.privateKey), mint({ exp: START - 600 }), 'a.b.c']
    for (const token of tokens) await guard.check(request(token))
    await guard.check({ headers: {} })
    await turns()
    expect(records.map(({ code, user, jti }) => [code, user, jti])).toEqual([
      ['allowed', 'alice', 'j-1'],
      ['token_signature', undefined, undefined],
      ['token_expired', undefined, undefined],
      ['token_malformed', undefined, undefined],
      ['token_missing', undefined, undefined],
    ])
    const text = JSON.stringify(records)
    for (const token of tokens) for (const part of token.split('.').filter(({ length }) => length > 1)) expect(text).not.toContain(part)
    expect(text).not.toContain('mallory')
  })

  it('holds what was allowed only where that is asked', async () => {
    const [few, all] = [start(), start({ allowed: true })]
    for (const { guard } of [few, all]) for (let i = 0; i < 3; i++) expect(verdictOf(guard.check(from(mint(), '192.0.2.1'))).allowed).toBe(true)
    await turns()
    expect([few.records.length, all.records.length]).toEqual([0, 3])
    expect(all.records[2]).toMatchObject({ allowed: true, code: 'allowed', challenged: false, address: '192.0.2.1' })
  })

  it('what it throws, rejects or cannot take never reaches a request, and is counted', async () => {
    let taken = 0
    const write = (): unknown => {
      taken++
      if (taken % 2 === 0) return Promise.reject(new Error('later'))
      throw new Error('now')
    }
    const { guard, check } = startGuard({ decisionLog: { write, limit: 100 } })
    const denied = mint({ aud: 'other' })
    for (let i = 0; i < 250; i++) expect(check(denied)).toMatchObject({ code: 'token_audience' })
    expect([taken, guard.status().decisions]).toEqual([0, { written: 0, dropped: 150, failed: 0 }])
    // In batches, so that requests have their turn between them.
    await turns()
    expect(taken).toBe(64)
    await turns(2)
    expect([taken, guard.status().decisions]).toEqual([100, { written: 50, dropped: 150, failed: 100 }])
    expect(check(denied)).toMatchObject({ code: 'token_audience' })
    await guard.close()
    expect(taken).toBe(101)
  })

  it('a request that cannot be read twice is judged all the same', () => {
    const { guard } = start()
    let reads = 0
    const socket = {
      get remoteAddress(): string {
        if (reads++ >= 0) throw new Error('gone')
        return ''
      },
    }
    expect(verdictOf(guard.check({ ...request(mint({ aud: 'other' })), socket }))).toMatchObject({ code: 'token_audience' })
    expect(reads).toBe(1)
  })

  it('names the txn of the newest cutoffs only, in bounded memory, and through a lost log', async () => {
    const { sink, check, records } = start()
    sink.merge([cutoff('user', 'alice', START - 100)], 1, 'too early to refuse')
    sink.merge([cutoff('session', 's-1', START - 10)], 2, 'older')
    sink.merge([cutoff('token', 'j-1', START - 5)], undefined, 'newer')
    sink.outOfSync('another epoch')
    check(mint())
    const crowd = Array.from({ length: 5000 }, (_, i) => cutoff('user', `u-${i}`, START))
    sink.merge(crowd, 3, 'crowd')
    check(mint())
    check(mint({ oid: 'u-4999', sub: 'x', sid: 'x', jti: 'x' }))
    await turns()
    expect(records.map(({ code, txn }) => [code, txn])).toEqual([
      ['revoked', 'newer'],
      ['revoked', undefined],
      ['revoked', 'crowd'],
    ])
  })

  it('of several issuers, each record says by whose rules, and none where no issuer was named', async () => {
    const records: Decision[] = []
    const other = 'https://id.example/fabrikam/v2.0'
    const keys = createStaticKeys({ [ISSUER]: { keys: [jwkOf(otherEc, 'k1')] }, [other]: { keys: [jwkOf(otherEc, 'k1')] } })
    const issuers = [ISSUER, other].map((issuer) => ({ issuer, events: 'none' as const, keys }))
    const guard = createGuard({ audience: AUDIENCE, issuers, now: () => START * 1000, decisionLog: { write: (one) => records.push(one) } })
    for (const iss of [ISSUER, other]) await guard.check(request(mint({ iss, exp: START - 600 }, {}, otherEc.privateKey)))
    await guard.check(request(mint({ iss: other }, {}, otherEc.privateKey)))
    await guard.check({ headers: {} })
    await turns()
    expect(records.map(({ code, issuer }) => [code, issuer])).toEqual([
      ['token_expired', ISSUER],
      ['token_expired', other],
      ['token_missing', undefined],
    ])
    const { verdicts, unassigned, issuers: each } = guard.status()
    expect([verdicts.token_expired, verdicts.token_missing, verdicts.allowed]).toEqual([2, 1, 1])
    expect([unassigned.verdicts.token_missing, each[other]?.verdicts.token_expired, each[other]?.verdicts.allowed]).toEqual([1, 1, 1])
    await guard.close()
  })

  it('without a function, or with room for nothing, it is a mistake', () => {
    for (const decisionLog of [{}, { write: 'x' }, { write() {}, limit: 0 }, { write() {}, limit: Number.NaN }])
      expect(() => startGuard({ decisionLog: decisionLog as never })).toThrow(TypeError)
  })
})

describe('what is counted', () => {
  it('every verdict by its code, challenges, and tokens at first sight', async () => {
    const { guard, sink, check, clocks } = startGuard()
    const token = mint()
    for (let i = 0; i < 3; i++) check(token)
    check(mint({ aud: 'other' }))
    await guard.check({ headers: {} })
    sink.merge([cutoff('user', 'bob', START)])
    const bob = { oid: 'bob', sub: 'bob', sid: 'b', jti: 'b' }
    check(mint({ ...bob, xms_cc: ['cp1'] }))
    check(mint(bob))
    const { verdicts, challenges, firstSights, keyFetches } = guard.status()
    expect(Object.fromEntries(Object.entries(verdicts).filter(([, times]) => times > 0))).toEqual(
      { allowed: 3, token_audience: 1, token_missing: 1, revoked: 2 }, //
    )
    expect([challenges, keyFetches]).toEqual([1, undefined])
    expect([firstSights.counts[0], firstSights.counts.reduce((sum, one) => sum + one)]).toEqual([4, 4])
    // A key that takes its time.
    const late = startGuard({
      keys: {
        ...createStaticKeys({}),
        async learn() {
          late.clocks.pass(0.3)
        },
      },
    })
    await late.guard.check(request(mint()))
    expect(late.guard.status().firstSights).toMatchObject({ seconds: expect.closeTo(0.3), counts: [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0] })
    expect(clocks.seconds).toBe(START)
  })
})
