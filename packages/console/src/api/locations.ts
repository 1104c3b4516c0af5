import { skipToken, useQuery } from '@tanstack/react-query'
import type { Page } from './client.ts'
import { useApi } from './context.ts'

export const LOCATIONS = '/identity/conditionalAccess/namedLocations'

/** A named location as Graph writes it; lists leave the ranges out. */
export interface LocationJson {
  '@odata.type': '#microsoft.graph.ipNamedLocation' | '#microsoft.graph.countryNamedLocation'
  '@odata.etag'?: string
  id: string
  displayName: string
  modifiedDateTime?: string | null
  createdDateTime?: string
  isTrusted?: boolean
  ipRanges?: { cidrAddress: string }[]
  countriesAndRegions?: string[]
  includeUnknownCountriesAndRegions?: boolean
}

export function isCountry(location: Pick<LocationJson, '@odata.type'>): boolean {
  return location['@odata.type'] === '#microsoft.graph.countryNamedLocation'
}

/** All of them (a tenant has at most a thousand), without their ranges. */
export function useLocations() {
  const api = useApi()
  return useQuery({
    queryKey: ['locations'],
    queryFn: async ({ signal }) => {
      const all: LocationJson[] = []
      for (let path: string | undefined = `${LOCATIONS}?$top=999&$orderby=displayName`; path; ) {
        const page: Page<LocationJson> = await api.get(path, { signal })
        all.push(...page.value)
        path = page['@odata.nextLink']
      }
      return all
    },
  })
}

export function useLocation(id: string | undefined) {
  const api = useApi()
  return useQuery({
    queryKey: ['locations', id],
    queryFn: id === undefined ? skipToken : ({ signal }) => api.get<LocationJson>(`${LOCATIONS}/${id}`, { signal }),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  })
}
