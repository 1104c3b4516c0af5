import { type Filter, parse } from 'scim2-parse-filter'
import type { Column, Condition } from '../directory/listing.ts'
import { ScimError } from './errors.ts'

/** What an attribute that can be filtered by is; or all rows, or none, where every value of it is the same. */
export type Filtered = { column: Column; within?: Condition } | { equals: string | boolean; where: Condition }

/** By name in lower case. */
export type Filters = Readonly<Record<string, Filtered>>

const MOST = 2048
const NOBODY: Condition = { is: 'eq', column: { name: 'id', type: 'id' }, value: null }

/**
 * A filter (RFC 7644 section 3.4.2.2) as a condition of the directory.
 * @param attributes what can be filtered by; anything else is refused, because an ignored condition would find too much
 * @throws ScimError `invalidFilter`
 */
export function compileFilter(schema: string, attributes: Filters, text: string): Condition {
  if (text.length > MOST) throw invalid('The filter is too long.')
  const compile = (filter: Filter, prefix: string): Condition => {
    if ('filters' in filter) return { is: filter.op, terms: filter.filters.map((one) => compile(one, prefix)) }
    if (filter.op === 'not') return { is: 'not', term: compile(filter.filter, prefix) }
    const local = filter.attrPath.toLowerCase().startsWith(`${schema.toLowerCase()}:`) ? filter.attrPath.slice(schema.length + 1) : filter.attrPath
    const name = `${prefix}${local.toLowerCase()}`
    // Nothing here has two values of an attribute, so that what holds for one of them holds for each part alone.
    if (filter.op === '[]') return compile(filter.valFilter, `${name}.`)
    const attribute = Object.hasOwn(attributes, name) ? attributes[name] : undefined
    if (!attribute) throw invalid('The filter names an attribute that cannot be filtered by.')
    if ('equals' in attribute) {
      if (filter.op === 'pr') return attribute.where
      if (filter.op !== 'eq') throw invalid(`${name} can be compared with eq only.`)
      return filter.compValue === attribute.equals ? attribute.where : NOBODY
    }
    const { column, within } = attribute
    const condition = compare(filter.op, column, filter.op === 'pr' ? null : filter.compValue, name)
    return within ? { is: 'and', terms: [within, condition] } : condition
  }
  return compile(parsed(text), '')
}

export function parsed(text: string): Filter {
  try {
    return parse(text)
  } catch {
    throw invalid('The filter is malformed.')
  }
}

function compare(op: string, column: Column, value: boolean | null | number | string, name: string): Condition {
  if (op === 'pr') return { is: 'ne', column, value: null }
  if (column.type === 'boolean') {
    if ((op !== 'eq' && op !== 'ne') || typeof value !== 'boolean') throw invalid(`${name} can be compared with true or false only.`)
    return { is: op, column, value: value ? 1 : 0 }
  }
  if (value === null && (op === 'eq' || op === 'ne')) return { is: op, column, value }
  if (typeof value !== 'string') throw invalid(`${name} can be compared with text only.`)
  if (op === 'sw') return { is: 'starts', column, value }
  if (op === 'ew') return { is: 'ends', column, value }
  if (op === 'co') return { is: 'contains', column, value }
  if (op === 'eq' || op === 'ne' || op === 'gt' || op === 'ge' || op === 'lt' || op === 'le') return { is: op, column, value }
  throw invalid('The filter has an operator that is not known.')
}

export function invalid(detail: string): ScimError {
  return new ScimError(400, detail, 'invalidFilter')
}
