import type { Condition, Value } from '../directory/listing.ts'
import { badRequest } from './errors.ts'
import { named, type Property, propertyOf, type Resource } from './resource.ts'

/** Bounds of a filter: its text, how deep it nests, and how many comparisons it holds, each value of a list being one. */
const MOST = { length: 4096, depth: 16, terms: 64, value: 512 }

type Token = { kind: 'word' | 'text' | 'time' | 'mark'; text: string }

const TOKENS = /\s*(?:('(?:[^']|'')*')|(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d))|([A-Za-z]\w*)|([(),]))\s*/y

const COMPARISONS = ['eq', 'ne', 'ge', 'gt', 'le', 'lt'] as const
const FUNCTIONS: Record<string, 'starts' | 'ends'> = { startswith: 'starts', startsWith: 'starts', endswith: 'ends', endsWith: 'ends' }

/**
 * Reads `$filter` (OData 4.01 URL Conventions section 5.1.1, as far as it is named in docs/graph.md): and, or, not, parentheses, comparisons with literals, `in`,
 * startsWith and endsWith. Only columns that the resource names come out of it, and values only as values.
 * @param advanced whether the caller accepts what Graph offers with `ConsistencyLevel: eventual` only
 * @throws GraphError 400
 */
export function parseFilter<T>(resource: Resource<T>, text: string, advanced: boolean): Condition {
  const wrong = (what: string) => badRequest(`Invalid filter clause: ${what}. It may speak of: ${named(resource, ({ column }) => column)}.`)
  if (text.length > MOST.length) throw wrong('it is too long')
  const tokens: readonly Token[] = tokenize(text) ?? []
  if (tokens.length === 0) throw wrong('it cannot be read')
  let at = 0
  let terms = 0
  const peek = (kind: Token['kind'], value?: string) => tokens[at]?.kind === kind && (value === undefined || tokens[at]?.text === value)
  const peekWord = (word: string) => peek('word') && tokens[at]?.text.toLowerCase() === word
  const take = (kind: Token['kind'], value?: string): string => {
    if (!peek(kind, value)) throw wrong(value ? `'${value}' is missing` : 'something is missing')
    return (tokens[at++] as Token).text
  }
  const list = (word: 'and' | 'or', next: (depth: number) => Condition, depth: number): Condition => {
    const found = [next(depth)]
    while (peekWord(word)) {
      at++
      found.push(next(depth))
    }
    return found.length === 1 ? (found[0] as Condition) : { is: word, terms: found }
  }
  const either = (depth: number): Condition => list('or', both, depth)
  const both = (depth: number): Condition => list('and', one, depth)

  function one(depth: number): Condition {
    if (depth > MOST.depth) throw wrong('it nests too deep')
    if (peek('mark', '(')) {
      at++
      const inner = either(depth + 1)
      take('mark', ')')
      return inner
    }
    if (peekWord('not')) {
      at++
      // Without parentheses, `not` would be of the property alone.
      if (!peek('mark', '(') && !(peek('word') && tokens[at + 1]?.text === '(')) throw wrong("after 'not' there must be a function or parentheses")
      return { is: 'not', term: one(depth + 1) }
    }
    if (++terms > MOST.terms) throw wrong('it has too many terms')
    return tokens[at + 1]?.text === '(' && !/^in$/i.test(tokens[at]?.text ?? '') ? called() : compared()
  }

  function called(): Condition {
    const name = take('word')
    const is = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined
    if (!is) throw wrong(`there is no function '${name.slice(0, 40)}'`)
    if (is === 'ends' && !advanced) throw wrong('endsWith needs the header ConsistencyLevel: eventual')
    take('mark', '(')
    const { column } = property()
    take('mark', ',')
    const value = String(literal(column, false))
    take('mark', ')')
    if (column.type !== 'text' && column.type !== 'key') throw wrong('that property has no beginning')
    return { is, column, value }
  }

  function compared(): Condition {
    const { column } = property()
    if (peekWord('in')) {
      at++
      if (column.type === 'boolean' || column.type === 'time') throw wrong("that property has no 'in'")
      take('mark', '(')
      const values = [literal(column, false)]
      while (peek('mark', ',')) {
        at++
        if (++terms > MOST.terms) throw wrong('it has too many terms')
        values.push(literal(column, false))
      }
      take('mark', ')')
      return { is: 'in', column, values }
    }
    const operator = take('word')
    const is = COMPARISONS.find((name) => name === operator)
    if (!is || (column.type !== 'time' && is !== 'eq' && is !== 'ne')) throw wrong(`that property has no operator '${operator.slice(0, 20)}'`)
    return { is, column, value: literal(column, is === 'eq' || is === 'ne') }
  }

  function property(): Required<Pick<Property<T>, 'column'>> {
    const { column } = propertyOf(resource, take('word'))
    if (!column) throw wrong('one of its properties cannot be filtered by')
    return { column }
  }

  function literal({ type, nullable }: { type: string; nullable?: true }, mayBeNull: boolean): Value {
    if (peek('word', 'null')) {
      at++
      if (!mayBeNull || !nullable) throw wrong('that property is never null here')
      return null
    }
    if (type === 'boolean') {
      const word = take('word')
      if (word !== 'true' && word !== 'false') throw wrong('that property is true or false')
      return word === 'true' ? 1 : 0
    }
    if (type === 'time') {
      const seconds = Date.parse(take('time')) / 1000
      if (Number.isNaN(seconds)) throw wrong('that is no time')
      return seconds
    }
    const value = take('text').slice(1, -1).replaceAll("''", "'")
    if (value.length > MOST.value) throw wrong('a value is too long')
    return value
  }

  const found = either(0)
  if (at < tokens.length) throw wrong('something is left over')
  return found
}

function tokenize(text: string): Token[] | undefined {
  const found: Token[] = []
  TOKENS.lastIndex = 0
  while (TOKENS.lastIndex < text.length) {
    const match = TOKENS.exec(text)
    if (!match) return undefined
    const [, quoted, time, word, mark] = match
    if (quoted !== undefined) found.push({ kind: 'text', text: quoted })
    else if (time !== undefined) found.push({ kind: 'time', text: time })
    else if (word !== undefined) found.push({ kind: 'word', text: word })
    else found.push({ kind: 'mark', text: mark as string })
  }
  return found
}
