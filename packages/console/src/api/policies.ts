import { type Policy, parsePolicy } from '@caegis/policy'
import { skipToken, useQuery } from '@tanstack/react-query'
import type { Page } from './client.ts'
import { useApi } from './context.ts'

export const POLICIES = '/identity/conditionalAccess/policies'

/** A policy as it is stored, and the state of it that was read. */
export interface StoredPolicy {
  policy: Policy
  etag: string
}

/** What a policy would have meant for the last sign-ins. */
export interface Impact {
  looked: number
  changed: number
  blocked: number
  interrupted: number
  allowed: number
  examples: { id: string; before: string; after: string }[]
}

export interface Template {
  id: string
  name: string
  description: string
  details: Record<string, unknown>
}

type Json = Record<string, unknown> & { '@odata.etag': string }

/** What the server keeps has been read by these rules before. */
export function readStored(json: Json): StoredPolicy {
  return { policy: parsePolicy(json), etag: json['@odata.etag'] }
}

/** All of them: a tenant has at most a thousand, which is one page and a bit. */
export function usePolicies() {
  const api = useApi()
  return useQuery({
    queryKey: ['policies'],
    queryFn: async ({ signal }) => {
      const all: Json[] = []
      for (let path: string | undefined = `${POLICIES}?$top=999&$orderby=displayName`; path; ) {
        const page: Page<Json> = await api.get(path, { signal })
        all.push(...page.value)
        path = page['@odata.nextLink']
      }
      return all.map(readStored)
    },
  })
}

export function usePolicy(id: string | undefined) {
  const api = useApi()
  return useQuery({
    queryKey: ['policies', id],
    queryFn: id === undefined ? skipToken : async ({ signal }) => readStored(await api.get<Json>(`${POLICIES}/${id}`, { signal })),
    // What is being edited does not change under the hands of who edits it: the server says so when it is saved.
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  })
}

export function useTemplates() {
  const api = useApi()
  return useQuery({
    queryKey: ['templates'],
    queryFn: async ({ signal }) => (await api.get<Page<Template>>('/identity/conditionalAccess/templates', { signal })).value,
    staleTime: Number.POSITIVE_INFINITY,
  })
}

/** An edit, and how far it is worked out what it means for those who are signed in. */
export interface Reevaluation {
  id: string
  state: 'running' | 'done'
  reason: string
  total: number
  done: number
  changed: number
  lost: number
}
