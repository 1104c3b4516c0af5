import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { challengeObject, EVIDENCE_LIFE, evidenceText, formatEvidence, isFreshEvidence, parseClaimsRequest, parseEvidence } from '../src/index.ts'

const MAC = 'x'.repeat(43)
const facts = { sid: 's', azp: 'spa', jti: 'j', address: '203.0.113.7', second: 1_753_000_000 }

describe('D2: evidence', () => {
  it('comes back from a challenge as it went into it', () => {
    const jti = fc.stringMatching(/^[A-Za-z0-9._~-]{1,64}$/)
    const mac = fc.stringMatching(/^[A-Za-z0-9_-]{43}$/)
    fc.assert(
      fc.property(fc.nat(4_000_000_000), jti, mac, (second, id, code) => {
        const evidence = { second, jti: id, mac: code }
        const text = JSON.stringify(challengeObject({ rpAddress: '2001:db8::7', evidence: formatEvidence(evidence) }))
        expect(parseClaimsRequest(text)).toMatchObject({ rpAddress: '2001:db8::7', evidence })
      }),
    )
  })

  it.each([
    '',
    '1.j',
    `x.j.${MAC}`,
    `1..${MAC}`,
    `1.j.${MAC}x`,
    `1.j.${MAC.slice(1)}`,
    `1.j\n.${MAC}`,
    `1.${'j'.repeat(600)}.${MAC}`,
    `1234567890123.j.${MAC}`,
  ])('that is none is passed over: %j', (value) => {
    expect(parseEvidence(value)).toBeUndefined()
    expect(parseClaimsRequest(JSON.stringify({ access_token: { caegis_evidence: { value } } }))).toEqual({ capable: false, acrs: [] })
  })

  it('says another thing for every other fact', () => {
    const texts = [
      facts,
      { ...facts, sid: undefined },
      { ...facts, sid: 't' },
      { ...facts, azp: 'other' },
      { ...facts, jti: 'k' },
      { ...facts, address: '203.0.113.8' },
      { ...facts, second: 1_753_000_001 },
    ].map(evidenceText)
    expect(new Set(texts).size).toBe(texts.length)
    expect(texts[0]).toBe('s\nspa\nj\n203.0.113.7\n1753000000')
  })

  it('proves something for five minutes, and for clocks that are a minute apart', () => {
    const at = (age: number) => isFreshEvidence(facts, facts.second + age)
    expect([-61, -60, 0, EVIDENCE_LIFE - 1, EVIDENCE_LIFE].map(at)).toEqual([false, true, true, true, false])
  })
})
