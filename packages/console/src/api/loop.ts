import { useQuery } from '@tanstack/react-query'
import type { Page } from './client.ts'
import { useApi } from './context.ts'

export type HopName = 'change' | 'log' | 'streams' | 'guards' | 'refusals' | 'signIns'
export type HopState = 'ok' | 'slow' | 'stale' | 'idle'

export interface StreamProblem {
  streamId: string
  displayName: string
  problem: 'silent' | 'lagging' | 'failing' | 'deadLetters'
  count?: number
}

export interface Hop {
  hop: HopName
  state: HopState
  backlog: number
  count: number
  p50Milliseconds: number | null
  p95Milliseconds: number | null
  detail: {
    problems?: StreamProblem[]
    problemsTotal?: number
    /** Of `change`. */
    tenant?: 'running' | 'stopped'
    /** Of `streams`: how many there are, whatever their status. */
    streams?: number
    /** Of `guards`: those that should be live, and those that are. */
    guards?: number
    live?: number
  }
}

export interface Loop {
  asOfDateTime: string
  windowMinutes: number
  hops: Hop[]
}

/** Decisions of one interval. */
export interface Activity {
  startDateTime: string
  allowed: number
  blocked: number
  challenged: number
  failed: number
}

export const LOOP_KEY = ['loop']

export function useLoop() {
  const api = useApi()
  return useQuery({ queryKey: LOOP_KEY, queryFn: ({ signal }) => api.get<Loop>('/caegis/loop', { signal }) })
}

export function useActivity(hours: number) {
  const api = useApi()
  return useQuery({
    queryKey: ['activity', hours],
    queryFn: ({ signal }) => api.get<Page<Activity> & { intervalMinutes: number }>(`/caegis/activity?hours=${hours}`, { signal }),
    placeholderData: (before) => before,
  })
}
