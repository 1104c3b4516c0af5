import { type QueryKey, useQueryClient } from '@tanstack/react-query'
import { useCallback, useEffect, useRef } from 'react'
import { type Topic, useLive } from './live.tsx'

/** Milliseconds in which many changes are looked up once: soon for one thing, rarely for a list, all of whose pages are asked for. */
const TOGETHER = { one: 700, list: 5000 }

/**
 * Asks anew for what begins with `key` soon after something happened that concerns it.
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
        timer.current = setTimeout(
          () => {
            timer.current = undefined
            void queries.invalidateQueries({ queryKey: JSON.parse(hash) as QueryKey })
          },
          TOGETHER[concerns === undefined ? 'list' : 'one'],
        )
      },
      [queries, hash, concerns],
    ),
  )
}
