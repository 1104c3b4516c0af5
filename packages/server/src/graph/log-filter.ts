import { badRequest } from './errors.ts'

/** One comparison of a `$filter`: what is compared, how, and with what. */
export interface Comparison {
  property: string
  operator: 'eq' | 'ne' | 'ge' | 'le' | 'gt' | 'lt'
  value: string | number | boolean
}

const MAX_LENGTH = 2000
const MAX_TERMS = 10
const OPERATOR = '(eq|ne|ge|le|gt|lt)'
const VALUE = String.raw`('(?:[^']|'')*'|[\w:.+-]+)`
const TERM = new RegExp(String.raw`^([\w/]+)\s+${OPERATOR}\s+${VALUE}$`)
/** Graph's form for "one of the list is": `targetResources/any(t:t/id eq 'x')`. */
const ANY = new RegExp(String.raw`^(\w+)/any\(\s*(\w+)\s*:\s*\2/(\w+)\s+${OPERATOR}\s+${VALUE}\s*\)$`)

/** The part of OData that logs understand: comparisons joined by `and`. @throws GraphError 400 for anything else */
export function parseComparisons(text: string | null): Comparison[] {
  if (text === null) return []
  if (text.length > MAX_LENGTH) throw badRequest('$filter is too long.')
  const terms = split(text)
  if (terms.length > MAX_TERMS) throw badRequest(`$filter takes at most ${MAX_TERMS} comparisons.`)
  return terms.map((term) => {
    const any = term.match(ANY)
    if (any) return { property: `${any[1]}/any/${any[3]}`, operator: any[4] as Comparison['operator'], value: read(any[5] as string) }
    const [, property, operator, value] = term.match(TERM) ?? []
    if (property === undefined || value === undefined)
      throw badRequest("$filter understands comparisons (property eq 'value', and eq, ne, ge, le, gt, lt) joined by and.")
    return { property, operator: operator as Comparison['operator'], value: read(value) }
  })
}

/** At each `and` that stands outside of a text. */
function split(text: string): string[] {
  const terms: string[] = ['']
  for (const part of text.split(/('(?:[^']|'')*')/)) {
    if (part.startsWith("'")) {
      terms[terms.length - 1] += part
      continue
    }
    const [first = '', ...rest] = part.split(/\s+and\s+/)
    terms[terms.length - 1] += first
    terms.push(...rest)
  }
  return terms.map((term) => term.trim())
}

function read(text: string): string | number | boolean {
  if (text.startsWith("'")) return text.slice(1, -1).replaceAll("''", "'")
  if (text === 'true' || text === 'false') return text === 'true'
  return /^-?\d{1,9}$/.test(text) ? Number(text) : text
}

/** How one property may be compared, and what it then asks for. */
export type Readers<Filter> = Record<string, (comparison: Comparison) => Partial<Filter> | undefined>

/** @throws GraphError 400 for a property, an operator or a value that the list has no use for, and for one that is given twice */
export function readFilter<Filter extends object>(text: string | null, readers: Readers<Filter>): Partial<Filter> {
  const filter: Partial<Filter> = {}
  for (const comparison of parseComparisons(text)) {
    const reader = Object.hasOwn(readers, comparison.property) ? readers[comparison.property] : undefined
    const found = reader?.(comparison)
    if (!found)
      throw badRequest(`$filter cannot compare '${comparison.property.slice(0, 40)}' so. It understands: ${Object.keys(readers).join(', ')}.`)
    for (const name of Object.keys(found)) if (name in filter) throw badRequest('$filter asks twice for the same.')
    Object.assign(filter, found)
  }
  return filter
}

/** `eq 'text'` of a bounded text. */
export const text =
  <Name extends string>(name: Name) =>
  ({ operator, value }: Comparison): Record<Name, string> | undefined =>
    operator === 'eq' && typeof value === 'string' && value.length <= 320 ? ({ [name]: value } as Record<Name, string>) : undefined

/** Instants, as milliseconds: from one on, to before another. */
export function instants({ operator, value }: Comparison): { from: number } | { to: number } | undefined {
  const at = typeof value === 'string' && /^\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d))?$/.test(value) ? Date.parse(value) : Number.NaN
  if (Number.isNaN(at)) return undefined
  if (operator === 'ge' || operator === 'gt') return { from: operator === 'ge' ? at : at + 1 }
  if (operator === 'le' || operator === 'lt') return { to: operator === 'lt' ? at : at + 1 }
  return undefined
}
