import { usePolicies } from '../../api/policies.ts'

/** Which policies look at a location: by its id, or because they look at all that are trusted. */
export function useUsedBy(): (location: { id: string; isTrusted?: boolean }) => { id: string; displayName: string; enforced: boolean }[] {
  const { data = [] } = usePolicies()
  return ({ id, isTrusted = false }) =>
    data.flatMap(({ policy }) => {
      const { includeLocations = [], excludeLocations = [] } = policy.conditions.locations ?? {}
      const named = [...includeLocations, ...excludeLocations]
      if (!named.includes(id) && !(isTrusted && named.includes('AllTrusted'))) return []
      return [{ id: policy.id, displayName: policy.displayName, enforced: policy.state === 'enabled' }]
    })
}
