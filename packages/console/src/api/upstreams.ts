import { useQuery } from '@tanstack/react-query'
import type { Page } from './client.ts'
import { useApi } from './context.ts'

export interface UpstreamOutcome {
  outcome: string
  type: string
  count: number
  lastDateTime: string | null
}

export interface Upstream {
  id: string
  issuer: string
  displayName: string
  enabled: boolean
  delivery: 'poll' | 'push'
  audience: string | null
  receiver: string | null
  issuers: string[]
  domains: string[]
  source: string
  subject: 'externalId' | 'userPrincipalName'
  actions: Record<string, string>
  createdDateTime: string
  status: {
    state: string
    error: string | null
    stale: boolean
    gaps: number
    lastHeardDateTime: string | null
    lastGapDateTime: string | null
    outcomes: UpstreamOutcome[]
  }
}

/** Nothing tells that an upstream was heard: it is looked at again. */
export function useUpstreams() {
  const api = useApi()
  return useQuery({
    queryKey: ['upstreams'],
    queryFn: ({ signal }) => api.get<Page<Upstream>>('/caegis/upstreams', { signal }),
    refetchInterval: 15_000,
  })
}
