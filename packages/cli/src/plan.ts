import { type Colour, paint, plain, shorten, type Terminal } from './terminal.ts'

export interface Change {
  property: string
  old?: unknown
  new?: unknown
}

export interface Step {
  kind: string
  operation: 'add' | 'change'
  name: string
  changes: readonly Change[]
}

/** What applying a tenant file would do, as the server says it. */
export interface Plan {
  tenant: string
  digest: string
  /** Of all steps; the first of them are shown. */
  count: number
  /** Entries that are so already. */
  same: number
  left: readonly { kind: string; name: string; reason: string }[]
  /** What the file says in vain. */
  warnings: readonly { kind: string; name: string; reason: string }[]
  /** Policies that would keep out whoever applies them. */
  wouldBlockAuthor: readonly string[]
  steps: readonly Step[]
}

/** Steps that somebody would read. */
const MOST_SHOWN = 200

const MARKS = { add: ['+', 'green'], change: ['~', 'yellow'] } as const satisfies Record<string, readonly [string, Colour]>

/** A plan for people: what is added, what becomes something else, what is left alone. Secrets are no part of it. */
export function planLines({ steps, count, same, left, warnings, wouldBlockAuthor }: Plan, terminal: Terminal): string[] {
  const room = terminal.width === undefined ? undefined : terminal.width - 2
  const fits = (text: string) => (room === undefined ? text : shorten(text, room))
  const lines = steps.slice(0, MOST_SHOWN).flatMap(({ kind, operation, name, changes }) => {
    const [mark, colour] = MARKS[operation]
    const widest = Math.max(0, ...changes.map(({ property }) => property.length))
    return [
      `${paint(mark, colour, terminal)} ${fits(`${wordsOf(kind)} ${plain(name)}`)}`,
      ...changes.map((one) => fits(`    ${plain(one.property).padEnd(widest)}  ${changeText(one, operation)}`)),
    ]
  })
  if (count > Math.min(steps.length, MOST_SHOWN)) lines.push(`… and ${count - Math.min(steps.length, MOST_SHOWN)} more`)
  for (const { kind, name, reason } of left)
    lines.push(`${paint('!', 'yellow', terminal)} ${fits(`${wordsOf(kind)} ${plain(name)} is left alone. ${plain(reason)}`)}`)
  for (const { kind, name, reason } of warnings)
    lines.push(`${paint('!', 'yellow', terminal)} ${fits(`${wordsOf(kind)} ${plain(name)}: ${plain(reason)}`)}`)
  for (const name of wouldBlockAuthor) lines.push(`${paint('!', 'red', terminal)} ${fits(`policy ${plain(name)} would keep you yourself out.`)}`)
  return [...lines, summary(steps, count, same)]
}

function summary(steps: readonly Step[], count: number, same: number): string {
  const unchanged = `${same} ${same === 1 ? 'is' : 'are'} as the file says`
  if (count === 0) return `Nothing to change. (${unchanged})`
  // Where not all are told, it is not told what the others are.
  if (steps.length < count) return `${count} steps; ${unchanged}.`
  const added = steps.filter(({ operation }) => operation === 'add').length
  return `${added} to add, ${count - added} to change; ${unchanged}.`
}

function changeText(change: Change, operation: Step['operation']): string {
  if (!('old' in change) && !('new' in change)) return '(secret)'
  if (operation === 'add') return valueText(change.new)
  return `${valueText(change.old)} -> ${valueText(change.new)}`
}

function valueText(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  return plain(
    Array.isArray(value) ? `[${value.map((one) => (typeof one === 'string' ? one : JSON.stringify(one))).join(', ')}]` : JSON.stringify(value),
  )
}

/** `conditionalAccessPolicy` as somebody would say it. */
function wordsOf(kind: string): string {
  return kind.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
}
