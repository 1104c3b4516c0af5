import { describe, expect, it } from 'vitest'
import { mistakesIn, readPages } from '../tools/threats.ts'

const pages = readPages()

describe('the threat model', () => {
  it('names a test, or a reason, for every letter at every hop, and every number has its tests', () => {
    expect(mistakesIn(pages)).toEqual([])
    expect(pages.security.split(/^### /m).length - 1).toBeGreaterThanOrEqual(12)
  })

  const last = '[metrics.test.ts](packages/server/test/metrics.test.ts): are for this machine alone'
  it.each([
    ['a test that was renamed', { security: pages.security.replace(last, `${last.slice(0, -5)}nobody`) }, /metrics\.test\.ts has no test/],
    [
      'a test file that is gone',
      { security: pages.security.replace('](test/drain.test.ts)', '](test/gone/drain.test.ts)') },
      /gone\/drain\.test\.ts has no test/,
    ],
    ['a threat that nothing tries', { security: pages.security.replace(/\| \[push\.test\.ts\][^|]*\|/, '| |') }, /names no test, and no reason/],
    [
      'a reason that is none',
      { security: pages.security.replace(/\*\*accepted\*\*: [^|]*\|/, '**accepted**: yes |') },
      /names no test, and no reason/,
    ],
    ['a hop without a letter', { security: pages.security.replace(/^\| R \| The operator.*$/m, '') }, /Operator to host.*has no row for R/],
    [
      'a threat of which the answer is missing',
      { security: pages.security.replace(/^(\| S \| Codes?[^|]*|\| S \| Passwords[^|]*)\|[^|]*\|/m, '$1|') },
      /no row of four cells/,
    ],
    ['a number that nothing tries', { threats: `${pages.threats}\n| E99 | a | b |` }, /no test is named by E99/],
    ['a number that is not explained', { tests: `${pages.tests}\nit('E${98}: is new', () => {})` }, /named by E98/],
  ])('finds %s', (_, other, wrong) => {
    expect(mistakesIn({ ...pages, ...other })).toEqual([expect.stringMatching(wrong)])
  })
})
