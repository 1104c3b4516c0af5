import { badRequest } from './errors.ts'

/** The part of OData that the user list understands; everything else is refused, never ignored. */
export interface UserQuery {
  filter?: { property: FilterProperty; operator: 'eq' | 'startswith'; value: string }
  select: readonly UserProperty[]
  top: number
  /** The id that the page begins after. */
  after?: string
}

export const USER_PROPERTIES = [
  'id',
  'userPrincipalName',
  'displayName',
  'accountEnabled',
  'userType',
  'createdDateTime',
  'lastPasswordChangeDateTime',
  'signInSessionsValidFromDateTime',
] as const
export type UserProperty = (typeof USER_PROPERTIES)[number]
/** What Graph returns when nothing is selected; the rest has to be asked for. */
const DEFAULT_PROPERTIES: readonly UserProperty[] = ['id', 'userPrincipalName', 'displayName', 'accountEnabled']
const FILTER_PROPERTIES = ['userPrincipalName', 'displayName', 'id'] as const
type FilterProperty = (typeof FILTER_PROPERTIES)[number]

type Option = '$filter' | '$select' | '$top' | '$skiptoken'

const USER_ID = /^[0-9a-f-]{36}$/
const MAX_TOP = 999
const DEFAULT_TOP = 100

/** @param allowed the options that the endpoint has; @throws GraphError 400 for any other */
export function parseQuery(search: URLSearchParams, allowed: readonly Option[], token = USER_ID): UserQuery {
  refuseOthers(search, allowed)
  const [filter, select, top, skip] = (['$filter', '$select', '$top', '$skiptoken'] as const).map((name) => search.get(name))
  return {
    select: select == null ? DEFAULT_PROPERTIES : parseSelect(select),
    top: top == null ? DEFAULT_TOP : parseTop(top),
    ...(filter == null ? {} : { filter: parseFilter(filter) }),
    ...(skip == null ? {} : { after: parseSkip(skip, token) }),
  }
}

/** The page of a list that goes by numbers: `$skiptoken` is the last one of the page before. @throws GraphError 400 */
export function parsePage(search: URLSearchParams, allowed: readonly Option[] = ['$top', '$skiptoken']): { limit: number; last?: number } {
  refuseOthers(search, allowed)
  const [top, skip] = [search.get('$top'), search.get('$skiptoken')]
  if (skip !== null && !/^\d{1,15}$/.test(skip)) throw badRequest('$skiptoken is not one of ours.')
  return { limit: top === null ? DEFAULT_TOP : parseTop(top), ...(skip !== null && { last: Number(skip) }) }
}

/** @throws GraphError 400 for an option that the endpoint does not have, and for one that is given twice */
export function refuseOthers(search: URLSearchParams, allowed: readonly Option[]): void {
  const seen = new Set<string>()
  for (const name of search.keys()) {
    if (!(allowed as readonly string[]).includes(name)) throw badRequest(`The query option '${name.slice(0, 40)}' is not supported here.`)
    if (seen.has(name)) throw badRequest(`The query option '${name}' is given twice.`)
    seen.add(name)
  }
}

function parseSelect(text: string): UserProperty[] {
  const names = text.split(',').map((name) => name.trim())
  for (const name of names) {
    if (!(USER_PROPERTIES as readonly string[]).includes(name))
      throw badRequest(`Could not find a property named '${name.slice(0, 40)}' on type 'microsoft.graph.user'.`)
  }
  return names as UserProperty[]
}

export function parseTop(text: string): number {
  const top = /^\d{1,3}$/.test(text) ? Number(text) : 0
  if (top < 1 || top > MAX_TOP) throw badRequest(`$top must be 1 to ${MAX_TOP}.`)
  return top
}

function parseSkip(text: string, token: RegExp): string {
  if (!token.test(text)) throw badRequest('$skiptoken is not one of ours.')
  return text
}

/** `property eq 'value'` or `startswith(property,'value')`; a quote inside a value is doubled. */
function parseFilter(text: string): NonNullable<UserQuery['filter']> {
  const equals = text.match(/^\s*(\w+)\s+eq\s+'((?:[^']|'')*)'\s*$/)
  const starts = text.match(/^\s*startswith\(\s*(\w+)\s*,\s*'((?:[^']|'')*)'\s*\)\s*$/)
  const [, property, value] = equals ?? starts ?? []
  if (property === undefined || value === undefined || value.length > 512 || !(FILTER_PROPERTIES as readonly string[]).includes(property)) {
    throw badRequest("$filter understands: (userPrincipalName|displayName|id) eq 'value', and startswith(property,'value').")
  }
  return { property: property as FilterProperty, operator: equals ? 'eq' : 'startswith', value: value.replaceAll("''", "'") }
}
