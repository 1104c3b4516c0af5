import { useInfiniteQuery } from '@tanstack/react-query'
import { createContext, useContext } from 'react'
import type { Api, Page } from './client.ts'

export const ApiContext = createContext<Api | undefined>(undefined)

export function useApi(): Api {
  const api = useContext(ApiContext)
  if (!api) throw new TypeError('useApi stands outside of a session')
  return api
}

/** A list, page after page. `key` begins with the resource, by which live changes find it. */
export function useList<T>(key: readonly unknown[], path: string, options: { eventual?: boolean; enabled?: boolean } = {}) {
  const api = useApi()
  const query = useInfiniteQuery({
    queryKey: [...key, path],
    queryFn: ({ pageParam, signal }) => api.get<Page<T>>(pageParam, { signal, eventual: options.eventual ?? false }),
    initialPageParam: path,
    getNextPageParam: (last) => last['@odata.nextLink'],
    ...(options.enabled === false ? { enabled: false } : {}),
  })
  return { ...query, rows: query.data?.pages.flatMap((page) => page.value), count: query.data?.pages[0]?.['@odata.count'] }
}
