import { useQueryClient } from '@tanstack/react-query'
import type { Written } from '../api/client.ts'
import { useApi } from '../api/context.ts'
import { useNotify } from './notices.tsx'

export interface Writing {
  body?: object
  headers?: Record<string, string>
  /** What to say when it is done. */
  done?: string
  /** It becomes an event, whose way can be followed. */
  proof?: boolean
  /** Resources (the beginnings of query keys) that say something else now. */
  changes: readonly string[]
}

/** Writes, says what was done, and has what it changed asked for anew. @throws ApiError */
export function useWrite(): <T>(method: 'POST' | 'PATCH' | 'DELETE', path: string, writing: Writing) => Promise<Written<T>> {
  const api = useApi()
  const notify = useNotify()
  const queries = useQueryClient()
  return async <T>(method: 'POST' | 'PATCH' | 'DELETE', path: string, { body, headers, done, proof = false, changes }: Writing) => {
    const written = await api.send<T>(method, path, body, headers)
    if (done !== undefined) notify({ text: done, ...(proof ? { txn: written.txn } : {}) })
    await Promise.all(changes.map((resource) => queries.invalidateQueries({ queryKey: [resource] })))
    return written
  }
}
