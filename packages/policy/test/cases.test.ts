import { describe, expect, it } from 'vitest'
import { runCases, TEMPLATES } from '../src/index.ts'

const file = (over: object) => ({
  policies: [{ template: 'require-mfa-for-all-users', id: 'mfa' }],
  cases: [{ name: 'one', signals: { user: 'alice', application: 'files-api' }, want: { outcome: 'require', policies: { mfa: { applies: true } } } }],
  ...over,
})

function mistakesOf(data: unknown): unknown {
  try {
    runCases(data)
  } catch (error) {
    return (error as any).detail
  }
}

describe('runCases', () => {
  it('passes what is as expected, whatever else is', () => {
    expect(runCases(file({}))).toMatchObject([{ name: 'one', spec: null, passed: true, differences: [] }])
  })

  it('tells each difference, where and what', () => {
    const want = {
      outcome: 'allow',
      next: null,
      unmet: ['mfa', 'signIn'],
      blockedBy: ['mfa'],
      policies: { mfa: { applies: false, unmet: ['mfa'] }, lost: { applies: true } },
      session: { cae: 'disabled' },
      lateBound: ['mfa'],
      exception: { address: '192.0.2.1' },
      contexts: ['c1'],
      whatIf: { mfa: ['users'] },
    }
    const [result] = runCases(file({ cases: [{ name: 'wrong', signals: { user: 'alice', application: 'files-api' }, want }] }))
    expect(result?.passed).toBe(false)
    expect(result?.differences.map(({ path, got }) => [path, got])).toEqual([
      ['/outcome', 'require'],
      ['/next', 'mfa'],
      ['/unmet', ['mfa']],
      ['/blockedBy', []],
      ['/policies/mfa/applies', true],
      ['/policies/lost', null],
      ['/session/cae', null],
      ['/lateBound', []],
      ['/exception', null],
      ['/contexts', []],
      ['/whatIf/mfa', []],
    ])
  })

  it('reads lists in any order, and an instant as an age', () => {
    const controls = { grantControls: { operator: 'AND', builtInControls: ['mfa', 'compliantDevice'] } }
    const signals = { user: 'alice', application: 'a', now: 5000, proof: { ago: 60, mfa: false } }
    const session = { sessionControls: { signInFrequency: { isEnabled: true, type: 'hours', value: 1 } } }
    const want = { unmet: ['compliantDevice', 'mfa'], session: { freshUntil: 8540 } }
    const policies = [{ template: 'require-mfa-for-all-users', ...controls, ...session }]
    expect(runCases({ policies, cases: [{ name: 'one', signals, want }] })).toMatchObject([{ passed: true }])
  })

  it('tells all mistakes of a file, each with its place', () => {
    const wrong = file({
      locations: [{ id: 'l', displayName: 'L', ipRanges: ['10.0.0.0/33'] }],
      policies: [
        { template: 'no-such' },
        { id: 'p', conditions: {}, grantControls: { operator: 'OR', builtInControls: ['mfa'] } },
        { template: 'block-device-code-flow', id: 'p' },
      ],
      signals: { weather: 'fine' },
      cases: [
        { name: '', policies: ['q'], without: ['weather'], signals: { platform: 'amiga', proof: { mfa: 'yes' } }, want: {} },
        { name: 'n', want: { mood: 1 } },
      ],
      more: true,
    })
    expect((mistakesOf(wrong) as { path: string }[]).map(({ path }) => path)).toEqual([
      '/more',
      '/locations/0/ipRanges/0',
      '/policies/0/template',
      '/policies/1/conditions/applications',
      '/policies/1/conditions/users',
      '/policies/2/id',
      '/cases/0/policies/0',
      '/cases/0/want',
      '/cases/0/name',
      '/signals/weather',
      '/cases/0/without/0',
      '/cases/0/signals/platform',
      '/cases/0/signals/proof',
      '/cases/0/signals/proof/mfa',
      '/cases/1/want/mood',
    ])
  })

  it.each([null, [], 'cases', {}, { cases: [] }, { cases: [null] }, { cases: 'all' }])('refuses %j', (data) => {
    expect(mistakesOf(data)).toBeInstanceOf(Array)
  })

  it('knows every template by a name of its own', () => {
    expect(new Set(TEMPLATES.map(({ name }) => name)).size).toBe(TEMPLATES.length)
  })
})
