import { createHash, timingSafeEqual } from 'node:crypto'
import type { Condition, Order, Value } from '../directory/listing.ts'
import { badRequest } from './errors.ts'
import { parseFilter } from './filter.ts'
import { parseOrder, parseSearch, parseSelect, type Resource } from './resource.ts'

export const LIST_OPTIONS = ['$filter', '$select', '$orderby', '$top', '$skiptoken', '$count', '$search'] as const
export type Option = (typeof LIST_OPTIONS)[number] | '$deltatoken'

/** What a list is asked for. */
export interface Query {
  select: readonly string[]
  where?: Condition
  order: readonly Order[]
  limit: number
  after?: readonly Value[]
  /** Say how many there are on all pages. */
  count: boolean
}

/** Makes and reads what only this server can make: a tag over the text, bound to what it is for. */
export type Tag = (context: string, text: string) => string

const MAX_TOP = 999
const DEFAULT_TOP = 100
const MOST_TOKEN = 8192

/** @throws GraphError 400 for an option that the endpoint does not have, and for one that is given twice */
export function refuseOthers(search: URLSearchParams, allowed: readonly string[]): void {
  const seen = new Set<string>()
  for (const name of search.keys()) {
    if (!allowed.includes(name)) throw badRequest(`The query option '${name.slice(0, 40)}' is not supported here.`)
    if (seen.has(name)) throw badRequest(`The query option '${name}' is given twice.`)
    seen.add(name)
  }
}

/**
 * Reads the options of a list.
 * @param eventual whether the request says `ConsistencyLevel: eventual`, without which Graph neither searches nor counts
 * @throws GraphError 400
 */
export function parseQuery<T>(resource: Resource<T>, search: URLSearchParams, path: string, eventual: boolean, tag: Tag): Query {
  const [filter, find, count] = (['$filter', '$search', '$count'] as const).map((name) => search.get(name)) as [
    string | null,
    string | null,
    string | null,
  ]
  if (count !== null && count !== 'true' && count !== 'false') throw badRequest('$count is true or false.')
  if ((find !== null || count === 'true') && !eventual) throw badRequest('$search and $count need the header ConsistencyLevel: eventual.')
  const terms = [...(filter === null ? [] : [parseFilter(resource, filter, eventual)]), ...(find === null ? [] : [parseSearch(resource, find)])]
  const orderby = search.get('$orderby')
  const skip = search.get('$skiptoken')
  return {
    select: parseSelect(resource, search.get('$select')),
    order: orderby === null ? [] : parseOrder(resource, orderby),
    limit: parseTop(search),
    count: count === 'true',
    ...(terms.length === 0 ? {} : { where: terms.length === 1 ? (terms[0] as Condition) : { is: 'and', terms } }),
    ...(skip === null ? {} : { after: openToken(skip, listOf(path, search), tag) as Value[] }),
  }
}

/** What a page's place is good for: the same list, in the same order. */
export function listOf(path: string, search: URLSearchParams): string {
  const parts = [path.toLowerCase(), ...['$filter', '$search', '$orderby'].map((name) => search.get(name) ?? '')]
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url')
}

/** A place in a list, which a client keeps and can neither read a meaning into nor change. */
export function sealToken(content: unknown, context: string, tag: Tag): string {
  const text = Buffer.from(JSON.stringify(content)).toString('base64url')
  return `${text}.${tag(context, text)}`
}

/** @throws GraphError 400 */
export function openToken(token: string, context: string, tag: Tag): unknown {
  const [text = '', given = ''] = token.length > MOST_TOKEN ? [] : token.split('.')
  const wanted = Buffer.from(tag(context, text))
  const tagged = Buffer.from(given)
  if (tagged.length !== wanted.length || !timingSafeEqual(tagged, wanted)) throw badRequest('The token is not one of ours, or of another list.')
  return JSON.parse(Buffer.from(text, 'base64url').toString())
}

/** The page of a list that goes by numbers: `$skiptoken` is the last one of the page before. @throws GraphError 400 */
export function parsePage(search: URLSearchParams): { limit: number; last?: number } {
  const skip = search.get('$skiptoken')
  if (skip !== null && !/^\d{1,15}$/.test(skip)) throw badRequest('$skiptoken is not one of ours.')
  return { limit: parseTop(search), ...(skip !== null && { last: Number(skip) }) }
}

/** The page of a short list that goes by names: as above. @throws GraphError 400 */
export function parseNames(search: URLSearchParams, name: RegExp): { limit: number; after?: string } {
  const after = search.get('$skiptoken')
  if (after !== null && !name.test(after)) throw badRequest('$skiptoken is not one of ours.')
  return { limit: parseTop(search), ...(after !== null && { after }) }
}

/** @throws GraphError 400 */
export function parseTop(search: URLSearchParams): number {
  const text = search.get('$top')
  if (text === null) return DEFAULT_TOP
  const top = /^\d{1,3}$/.test(text) ? Number(text) : 0
  if (top < 1 || top > MAX_TOP) throw badRequest(`$top must be 1 to ${MAX_TOP}.`)
  return top
}
