import { useQuery } from '@tanstack/react-query'
import type { Page } from './client.ts'
import { useApi } from './context.ts'

export const CONTEXTS = '/identity/conditionalAccess/authenticationContextClassReferences'

/** Something that an application asks for by its name (`c1` to `c99`), and that policies say what it takes. */
export interface AuthenticationContext {
  id: string
  displayName: string
  description: string | null
  isAvailable: boolean
}

export function useContexts() {
  const api = useApi()
  return useQuery({
    queryKey: ['contexts'],
    queryFn: async ({ signal }) => (await api.get<Page<AuthenticationContext>>(CONTEXTS, { signal })).value,
  })
}
