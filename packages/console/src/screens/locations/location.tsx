import { Button, Skeleton, Stack } from '@mantine/core'
import { useMemo } from 'react'
import { useParams, useSearchParams } from 'wouter'
import { isCountry, LOCATIONS, type LocationJson, useLocation } from '../../api/locations.ts'
import { useConfirm } from '../../parts/confirm.tsx'
import { useDelete } from '../../parts/delete.ts'
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
  const confirm = useConfirm()
  const leave = useDelete()
  const [search] = useSearchParams()
  const uses = useUsedBy()(location)
  const { id, displayName, isTrusted = false } = location
  const txn = search.get('txn')
  const draft = useMemo(() => draftOf(location), [location])
  const remove = () =>
    confirm({
      ...{ title: t('locations.remove.title', { name: displayName }), text: t('locations.remove.text'), action: t('locations.remove.action') },
      run: () =>
        leave({
          ...{ path: `${LOCATIONS}/${id}`, headers: { 'if-match': location['@odata.etag'] ?? '*' }, id, kind: 'locations', to: '/locations' },
          ...{ done: t('locations.removed', { name: displayName }), proof: true },
        }),
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
