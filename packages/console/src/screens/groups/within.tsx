import { useList } from '../../api/context.ts'
import type { Group } from '../../api/groups.ts'
import { Empty } from '../../parts/empty.tsx'
import type { Column } from '../../parts/grid.tsx'
import { ListTable } from '../../parts/list-table.tsx'
import { t } from '../../texts/texts.ts'

const COLUMNS: Column<Group>[] = [
  { header: t('groups.name'), cell: ({ displayName }) => displayName },
  { header: t('groups.description'), cell: ({ description }) => description ?? '' },
]

/** The groups that hold a group, directly or through others. */
export function Within({ group }: { group: Group }) {
  const list = useList<Group>(['groups', group.id, 'within'], `/groups/${group.id}/transitiveMemberOf?$top=50&$orderby=displayName`)
  return (
    <ListTable
      label={t('groups.tabs.within')}
      columns={COLUMNS}
      list={list}
      rowKey={({ id }) => id}
      href={({ id }) => `/groups/${id}`}
      empty={<Empty icon="group" title={t('groups.within.none')} text={t('groups.within.noneText', { name: group.displayName })} />}
    />
  )
}
