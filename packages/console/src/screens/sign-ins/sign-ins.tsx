import { Stack, Switch, Text } from '@mantine/core'
import { useState } from 'react'
import { type SignIn, useSignIns, whoOf } from '../../api/sign-ins.ts'
import { Empty } from '../../parts/empty.tsx'
import type { Column } from '../../parts/grid.tsx'
import { ListTable } from '../../parts/list-table.tsx'
import { Page } from '../../parts/page.tsx'
import { When } from '../../parts/when.tsx'
import { t } from '../../texts/texts.ts'
import { isFiltered, SignInFilters, useSignInFilters } from './filters.tsx'
import { useLiveSignIns } from './live-rows.ts'
import { apiOf, OutcomeMark } from './outcome.tsx'
import { WhyBox } from './why-box.tsx'

const COLUMNS: Column<SignIn>[] = [
  {
    header: t('signIns.who'),
    cell: (one) => (
      <>
        {whoOf(one) || t('signIns.unknown')}
        <Text size="xs" c="dimmed" hiddenFrom="sm">
          {one.appDisplayName || one.appId || t('signIns.none')}
          <br />
          <When at={one.createdDateTime} />
        </Text>
      </>
    ),
  },
  {
    header: t('signIns.result'),
    cell: (one) => (
      <Stack gap={2} align="flex-start">
        <OutcomeMark signIn={one} />
        {one.status.failureReason && (
          <Text size="xs" c="dimmed" maw={320}>
            {one.status.failureReason}
          </Text>
        )}
      </Stack>
    ),
  },
  {
    header: t('signIns.when'),
    wide: true,
    cell: (one) => (
      <Text size="sm">
        <When at={one.createdDateTime} />
      </Text>
    ),
  },
  {
    header: t('signIns.application'),
    wide: true,
    cell: (one) => (
      <>
        <Text size="sm">{one.appDisplayName || one.appId || t('signIns.none')}</Text>
        {one.resourceDisplayName && (
          <Text size="xs" c="dimmed">
            {t('signIns.for', { api: apiOf(one) })}
          </Text>
        )}
      </>
    ),
  },
  {
    header: t('signIns.address'),
    wide: true,
    cell: (one) => (
      <>
        <Text size="sm">{one.ipAddress || t('signIns.unknownAddress')}</Text>
        {one.ipAddressFromResourceProvider && (
          <Text size="xs" c="dimmed">
            {t('signIns.atApi', { address: one.ipAddressFromResourceProvider })}
          </Text>
        )}
      </>
    ),
  },
]

/** Every decision of the issuer, newest first; what is decided meanwhile comes by itself. */
export function SignIns() {
  const [filters, setFilters, query] = useSignInFilters()
  const [live, setLive] = useState(true)
  const list = useSignIns(query)
  const rows = useLiveSignIns(list.rows, query, live)
  return (
    <Page
      title={t('signIns.title')}
      actions={<Switch label={t('signIns.live')} checked={live} onChange={(event) => setLive(event.currentTarget.checked)} />}
    >
      <WhyBox found={(correlation) => setFilters({ id: correlation, user: '', app: '', outcome: '', address: '', from: '', to: '' })} />
      <SignInFilters filters={filters} setFilters={setFilters} />
      <ListTable
        label={t('signIns.label')}
        columns={COLUMNS}
        list={{ ...list, rows }}
        rowKey={(one) => one.id}
        href={(one) => `/sign-ins/${one.id}`}
        minWidth={300}
        empty={
          isFiltered(filters) ? (
            <Empty icon="search" title={t('signIns.nothing.title')} text={t('signIns.nothing.text')} />
          ) : (
            <Empty icon="signIn" title={t('signIns.empty.title')} text={t('signIns.empty.text')} />
          )
        }
      />
    </Page>
  )
}
