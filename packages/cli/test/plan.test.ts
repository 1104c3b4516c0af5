import { describe, expect, it } from 'vitest'
import { type Plan, planLines, type Step } from '../src/plan.ts'
import { progressLine } from '../src/progress.ts'
import { widthOf } from '../src/terminal.ts'
import { pathOf } from '../src/yaml-file.ts'

const plan = (steps: Step[], more: Partial<Plan> = {}): Plan => ({
  ...{ tenant: 'contoso', digest: '', count: steps.length, same: 3, left: [], warnings: [], wouldBlockAuthor: [], steps },
  ...more,
})
const none = { colours: false }
const add = (name: string): Step => ({ kind: 'user', operation: 'add', name, changes: [{ property: 'displayName', new: name }] })

describe('a plan for people', () => {
  it('says what is added, what becomes what, and of a secret that it changes', () => {
    const steps: Step[] = [
      add('alice'),
      {
        ...{ kind: 'conditionalAccessPolicy', operation: 'change', name: 'Rule' },
        changes: [{ property: 'state', old: 'disabled', new: 'enabled' }, { property: 'who', old: null, new: ['a', 'b'] }, { property: 'secret' }],
      },
    ]
    expect(planLines(plan(steps), none)).toEqual([
      '+ user alice',
      '    displayName  "alice"',
      '~ conditional access policy Rule',
      '    state   "disabled" -> "enabled"',
      '    who     nothing -> [a, b]',
      '    secret  (secret)',
      '1 to add, 1 to change; 3 are as the file says.',
    ])
    expect(planLines(plan([]), none)).toEqual(['Nothing to change. (3 are as the file says)'])
  })

  it('warns of what keeps its reader out, and of what is left alone', () => {
    const left = [{ kind: 'application', name: 'old', reason: 'It was deleted here.' }]
    const lines = planLines(plan([add('a')], { left, wouldBlockAuthor: ['Block all'] }), none)
    expect(lines).toContain('! application old is left alone. It was deleted here.')
    expect(lines).toContain('! policy Block all would keep you yourself out.')
  })

  it('is bounded: in lines, in their width, and in what a name can do to a terminal', () => {
    const many = Array.from({ length: 1000 }, (_, at) => add(`u${at}`))
    const lines = planLines(plan(many, { count: 10_000 }), none)
    expect(lines.length).toBeLessThan(450)
    expect(lines.slice(-2)).toEqual(['… and 9800 more', '10000 steps; 3 are as the file says.'])
    const [line, change] = planLines(plan([add(`\u001b[2J${'x'.repeat(300)}`)]), { colours: false, width: 60 })
    expect(line).toMatch(/^\+ user \?\[2Jx+…$/)
    expect(widthOf(change as string)).toBeLessThanOrEqual(60)
  })
})

describe('progress', () => {
  it('draws a bar where there is a total, and no more than fits', () => {
    expect(progressLine('Applying', 0, 10, 80)).toBe(`Applying ${'░'.repeat(24)} 0 of 10`)
    expect(progressLine('Applying', 5, 10, 80)).toBe(`Applying ${'█'.repeat(12)}${'░'.repeat(12)} 5 of 10`)
    expect(progressLine('Applying', 10, 10, 80)).toBe(`Applying ${'█'.repeat(24)} 10 of 10`)
    expect(progressLine('Reading', 7, undefined, 80)).toBe('Reading 7')
    expect(progressLine('Applying', 5, 10, 20)).toBe('Applying 5 of 10')
  })
})

it('a JSON pointer is a path', () => {
  expect(pathOf('/users/0/a~1b~0c')).toEqual(['users', 0, 'a/b~c'])
  expect(pathOf('')).toEqual([])
})
