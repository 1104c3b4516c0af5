import { Button, Group, Select } from '@mantine/core'
import { useState } from 'react'
import { useLocation } from 'wouter'
import { type ApplicationRow, KINDS } from '../../api/applications.ts'
import { useList } from '../../api/context.ts'
import { Empty } from '../../parts/empty.tsx'
import { quote, useFilters } from '../../parts/filters.ts'
import type { Column } from '../../parts/grid.tsx'
import { Icon } from '../../parts/icon.tsx'
import { ListTable } from '../../parts/list-table.tsx'
import { searchFor } from '../../parts/names.ts'
import { Page } from '../../parts/page.tsx'
import { Search } from '../../parts/search.tsx'
import { Status } from '../../parts/status.tsx'
import { t } from '../../texts/texts.ts'
import { CreateApplication } from './create-application.tsx'

const COLUMNS: Column<ApplicationRow>[] = [
  { header: t('applications.name'), cell: ({ displayName }) => displayName },
  { header: t('applications.kind'), cell: ({ applicationType }) => t(`applications.kinds.${applicationType}`) },
  {
    header: t('applications.status'),
    cell: ({ accountEnabled }) => (
      <Status tone={accountEnabled ? 'good' : 'bad'}>{t(accountEnabled ? 'applications.enabled' : 'applications.disabled')}</Status>
    ),
  },
  { header: t('applications.appId'), cell: ({ appId }) => <code>{appId}</code> },
]

/** Clients and APIs, and who is found among them. */
export function Applications() {
  const [{ q, kind }, setFilters] = useFilters(['q', 'kind'])
  const [isCreating, setCreating] = useState(false)
  const [, go] = useLocation()
  const filter = kind === '' ? '' : `&$filter=${encodeURIComponent(`applicationType eq ${quote(kind)}`)}`
  const search = q === '' ? '' : `&${searchFor(q, 'displayName')}`
  const list = useList<ApplicationRow>(
    ['applications'],
    `/servicePrincipals?$top=50&$orderby=displayName&$select=appId,displayName,accountEnabled,applicationType,cae${filter}${search}`,
    { eventual: true },
  )
  const create = (
    <Button leftSection={<Icon name="plus" />} onClick={() => setCreating(true)}>
      {t('applications.create')}
    </Button>
  )
  return (
    <Page title={t('applications.title')} actions={create}>
      <Group gap="sm">
        <Search label={t('applications.search')} value={q} onChange={(text) => setFilters({ q: text })} />
        <Select
          aria-label={t('applications.kind')}
          placeholder={t('applications.everyKind')}
          data={KINDS.map((value) => ({ value, label: t(`applications.kinds.${value}`) }))}
          value={kind === '' ? null : kind}
          onChange={(value) => setFilters({ kind: value ?? '' })}
          clearable
          clearButtonProps={{ 'aria-label': t('applications.everyKind') }}
          w={220}
        />
      </Group>
      <ListTable
        label={t('applications.title')}
        columns={COLUMNS}
        list={list}
        minWidth={640}
        rowKey={({ appId }) => appId}
        href={({ appId }) => `/applications/${encodeURIComponent(appId)}`}
        empty={
          q === '' && kind === '' ? (
            <Empty icon="application" title={t('applications.empty.title')} text={t('applications.empty.text')} />
          ) : (
            <Empty icon="search" title={t('applications.none.title')} text={t('applications.none.text')} />
          )
        }
      />
      <CreateApplication opened={isCreating} close={() => setCreating(false)} created={(appId) => go(`/applications/${encodeURIComponent(appId)}`)} />
    </Page>
  )
}
