import { Anchor, Group, Select } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { useCallback } from 'react'
import { Link } from 'wouter'
import { useList } from '../../api/context.ts'
import type { Device } from '../../api/devices.ts'
import { useLive } from '../../api/live.tsx'
import { Empty } from '../../parts/empty.tsx'
import { useFilters } from '../../parts/filters.ts'
import type { Column } from '../../parts/grid.tsx'
import { ListTable } from '../../parts/list-table.tsx'
import { searchFor } from '../../parts/names.ts'
import { Page } from '../../parts/page.tsx'
import { Search } from '../../parts/search.tsx'
import { When } from '../../parts/when.tsx'
import { isText, t } from '../../texts/texts.ts'
import { Compliance, Enabled } from './standing.tsx'

const COLUMNS: Column<Device>[] = [
  { header: t('devices.name'), cell: ({ displayName }) => displayName },
  { header: t('devices.compliance'), cell: (device) => <Compliance device={device} /> },
  { header: t('devices.status'), cell: (device) => <Enabled device={device} /> },
  {
    header: t('devices.owner'),
    cell: ({ owner, ownerDisplayName }) =>
      owner === null ? (
        t('devices.nobody')
      ) : (
        <Anchor component={Link} href={`/users/${owner}`} size="sm">
          {ownerDisplayName ?? owner}
        </Anchor>
      ),
  },
  { header: t('devices.trust'), cell: ({ trustType }) => trustOf(trustType), wide: true },
  { header: t('devices.lastUsed'), cell: ({ approximateLastSignInDateTime: at }) => <When at={at} />, wide: true },
]

export function trustOf(trustType: string): string {
  const key = `devices.trusts.${trustType}`
  return isText(key) ? t(key) : trustType
}

const STANDINGS = {
  compliant: 'isCompliant eq true',
  notCompliant: 'isCompliant eq false',
  unknown: 'isCompliant eq null',
  disabled: 'accountEnabled eq false',
} as const

/** What people sign in from. */
export function Devices() {
  const [{ q, standing, owner }, setFilters] = useFilters(['q', 'standing', 'owner'])
  const queries = useQueryClient()
  useLive(
    ['events'],
    useCallback(
      (_event, data) => {
        const { subject } = (data ?? {}) as { subject?: { device?: unknown } }
        if (subject?.device) void queries.invalidateQueries({ queryKey: ['devices'] })
      },
      [queries],
    ),
  )
  const terms = [
    ...(standing in STANDINGS ? [STANDINGS[standing as keyof typeof STANDINGS]] : []),
    ...(owner === '' ? [] : [`owner eq '${owner.replaceAll("'", "''")}'`]),
  ]
  const filter = terms.length === 0 ? '' : `&$filter=${encodeURIComponent(terms.join(' and '))}`
  const search = q === '' ? '' : `&${searchFor(q, 'displayName')}`
  const list = useList<Device>(['devices'], `/devices?$top=50&$orderby=displayName${filter}${search}`, { eventual: true })
  return (
    <Page title={t('devices.title')}>
      <Group gap="sm">
        <Search label={t('devices.search')} value={q} onChange={(text) => setFilters({ q: text })} />
        <Select
          aria-label={t('devices.compliance')}
          placeholder={t('devices.every')}
          data={(Object.keys(STANDINGS) as (keyof typeof STANDINGS)[]).map((value) => ({ value, label: t(`devices.standings.${value}`) }))}
          value={standing === '' ? null : standing}
          onChange={(value) => setFilters({ standing: value ?? '' })}
          clearable
          clearButtonProps={{ 'aria-label': t('devices.every') }}
          w={200}
        />
      </Group>
      <ListTable
        label={t('devices.title')}
        columns={COLUMNS}
        list={list}
        minWidth={620}
        rowKey={({ id }) => id}
        href={({ id }) => `/devices/${encodeURIComponent(id)}`}
        empty={
          q === '' && terms.length === 0 ? (
            <Empty icon="device" title={t('devices.empty.title')} text={t('devices.empty.text')} />
          ) : (
            <Empty icon="search" title={t('devices.none.title')} text={t('devices.none.text')} />
          )
        }
      />
    </Page>
  )
}
