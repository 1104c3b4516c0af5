import { Button, Group, Select, Stack, Tabs, Text, TextInput } from '@mantine/core'
import { Link } from 'wouter'
import { useLocations } from '../../api/locations.ts'
import { type StoredPolicy, usePolicies } from '../../api/policies.ts'
import { Empty } from '../../parts/empty.tsx'
import { useFilters } from '../../parts/filters.ts'
import type { Column } from '../../parts/grid.tsx'
import { Icon } from '../../parts/icon.tsx'
import { ListTable } from '../../parts/list-table.tsx'
import { Page } from '../../parts/page.tsx'
import { Status } from '../../parts/status.tsx'
import { t, tn } from '../../texts/texts.ts'
import { usePolicyActions } from './change-state.ts'
import { Contexts } from './contexts.tsx'
import { controlsText, STATE_TONES, whatText, whereText, whoText } from './describe.ts'
import { ImpactCell } from './impact-cell.tsx'
import { RowMenu } from './row-menu.tsx'

/** Who is let in, by what is asked of whom. */
export function Policies() {
  const [{ tab }, setFilters] = useFilters(['tab'])
  return (
    <Page
      title={t('policies.title')}
      actions={
        <Button component={Link} href="/policies/new" leftSection={<Icon name="plus" size={16} />}>
          {t('policies.new')}
        </Button>
      }
    >
      <Tabs value={tab || 'policies'} onChange={(value) => setFilters({ tab: value === 'contexts' ? 'contexts' : '' })} keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="policies">{t('policies.tabs.policies')}</Tabs.Tab>
          <Tabs.Tab value="contexts">{t('policies.tabs.contexts')}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="policies">
          <PolicyList />
        </Tabs.Panel>
        <Tabs.Panel value="contexts">
          <Contexts />
        </Tabs.Panel>
      </Tabs>
    </Page>
  )
}

function PolicyList() {
  const [{ q, state }, setFilters] = useFilters(['q', 'state'])
  const query = usePolicies()
  const places = new Map((useLocations().data ?? []).map(({ id, displayName }) => [id, displayName]))
  const actions = usePolicyActions(places)
  const wanted = q.trim().toLowerCase()
  const rows = query.data?.filter(({ policy }) => policy.displayName.toLowerCase().includes(wanted) && (state === '' || policy.state === state))
  const columns: Column<StoredPolicy>[] = [
    { header: t('policies.name'), cell: ({ policy }) => policy.displayName },
    { header: t('policies.state'), cell: ({ policy }) => <Status tone={STATE_TONES[policy.state]}>{t(`policies.states.${policy.state}`)}</Status> },
    { header: t('policies.appliesTo'), cell: ({ policy }) => <Applies policy={policy} />, wide: true },
    {
      header: t('policies.asks'),
      cell: ({ policy }) =>
        controlsText(policy).map((line) => (
          <Text key={line} size="sm">
            {line}
          </Text>
        )),
    },
    { header: t('policies.impact.title'), cell: (stored) => <ImpactCell stored={stored} /> },
    { header: t('policies.more'), cell: (stored) => <RowMenu stored={stored} actions={actions} /> },
  ]
  return (
    <Stack gap="md">
      <Group gap="sm">
        <TextInput
          aria-label={t('policies.search')}
          placeholder={t('policies.search')}
          leftSection={<Icon name="search" />}
          value={q}
          onChange={(event) => setFilters({ q: event.currentTarget.value })}
          style={{ flex: '1 1 220px' }}
          maw={420}
        />
        <Select
          aria-label={t('policies.state')}
          data={[
            { value: '', label: t('policies.states.any') },
            { value: 'enabled', label: t('policies.states.enabled') },
            { value: 'enabledForReportingButNotEnforced', label: t('policies.states.enabledForReportingButNotEnforced') },
            { value: 'disabled', label: t('policies.states.disabled') },
          ]}
          value={state}
          onChange={(value) => setFilters({ state: value ?? '' })}
          allowDeselect={false}
          w={180}
        />
        {rows && (
          <Text size="sm" c="dimmed">
            {tn('policies.found', rows.length)}
          </Text>
        )}
      </Group>
      <ListTable
        label={t('policies.title')}
        columns={columns}
        list={{ rows, error: query.error, hasNextPage: false, isFetchingNextPage: false, fetchNextPage: () => {}, refetch: query.refetch }}
        rowKey={({ policy }) => policy.id}
        href={({ policy }) => `/policies/${policy.id}`}
        minWidth={720}
        empty={
          query.data?.length === 0 ? (
            <Empty icon="policy" title={t('policies.empty.title')} text={t('policies.empty.text')}>
              <Button component={Link} href="/policies/new" mt="xs">
                {t('policies.empty.action')}
              </Button>
            </Empty>
          ) : (
            <Empty icon="search" title={t('policies.nothing.title')} text={t('policies.nothing.text')} />
          )
        }
      />
    </Stack>
  )
}

function Applies({ policy }: Pick<StoredPolicy, 'policy'>) {
  const where = whereText(policy)
  return (
    <>
      <Text size="sm">{whoText(policy)}</Text>
      <Text size="sm" c="dimmed">
        {whatText(policy)}
        {where && ` · ${where}`}
      </Text>
    </>
  )
}
