import { type Location, locationToGraph, parseLocation } from '@caegis/policy'
import { useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { ApiError, type Page } from '../../api/client.ts'
import { useApi } from '../../api/context.ts'
import { LOCATIONS, type LocationJson } from '../../api/locations.ts'
import { useConfirm } from '../../parts/confirm.tsx'
import { download } from '../../parts/download.ts'
import { useNotify } from '../../parts/notices.tsx'
import { t, tn } from '../../texts/texts.ts'

/** Locations out of Graph's JSON: one, a list of them, or an answer of Graph's with `value`. @throws ApiError with each mistake by its place */
export function readLocationFile(text: string): Location[] {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new ApiError(400, 'invalid_json', t('locations.transfer.noJson'), [{ target: '/', message: (error as Error).message }])
  }
  const list = Array.isArray(json) ? json : (((json as { value?: unknown } | null)?.value as unknown[] | undefined) ?? [json])
  const mistakes: { target: string; message: string }[] = []
  const found = list.flatMap((one, at) => {
    try {
      return [parseLocation({ ...(one as object), id: (one as { id?: string } | null)?.id ?? 'new' })]
    } catch (error) {
      const { detail = [] } = error as { detail?: { path: string; message: string }[] }
      mistakes.push(...detail.map(({ path, message }) => ({ target: `/${at}${path}`, message })))
      return []
    }
  })
  if (mistakes.length > 0) throw new ApiError(400, 'invalid_location', t('locations.transfer.mistaken'), mistakes)
  return found
}

/** Locations to a file and back. What has the name of one that is there takes its place. */
export function useTransfer(stored: readonly LocationJson[], setError: (error: unknown) => void) {
  const api = useApi()
  const confirm = useConfirm()
  const notify = useNotify()
  const queries = useQueryClient()
  const [busy, setBusy] = useState(false)

  async function exportAll(): Promise<void> {
    setBusy(true)
    setError(undefined)
    try {
      const all: LocationJson[] = []
      const names = 'id,displayName,isTrusted,ipRanges,countriesAndRegions,countryLookupMethod,includeUnknownCountriesAndRegions'
      for (let path: string | undefined = `${LOCATIONS}?$top=100&$select=${names}`; path; ) {
        const page: Page<LocationJson> = await api.get(path)
        all.push(...page.value)
        path = page['@odata.nextLink']
      }
      download('named-locations.json', { value: all.map(({ '@odata.etag': _, ...rest }) => rest) })
    } catch (error) {
      setError(error)
    } finally {
      setBusy(false)
    }
  }

  async function importFile(file: File): Promise<void> {
    setError(undefined)
    try {
      const found = readLocationFile(await file.text())
      const idOf = new Map(stored.map(({ id, displayName }) => [displayName, id]))
      const fresh = found.filter(({ displayName }) => !idOf.has(displayName))
      const known = found.filter(({ displayName }) => idOf.has(displayName))
      confirm({
        ...{
          title: tn('locations.transfer.title', found.length),
          text: t('locations.transfer.text'),
          action: t('locations.import'),
          danger: known.length > 0,
        },
        affects: [
          ...(fresh.length > 0 ? [t('locations.transfer.fresh', { names: namesOf(fresh) })] : []),
          ...(known.length > 0 ? [t('locations.transfer.known', { names: namesOf(known) })] : []),
        ],
        async run() {
          try {
            for (const one of found) {
              const { id: _, ...body } = locationToGraph(one)
              const id = idOf.get(one.displayName)
              await api.send(id === undefined ? 'POST' : 'PATCH', id === undefined ? LOCATIONS : `${LOCATIONS}/${id}`, body)
            }
            notify({ text: tn('locations.transfer.done', found.length) })
          } finally {
            await queries.invalidateQueries({ queryKey: ['locations'] })
          }
        },
      })
    } catch (error) {
      setError(error)
    }
  }

  return { exportAll, importFile, busy }
}

function namesOf(locations: readonly Location[]): string {
  const names = locations.slice(0, 10).map(({ displayName }) => displayName)
  return locations.length > names.length
    ? tn('locations.transfer.more', locations.length - names.length, { names: names.join(', ') })
    : names.join(', ')
}
