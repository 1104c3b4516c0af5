import { Button, Skeleton, Stack } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { useMemo } from 'react'
import { useLocation as useAddress, useParams, useSearchParams } from 'wouter'
import { useApi } from '../../api/context.ts'
import { isCountry, LOCATIONS, type LocationJson, useLocation } from '../../api/locations.ts'
import { useConfirm } from '../../parts/confirm.tsx'
import { useNotify } from '../../parts/notices.tsx'
import { Page } from '../../parts/page.tsx'
import { Problem } from '../../parts/problem.tsx'
import { Status } from '../../parts/status.tsx'
import { t } from '../../texts/texts.ts'
import { ReevaluationProgress } from '../policies/progress.tsx'
import { type LocationDraft, LocationForm } from './form.tsx'
import { useUsedBy } from './used-by.ts'

const EMPTY: LocationDraft = { kind: 'ip', displayName: '', isTrusted: false, ranges: '', countries: [], includeUnknown: false }

/** One named location, or a new one. */
export function LocationScreen() {
  const { id } = useParams<{ id?: string }>()
  const query = useLocation(id)
  if (id === undefined)
    return (
      <Page title={t('locations.newTitle')}>
        <LocationForm initial={EMPTY} uses={[]} />
      </Page>
    )
  if (query.error) return <Page title={t('locations.one')}>{<Problem error={query.error} retry={() => query.refetch()} />}</Page>
  if (!query.data)
    return (
      <Page title={t('locations.one')}>
        <Stack role="status" aria-label={t('shell.loading')}>
          <Skeleton height={36} />
          <Skeleton height={36} />
          <Skeleton height={240} />
        </Stack>
      </Page>
    )
  return <Stored key={query.data['@odata.etag']} location={query.data} />
}

function Stored({ location }: { location: LocationJson }) {
  const api = useApi()
  const confirm = useConfirm()
  const notify = useNotify()
  const queries = useQueryClient()
  const [, go] = useAddress()
  const [search] = useSearchParams()
  const uses = useUsedBy()(location)
  const { id, displayName, isTrusted = false } = location
  const txn = search.get('txn')
  const draft = useMemo(() => draftOf(location), [location])
  const remove = () =>
    confirm({
      ...{ title: t('locations.remove.title', { name: displayName }), text: t('locations.remove.text'), action: t('locations.remove.action') },
      async run() {
        const { txn: done } = await api.send('DELETE', `${LOCATIONS}/${id}`, undefined, { 'if-match': location['@odata.etag'] ?? '*' })
        notify({ text: t('locations.removed', { name: displayName }), txn: done })
        go('/locations')
        await queries.invalidateQueries({ queryKey: ['locations'] })
      },
    })
  return (
    <Page
      title={displayName}
      badge={isTrusted && <Status tone="good">{t('locations.trusted')}</Status>}
      actions={
        <Button variant="subtle" color="red" onClick={remove}>
          {t('locations.remove.action')}
        </Button>
      }
    >
      {txn && <ReevaluationProgress txn={txn} />}
      <LocationForm initial={draft} stored={location} uses={uses} />
    </Page>
  )
}

function draftOf(location: LocationJson): LocationDraft {
  const { displayName, isTrusted = false, ipRanges = [], countriesAndRegions = [], includeUnknownCountriesAndRegions = false } = location
  return {
    kind: isCountry(location) ? 'country' : 'ip',
    ...{ displayName, isTrusted, ranges: ipRanges.map(({ cidrAddress }) => cidrAddress).join('\n') },
    ...{ countries: countriesAndRegions, includeUnknown: includeUnknownCountriesAndRegions },
  }
}
