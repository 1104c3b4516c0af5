import { useQuery } from '@tanstack/react-query'
import type { Api, Page } from '../api/client.ts'
import { useApi } from '../api/context.ts'
import { t } from '../texts/texts.ts'
import { quote } from './filters.ts'

/** What can be named: by `id`, applications by their client id, as everything else in the API names them. Service principals are applications that policies name by `id`. */
export type Kind = 'users' | 'groups' | 'applications' | 'servicePrincipals'

export interface Named {
  id: string
  name: string
  /** What tells two of one name apart. */
  detail?: string
}

interface Row {
  id: string
  displayName: string
  userPrincipalName?: string
  appId?: string
  description?: string | null
}

const SELECT: Record<Kind, string> = {
  users: 'id,displayName,userPrincipalName',
  groups: 'id,displayName,description',
  applications: 'appId,displayName',
  servicePrincipals: 'id,appId,displayName',
}
/** As many values as a filter may hold, with room to spare. */
const MOST_IDS = 50

/** Not in any list: the admin API itself, which policies may name. */
const ADMIN_API: Named = { id: 'graph', name: t('pick.adminApi'), detail: 'graph' }

/** Finds users by the beginning of a name, of a family name or of what they sign in as; indexes answer it. */
export function userFilter(text: string): string {
  return ['displayName', 'userPrincipalName', 'surname'].map((property) => `startsWith(${property},${quote(text)})`).join(' or ')
}

/** A text as `$search` takes it: each of the properties may begin so. */
export function searchFor(text: string, ...properties: string[]): string {
  const phrase = text.replaceAll(/["\\]/g, ' ').trim()
  return `$search=${encodeURIComponent(properties.map((property) => `"${property}:${phrase}"`).join(' OR '))}`
}

/** The first few that a text finds, or simply the first few. */
export async function find(api: Api, kind: Kind, text: string, signal?: AbortSignal): Promise<Named[]> {
  const list = async (query: string) =>
    (await api.get<Page<Row>>(`/${kind}?$top=20&$select=${SELECT[kind]}${query && `&${query}`}`, { eventual: true, ...(signal ? { signal } : {}) }))
      .value
  const pages = await Promise.all(searches(kind, text).map(list))
  const found = new Map(pages.flat().map((row) => [idOf(kind, row), toNamed(kind, row)]))
  if (kind === 'applications' && ADMIN_API.name.toLowerCase().includes(text.toLowerCase())) found.set(ADMIN_API.id, ADMIN_API)
  return [...found.values()]
}

function searches(kind: Kind, text: string): string[] {
  if (text === '') return ['$orderby=displayName']
  if (kind === 'users') return [`$filter=${encodeURIComponent(userFilter(text))}&$orderby=displayName`]
  const words = `${searchFor(text, 'displayName')}&$orderby=displayName`
  return kind === 'groups' ? [words] : [words, `$filter=${encodeURIComponent(`appId eq ${quote(text)}`)}`]
}

/** What ids are called, in one question each fifty; an id that nobody has is left out. */
export async function namesOf(api: Api, kind: Kind, ids: readonly string[], signal?: AbortSignal): Promise<Map<string, Named>> {
  const names = new Map<string, Named>(kind === 'applications' ? [[ADMIN_API.id, ADMIN_API]] : [])
  const property = kind === 'applications' ? 'appId' : 'id'
  for (let at = 0; at < ids.length; at += MOST_IDS) {
    const filter = `${property} in (${ids
      .slice(at, at + MOST_IDS)
      .map(quote)
      .join(',')})`
    const path = `/${kind}?$top=${MOST_IDS}&$select=${SELECT[kind]}&$filter=${encodeURIComponent(filter)}`
    for (const row of (await api.get<Page<Row>>(path, signal ? { signal } : {})).value) names.set(idOf(kind, row), toNamed(kind, row))
  }
  return names
}

/** The names of some ids, as far as they are known by now. */
export function useNames(kind: Kind, ids: readonly string[]): Map<string, Named> {
  const api = useApi()
  const wanted = [...new Set(ids)].sort()
  const { data } = useQuery({
    queryKey: [kind, 'names', ...wanted],
    queryFn: ({ signal }) => namesOf(api, kind, wanted, signal),
    enabled: wanted.length > 0,
    placeholderData: (before) => before,
  })
  return data ?? new Map()
}

function idOf(kind: Kind, { id, appId }: Row): string {
  return kind === 'applications' ? (appId ?? id) : id
}

function toNamed(kind: Kind, row: Row): Named {
  const detail = row.userPrincipalName ?? row.appId ?? row.description ?? undefined
  return { id: idOf(kind, row), name: row.displayName, ...(detail ? { detail } : {}) }
}
