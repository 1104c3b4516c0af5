import { Button, TextInput } from '@mantine/core'
import { useDebouncedValue, useDisclosure } from '@mantine/hooks'
import { useEffect, useState } from 'react'
import { useLocation } from 'wouter'
import { useList } from '../../api/context.ts'
import { type Group, isKnown } from '../../api/groups.ts'
import { useRefresh } from '../../api/refresh.ts'
import { Empty } from '../../parts/empty.tsx'
import { useFilters } from '../../parts/filters.ts'
import type { Column } from '../../parts/grid.tsx'
import { Icon } from '../../parts/icon.tsx'
import { ListTable } from '../../parts/list-table.tsx'
import { searchFor } from '../../parts/names.ts'
import { Page } from '../../parts/page.tsx'
import { When } from '../../parts/when.tsx'
import { t } from '../../texts/texts.ts'
import { EditGroup } from './edit.tsx'

const COLUMNS: Column<Group>[] = [
  { header: t('groups.name'), cell: (group) => group.displayName },
  { header: t('groups.description'), cell: (group) => group.description ?? '' },
  { header: t('groups.created'), cell: (group) => isKnown(group.createdDateTime) && <When at={group.createdDateTime} />, wide: true },
]

/** All groups, and those that are found among them. */
export function Groups() {
  const [{ q }, setFilters] = useFilters(['q'])
  const [text, setText] = useState(q)
  const [wanted] = useDebouncedValue(text.trim(), 250)
  const [adding, { open, close }] = useDisclosure(false)
  const [, navigate] = useLocation()
  // biome-ignore lint/correctness/useExhaustiveDependencies: what was typed goes there, and not the other way round
  useEffect(() => {
    if (wanted !== q) setFilters({ q: wanted })
  }, [wanted])
  const search = q === '' ? '' : `&${searchFor(q, 'displayName', 'description')}`
  const list = useList<Group>(['groups', 'list'], `/groups?$top=50&$orderby=displayName${search}`, { eventual: true })
  useRefresh(['events'], ['groups', 'list'])
  return (
    <Page
      title={t('groups.title')}
      actions={
        <Button leftSection={<Icon name="plus" />} onClick={open}>
          {t('groups.new')}
        </Button>
      }
    >
      <TextInput
        type="search"
        aria-label={t('groups.search')}
        placeholder={t('groups.search')}
        leftSection={<Icon name="search" />}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        maw={420}
        autoComplete="off"
        spellCheck={false}
      />
      <ListTable
        label={t('groups.title')}
        columns={COLUMNS}
        list={list}
        rowKey={(group) => group.id}
        href={(group) => `/groups/${group.id}`}
        empty={
          q === '' ? (
            <Empty icon="group" title={t('groups.empty.title')} text={t('groups.empty.text')} />
          ) : (
            <Empty icon="search" title={t('groups.nothing.title')} text={t('groups.nothing.text')} />
          )
        }
      />
      <EditGroup opened={adding} onClose={close} onMade={(group) => navigate(`/groups/${group.id}`)} />
    </Page>
  )
}
