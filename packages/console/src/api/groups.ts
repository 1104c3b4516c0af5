import { useQuery } from '@tanstack/react-query'
import { useApi } from './context.ts'

export interface Group {
  '@odata.etag'?: string
  id: string
  displayName: string
  description: string | null
  createdDateTime: string
}

/** A user or a group in a group. */
export interface Member {
  '@odata.type': '#microsoft.graph.user' | '#microsoft.graph.group'
  id: string
  displayName: string
  userPrincipalName?: string
  accountEnabled?: boolean
}

export function useGroup(id: string) {
  const api = useApi()
  return useQuery({ queryKey: ['groups', id, 'one'], queryFn: ({ signal }) => api.get<Group>(`/groups/${encodeURIComponent(id)}`, { signal }) })
}

/** Of groups that a tenant file made long ago, nobody knows when. */
export function isKnown(time: string): boolean {
  return !time.startsWith('1970-')
}
