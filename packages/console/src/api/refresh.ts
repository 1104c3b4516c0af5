import { type QueryKey, useQueryClient } from '@tanstack/react-query'
import { useCallback, useEffect, useRef } from 'react'
import { type Topic, useLive } from './live.tsx'

/** Milliseconds in which many changes are looked up once. */
const TOGETHER = 700

/**
 * Asks anew for what begins with `key` when something happened that concerns it: at once the first time, then together.
 * @param concerns an id that messages about it contain; absent: all of them
 */
export function useRefresh(topics: readonly Topic[], key: QueryKey, concerns?: string): void {
  const queries = useQueryClient()
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  const hash = JSON.stringify(key)
  useEffect(() => () => clearTimeout(timer.current), [])
  useLive(
    topics,
    useCallback(
      (_event: string, data: unknown) => {
        if (timer.current !== undefined || (concerns !== undefined && !JSON.stringify(data).includes(concerns))) return
        timer.current = setTimeout(() => {
          timer.current = undefined
          void queries.invalidateQueries({ queryKey: JSON.parse(hash) as QueryKey })
        }, TOGETHER)
      },
      [queries, hash, concerns],
    ),
  )
}
