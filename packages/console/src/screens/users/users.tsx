import { Button, Group, SegmentedControl, Select, Text, TextInput } from '@mantine/core'
import { useDebouncedValue, useDisclosure } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import type { Page as Listed } from '../../api/client.ts'
import { useApi, useList } from '../../api/context.ts'
import { useRefresh } from '../../api/refresh.ts'
import { USER_COLUMNS, type User } from '../../api/users.ts'
import { Empty } from '../../parts/empty.tsx'
import { useFilters } from '../../parts/filters.ts'
import type { Column } from '../../parts/grid.tsx'
import { Icon } from '../../parts/icon.tsx'
import { ListTable } from '../../parts/list-table.tsx'
import { searchFor, userFilter } from '../../parts/names.ts'
import { Page } from '../../parts/page.tsx'
import { t, tn } from '../../texts/texts.ts'
import { EnabledMark, RiskMark, RoleMarks } from './marks.tsx'
import { NewUser } from './new-user.tsx'

const COLUMNS: Column<User>[] = [
  { header: t('users.name'), cell: (user) => user.displayName },
  { header: t('users.userPrincipalName'), cell: (user) => user.userPrincipalName, wide: true },
  { header: t('users.status'), cell: (user) => <EnabledMark user={user} /> },
  { header: t('users.risk.title'), cell: (user) => <RiskMark level={user.riskLevel} /> },
  { header: t('users.kind'), cell: (user) => <RoleMarks user={user} />, wide: true },
]

const STATUS: Record<string, string> = { enabled: 'accountEnabled eq true', disabled: 'accountEnabled eq false' }
const KIND: Record<string, string> = { members: "userType eq 'Member'", guests: "userType eq 'Guest'" }

/** Everybody in the tenant, and who is found among them. */
export function Users() {
  const [{ q, status, kind, risk, words }, setFilters] = useFilters(['q', 'status', 'kind', 'risk', 'words'])
  const [adding, { open, close }] = useDisclosure(false)
  const filters = [
    ...(q === '' || words !== '' ? [] : [`(${userFilter(q)})`]),
    ...[STATUS[status], KIND[kind], risk === 'any' ? "riskLevel ne 'none'" : undefined].filter((one) => one !== undefined),
  ]
  const filter = filters.length > 0 ? `&$filter=${encodeURIComponent(filters.join(' and '))}` : ''
  const search = q !== '' && words !== '' ? `&${searchFor(q, 'displayName', 'userPrincipalName')}` : ''
  const list = useList<User>(['users', 'list'], `/users?$top=50&$orderby=displayName&${USER_COLUMNS}${filter}${search}`, { eventual: true })
  const anything = filter === '' && search === ''
  useRefresh(['events'], ['users', 'list'])
  return (
    <Page
      title={t('users.title')}
      badge={anything && <HowMany />}
      actions={
        <Button leftSection={<Icon name="plus" />} onClick={open}>
          {t('users.new.open')}
        </Button>
      }
    >
      <Group gap="sm" align="flex-end">
        <Search value={q} onChange={(text) => setFilters({ q: text, words: '' })} />
        <Select
          aria-label={t('users.status')}
          allowDeselect={false}
          w={150}
          value={status || 'any'}
          onChange={(value) => setFilters({ status: value === 'any' || value === null ? '' : value })}
          data={['any', 'enabled', 'disabled'].map((value) => ({ value, label: t(`users.filter.${value as 'enabled'}`) }))}
        />
        <Select
          aria-label={t('users.kind')}
          allowDeselect={false}
          w={150}
          value={kind || 'all'}
          onChange={(value) => setFilters({ kind: value === 'all' || value === null ? '' : value })}
          data={['all', 'members', 'guests'].map((value) => ({ value, label: t(`users.filter.${value as 'guests'}`) }))}
        />
        <SegmentedControl
          aria-label={t('users.risk.title')}
          value={risk === 'any' ? 'any' : 'all'}
          onChange={(value) => setFilters({ risk: value === 'any' ? 'any' : '' })}
          data={[
            { value: 'all', label: t('users.filter.anyRisk') },
            { value: 'any', label: t('users.filter.atRisk') },
          ]}
        />
      </Group>
      <ListTable
        label={t('users.title')}
        columns={COLUMNS}
        list={list}
        rowKey={(user) => user.id}
        href={(user) => `/users/${user.id}`}
        minWidth={320}
        empty={
          anything ? (
            <Empty icon="user" title={t('users.empty.title')} text={t('users.empty.text')} />
          ) : (
            <Empty icon="search" title={t('users.nobody.title')} text={q === '' ? t('users.nobody.filtered') : t('users.nobody.text')}>
              <Group gap="xs" mt="xs">
                {q !== '' && words === '' && (
                  <Button variant="light" onClick={() => setFilters({ words: 'all' })}>
                    {t('users.nobody.words')}
                  </Button>
                )}
                <Button variant="default" onClick={() => setFilters({ q: '', status: '', kind: '', risk: '', words: '' })}>
                  {t('users.nobody.clear')}
                </Button>
              </Group>
            </Empty>
          )
        }
      />
      <NewUser opened={adding} onClose={close} />
    </Page>
  )
}

/** Waits until somebody has stopped typing for a moment. */
function Search({ value, onChange }: { value: string; onChange(text: string): void }) {
  const [text, setText] = useState(value)
  const [wanted] = useDebouncedValue(text.trim(), 250)
  // biome-ignore lint/correctness/useExhaustiveDependencies: what was typed goes there, and not the other way round
  useEffect(() => {
    if (wanted !== value) onChange(wanted)
  }, [wanted])
  // What was cleared elsewhere is cleared here.
  useEffect(() => {
    if (value === '') setText('')
  }, [value])
  return (
    <TextInput
      type="search"
      aria-label={t('users.search')}
      placeholder={t('users.search')}
      leftSection={<Icon name="search" />}
      value={text}
      onChange={(event) => setText(event.currentTarget.value)}
      style={{ flex: '1 1 16rem' }}
      maw={420}
      autoComplete="off"
      spellCheck={false}
    />
  )
}

function HowMany() {
  const api = useApi()
  const { data } = useQuery({
    queryKey: ['users', 'count'],
    queryFn: async ({ signal }) => (await api.get<Listed<User>>('/users?$top=1&$count=true&$select=id', { signal, eventual: true }))['@odata.count'],
    staleTime: 30_000,
  })
  return data === undefined ? null : (
    <Text c="dimmed" size="sm">
      {tn('users.count', data)}
    </Text>
  )
}
