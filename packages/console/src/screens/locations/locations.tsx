import { Anchor, Button, FileButton, Group, Stack, Text, TextInput } from '@mantine/core'
import { useState } from 'react'
import { Link } from 'wouter'
import { isCountry, type LocationJson, useLocations } from '../../api/locations.ts'
import { Empty } from '../../parts/empty.tsx'
import { useFilters } from '../../parts/filters.ts'
import { Icon } from '../../parts/icon.tsx'
import { ListTable } from '../../parts/list-table.tsx'
import { Page } from '../../parts/page.tsx'
import { Problem } from '../../parts/problem.tsx'
import { Status } from '../../parts/status.tsx'
import { When } from '../../parts/when.tsx'
import { t, tn } from '../../texts/texts.ts'
import { countryName } from './countries.ts'
import { useTransfer } from './transfer.ts'
import { useUsedBy } from './used-by.ts'

/** Countries that are named before the rest is counted. */
const NAMED = 3

/** Places that policies can name. */
export function Locations() {
  const [{ q }, setFilters] = useFilters(['q'])
  const query = useLocations()
  const usedBy = useUsedBy()
  const [error, setError] = useState<unknown>()
  const { exportAll, importFile, busy } = useTransfer(query.data ?? [], setError)
  const wanted = q.trim().toLowerCase()
  const rows = query.data?.filter(({ displayName }) => displayName.toLowerCase().includes(wanted))
  return (
    <Page
      title={t('locations.title')}
      actions={
        <>
          <FileButton accept="application/json,.json" onChange={(file) => file && void importFile(file)}>
            {(props) => (
              <Button variant="default" leftSection={<Icon name="upload" size={16} />} {...props}>
                {t('locations.import')}
              </Button>
            )}
          </FileButton>
          <Button
            variant="default"
            leftSection={<Icon name="download" size={16} />}
            loading={busy}
            disabled={!query.data?.length}
            onClick={() => void exportAll()}
          >
            {t('locations.export')}
          </Button>
          <Button component={Link} href="/locations/new" leftSection={<Icon name="plus" size={16} />}>
            {t('locations.new')}
          </Button>
        </>
      }
    >
      {Boolean(error) && <Problem error={error} />}
      <Group gap="sm">
        <TextInput
          aria-label={t('locations.search')}
          placeholder={t('locations.search')}
          leftSection={<Icon name="search" />}
          value={q}
          onChange={(event) => setFilters({ q: event.currentTarget.value })}
          style={{ flex: '1 1 220px' }}
          maw={420}
        />
        {rows && (
          <Text size="sm" c="dimmed">
            {tn('locations.found', rows.length)}
          </Text>
        )}
      </Group>
      <ListTable
        label={t('locations.title')}
        minWidth={640}
        columns={[
          { header: t('locations.name'), cell: ({ displayName }) => displayName },
          { header: t('locations.kind'), cell: (location) => <Kind location={location} /> },
          { header: t('locations.usedBy'), cell: (location) => <Uses uses={usedBy(location)} /> },
          {
            header: t('locations.changed'),
            cell: ({ modifiedDateTime, createdDateTime }) => <When at={modifiedDateTime ?? createdDateTime} />,
            wide: true,
          },
        ]}
        list={{ rows, error: query.error, hasNextPage: false, isFetchingNextPage: false, fetchNextPage: () => {}, refetch: query.refetch }}
        rowKey={({ id }) => id}
        href={({ id }) => `/locations/${id}`}
        empty={
          query.data?.length === 0 ? (
            <Empty icon="location" title={t('locations.empty.title')} text={t('locations.empty.text')}>
              <Button component={Link} href="/locations/new" mt="xs">
                {t('locations.new')}
              </Button>
            </Empty>
          ) : (
            <Empty icon="search" title={t('locations.nothing.title')} text={t('locations.nothing.text')} />
          )
        }
      />
    </Page>
  )
}

function Kind({ location }: { location: LocationJson }) {
  if (!isCountry(location))
    return (
      <Group gap="xs">
        <Text size="sm">{t('locations.kinds.ip')}</Text>
        {location.isTrusted && <Status tone="good">{t('locations.trusted')}</Status>}
      </Group>
    )
  const { countriesAndRegions: codes = [], includeUnknownCountriesAndRegions: unknown } = location
  const names = codes.slice(0, NAMED).map(countryName).join(', ')
  const some = codes.length > NAMED ? tn('locations.countriesMore', codes.length - NAMED, { names }) : names
  return <Text size="sm">{[some, unknown ? t('locations.unknown') : ''].filter(Boolean).join(', ')}</Text>
}

function Uses({ uses }: { uses: ReturnType<ReturnType<typeof useUsedBy>> }) {
  if (uses.length === 0)
    return (
      <Text size="sm" c="dimmed">
        {t('locations.unused')}
      </Text>
    )
  return (
    <Stack gap={0}>
      {uses.slice(0, NAMED).map(({ id, displayName }) => (
        <Anchor key={id} component={Link} href={`/policies/${id}`} size="sm">
          {displayName}
        </Anchor>
      ))}
      {uses.length > NAMED && (
        <Text size="sm" c="dimmed">
          {tn('locations.moreUses', uses.length - NAMED)}
        </Text>
      )}
    </Stack>
  )
}
