import { Anchor, Stack, Text } from '@mantine/core'
import { Link } from 'wouter'
import { useList } from '../api/context.ts'
import { t } from '../texts/texts.ts'
import { Empty } from './empty.tsx'
import { quote } from './filters.ts'
import type { Column } from './grid.tsx'
import { ListTable } from './list-table.tsx'
import { Status } from './status.tsx'
import { When } from './when.tsx'

interface Audit {
  id: string
  activityDateTime: string
  activityDisplayName: string
  correlationId: string
  result: string
  resultReason: string
  initiatedBy: { user: { id: string; userPrincipalName: string } | null; app: { displayName: string } | null }
  targetResources: { id: string; modifiedProperties: { displayName: string; oldValue: string | null; newValue: string | null }[] }[]
}

/** What was changed about one thing, by whom, from what to what; newest first. */
export function AuditTable({ queryKey, target, none }: { queryKey: readonly unknown[]; target: string; none: string }) {
  const filter = encodeURIComponent(`targetResources/any(t:t/id eq ${quote(target)})`)
  const list = useList<Audit>(queryKey, `/auditLogs/directoryAudits?$top=25&$filter=${filter}`)
  const columns: Column<Audit>[] = [
    {
      header: t('audit.what'),
      cell: (one) => (
        <Stack gap={2}>
          <Text size="sm" fw={600}>
            {one.activityDisplayName}
          </Text>
          {one.targetResources
            .filter(({ id }) => id === target)
            .flatMap(({ modifiedProperties }) => modifiedProperties)
            .map(({ displayName, oldValue, newValue }) => (
              <Text key={displayName} size="xs" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
                {t('audit.changed', { what: displayName, before: plain(oldValue), after: plain(newValue) })}
              </Text>
            ))}
          {one.result !== 'success' && <Status tone="bad">{one.resultReason || one.result}</Status>}
        </Stack>
      ),
    },
    { header: t('audit.when'), cell: (one) => <When at={one.activityDateTime} /> },
    {
      header: t('audit.by'),
      cell: ({ initiatedBy: { user, app } }) =>
        user ? (
          <Anchor component={Link} href={`/users/${user.id}`} size="sm">
            {user.userPrincipalName}
          </Anchor>
        ) : (
          (app?.displayName ?? t('audit.nobody'))
        ),
    },
  ]
  return (
    <ListTable
      label={t('audit.title')}
      columns={columns}
      list={list}
      rowKey={({ id }) => id}
      empty={<Empty icon="clock" title={t('audit.none')} text={none} />}
    />
  )
}

/** Values are JSON in a text. */
function plain(value: string | null): string {
  if (value === null || value === '' || value === 'null') return t('audit.nothing')
  return value.startsWith('"') ? String(JSON.parse(value)) : value
}
