import { isIP } from 'node:net'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileRanges, parseAddress } from '../src/index.ts'

describe('parseAddress', () => {
  it.each([
    ['192.0.2.1', 4],
    ['0.0.0.0', 4],
    ['255.255.255.255', 4],
    ['::', 6],
    ['2001:db8::1', 6],
    ['1:2:3:4:5:6:7:8', 6],
    ['64:ff9b::192.0.2.1', 6],
    ['::ffff:192.0.2.1', 4],
    ['::ffff:c000:201', 4],
  ])('reads %s as IPv%i', (text, family) => {
    expect(parseAddress(text)?.family).toBe(family)
  })

  it.each([
    '',
    '1.2.3',
    '01.2.3.4',
    '1.2.3.256',
    '1.2.3.4.5',
    '0x1.2.3.4',
    ':::',
    '1::2::3',
    'fe80::1%eth0',
    '1:2:3:4:5:6:7',
    '12345::',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '[::1]',
    ' 1.2.3.4',
  ])('does not read %j', (text) => {
    expect(parseAddress(text)).toBeUndefined()
  })

  it('agrees with node on what an address is', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.stringMatching(/^[0-9a-f:.]{0,20}$/)), (text) => {
        expect(parseAddress(text) !== undefined).toBe(isIP(text) !== 0)
      }),
    )
  })
})

describe('compileRanges', () => {
  it('finds what a plain scan finds', () => {
    const range = fc.tuple(fc.nat(0xffffffff), fc.integer({ min: 0, max: 32 }))
    fc.assert(
      fc.property(fc.array(range, { maxLength: 50 }), fc.array(fc.nat(0xffffffff), { maxLength: 50 }), (ranges, probes) => {
        const dotted = (word: number) => [24, 16, 8, 0].map((shift) => (word >>> shift) & 255).join('.')
        const table = compileRanges(ranges.map(([word, bits]) => `${dotted(word)}/${bits}`))
        const edges = ranges.flatMap(([word]) => [word, (word + 1) >>> 0, (word - 1) >>> 0])
        for (const probe of [...probes, ...edges]) {
          const naive = ranges.some(([word, bits]) => bits === 0 || word >>> (32 - bits) === probe >>> (32 - bits))
          expect(table.has(dotted(probe))).toBe(naive)
        }
      }),
    )
  })

  it('keeps both families apart, and knows a mapped address for what it is', () => {
    const table = compileRanges(['10.0.0.0/8', '2001:db8::/32'])
    expect(['10.1.2.3', '::ffff:10.1.2.3', '2001:db8:ffff::1'].map((text) => table.has(text))).toEqual([true, true, true])
    expect(['11.0.0.0', '2001:db9::', '::a01:203', 'unknown'].map((text) => table.has(text))).toEqual([false, false, false, false])
    expect(compileRanges(['::ffff:10.0.0.0/104']).has('10.9.9.9')).toBe(true)
  })

  it('ends where a range of IPv6 ends, and knows those that begin alike', () => {
    const table = compileRanges(['2001:db8::1:0/112', '2001:db8::3:5/128', '2001:db8::2:0/126'])
    const inside = ['2001:db8::1:0', '2001:db8::1:ffff', '2001:db8::2:3', '2001:db8::3:5']
    const outside = ['2001:db8::ffff', '2001:db8::2:4', '2001:db8::3:4', '2001:db8::3:6', '2001:db8:1::', '2001:db7::1:0', 'ffff::', '::']
    expect(inside.filter((text) => !table.has(text))).toEqual([])
    expect(outside.filter((text) => table.has(text))).toEqual([])
    expect(table.size).toBe(2)
    const hosts = Array.from({ length: 40 }, (_, at) => `2001:db8::${(2 * at).toString(16)}`)
    const alike = compileRanges(hosts)
    expect(hosts.filter((text) => !alike.has(text))).toEqual([])
    expect(hosts.filter((_, at) => alike.has(`2001:db8::${(2 * at + 1).toString(16)}`))).toEqual([])
    // One behind the other where the last word is full, and the last two.
    expect(compileRanges(['2001:db8::/96', '2001:db8:0:0:0:1::/96', '2001:db8:1::/48', '2001:db8:2::/48']).size).toBe(2)
  })

  it('joins what overlaps or touches', () => {
    expect(compileRanges(['10.0.0.0/9', '10.128.0.0/9', '10.1.0.0/16', '192.0.2.1']).size).toBe(2)
  })

  it.each(['10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/8/8', '10.0.0/8', '::/129', '10.0.0.0/08', ''])('refuses %j', (text) => {
    expect(() => compileRanges(['192.0.2.0/24', text])).toThrow(expect.objectContaining({ code: 'invalid_range', detail: 1 }))
  })
})
