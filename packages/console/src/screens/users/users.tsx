import { TextInput } from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { useState } from 'react'
import { useList } from '../../api/context.ts'
import { Empty } from '../../parts/empty.tsx'
import { useFilters } from '../../parts/filters.ts'
import { Icon } from '../../parts/icon.tsx'
import { type Column, ListTable } from '../../parts/list-table.tsx'
import { Page } from '../../parts/page.tsx'
import { Status } from '../../parts/status.tsx'
import { t } from '../../texts/texts.ts'

interface User {
  id: string
  displayName: string
  userPrincipalName: string
  accountEnabled: boolean
}

const COLUMNS: Column<User>[] = [
  { header: t('users.name'), cell: (user) => user.displayName },
  { header: t('users.userPrincipalName'), cell: (user) => user.userPrincipalName },
  {
    header: t('users.status'),
    cell: ({ accountEnabled }) => <Status tone={accountEnabled ? 'good' : 'bad'}>{accountEnabled ? t('users.enabled') : t('users.disabled')}</Status>,
  },
]

/** Everybody in the tenant, and who is found among them. */
export function Users() {
  const [{ q }, setFilters] = useFilters(['q'])
  const [text, setText] = useState(q)
  const [wanted] = useDebouncedValue(text.trim(), 250)
  if (wanted !== q) setFilters({ q: wanted })
  const search =
    wanted === ''
      ? ''
      : `&$search=${encodeURIComponent(`"displayName:${wanted.replaceAll(/["\\]/g, '')}" OR "userPrincipalName:${wanted.replaceAll(/["\\]/g, '')}"`)}`
  const list = useList<User>(['users'], `/users?$top=50&$select=id,displayName,userPrincipalName,accountEnabled${search}`, { eventual: true })
  return (
    <Page title={t('users.title')}>
      <TextInput
        aria-label={t('users.search')}
        placeholder={t('users.search')}
        leftSection={<Icon name="search" />}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        maw={420}
      />
      <ListTable
        label={t('users.title')}
        columns={COLUMNS}
        list={list}
        rowKey={(user) => user.id}
        href={(user) => `/users/${user.id}`}
        empty={
          wanted === '' ? (
            <Empty icon="user" title={t('users.empty.title')} text={t('users.empty.text')} />
          ) : (
            <Empty icon="search" title={t('users.nobody.title')} text={t('users.nobody.text')} />
          )
        }
      />
    </Page>
  )
}
