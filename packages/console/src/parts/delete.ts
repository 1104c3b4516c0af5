import { type Query, useQueryClient } from '@tanstack/react-query'
import { useLocation } from 'wouter'
import { useApi } from '../api/context.ts'
import { whileLeaving } from '../api/leaving.ts'
import { useNotify } from './notices.tsx'

export interface Deletion {
  path: string
  headers?: Record<string, string>
  /** As the keys of queries about it have it. */
  id: string
  /** What keys of queries about its kind begin with. */
  kind: string
  /** What to say when it is done. */
  done: string
  /** It becomes an event, whose way can be followed. */
  proof?: boolean
  /** Where to be when it is done: its own page has nothing to show any more. */
  to?: string
}

/**
 * Deletes something, says so, goes away from its page and forgets what was known of it.
 * The page hears of the deletion before the answer is there, as it hears of any other change. Whoever asked again then
 * would only be told that it is not there: nothing is asked about it from the moment at which the request is sent.
 * @throws ApiError
 */
export function useDelete(): (deletion: Deletion) => Promise<void> {
  const api = useApi()
  const notify = useNotify()
  const queries = useQueryClient()
  const [here, go] = useLocation()
  return ({ path, headers, id, kind, done, proof = false, to }) => {
    const about = { predicate: ({ queryKey }: Query) => queryKey[0] === kind && queryKey.includes(id) }
    return whileLeaving(id, async () => {
      await queries.cancelQueries(about)
      const { txn } = await api.send('DELETE', path, undefined, headers)
      notify({ text: done, ...(proof ? { txn } : {}) })
      if (to !== undefined && to !== here) go(to)
      queries.removeQueries(about)
      await queries.invalidateQueries({ queryKey: [kind] })
    })
  }
}
