import { describe, expect, it } from 'vitest'
import { readRanges } from '../src/screens/locations/ranges.ts'

describe('ranges that were pasted', () => {
  it('are read one a line or with commas and blanks between them, remarks left out, each once', () => {
    const read = readRanges('192.0.2.0/24, 198.51.100.7\r\n# the branch in the north\n2001:db8::/32 ;192.0.2.0/24 # again\n\n192.0.3.0/24')
    expect(read.ranges).toEqual(['192.0.2.0/24', '198.51.100.7', '2001:db8::/32', '192.0.3.0/24'])
    // The two that touch are one to who looks things up.
    expect(read).toMatchObject({ four: 3, six: 1, duplicates: 1, joined: 3, mistaken: 0, wide: [] })
  })

  it('are told wrong by their line, the first hundred of them', () => {
    const read = readRanges(`192.0.2.0/24\n\n192.0.2.0/33\nbranch office\n${'300.1.1.1\n'.repeat(200)}`)
    expect(read.mistakes.slice(0, 4)).toEqual([
      { line: 3, text: '192.0.2.0/33' },
      { line: 4, text: 'branch' },
      { line: 4, text: 'office' },
      { line: 5, text: '300.1.1.1' },
    ])
    expect([read.mistakes.length, read.mistaken, read.ranges.length]).toEqual([100, 203, 1])
  })

  it('are pointed at where they hold a good part of the internet, an IPv4 address inside IPv6 by what it is', () => {
    expect(readRanges('0.0.0.0/0 10.0.0.0/8 2000::/3 2001:db8::/32').wide).toEqual(['0.0.0.0/0', '2000::/3'])
    expect(readRanges('::ffff:192.0.2.1')).toMatchObject({ four: 1, six: 0 })
  })

  it('may be a hundred thousand', () => {
    const text = Array.from({ length: 100_000 }, (_, at) => `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`).join('\n')
    expect(readRanges(`${text}\n${text}`)).toMatchObject({ four: 100_000, duplicates: 100_000, mistaken: 0 })
  })
})
