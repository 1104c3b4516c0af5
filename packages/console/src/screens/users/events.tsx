import { Anchor, Text } from '@mantine/core'
import { Link } from 'wouter'
import { useList } from '../../api/context.ts'
import type { UserDetail } from '../../api/users.ts'
import { Empty } from '../../parts/empty.tsx'
import { quote } from '../../parts/filters.ts'
import type { Column } from '../../parts/grid.tsx'
import { ListTable } from '../../parts/list-table.tsx'
import { eventName } from '../../parts/reasons.ts'
import { When } from '../../parts/when.tsx'
import { isText, t } from '../../texts/texts.ts'

interface Event {
  id: string
  seq: number
  txn: string
  type: string
  committedDateTime: string
  payload: { initiating_entity?: string; reason_admin?: string | Record<string, string> }
}

const COLUMNS: Column<Event>[] = [
  { header: t('users.events.what'), cell: ({ type }) => eventName(type) },
  { header: t('users.events.when'), cell: (one) => <When at={one.committedDateTime} /> },
  {
    header: t('users.events.why'),
    cell: ({ payload }) => (
      <Text size="sm" c="dimmed">
        {reasonOf(payload.reason_admin) || whoOf(payload.initiating_entity)}
      </Text>
    ),
    wide: true,
  },
  {
    header: t('users.events.proof'),
    cell: ({ txn, type, committedDateTime }) => (
      <Anchor
        component={Link}
        href={`/revocations/${txn}`}
        size="sm"
        aria-label={t('users.events.proofOf', { what: eventName(type), at: committedDateTime })}
      >
        {t('parts.proof')}
      </Anchor>
    ),
  },
]

/** What the log says of somebody; what was committed about them reaches every receiver from there. */
export function Events({ user }: { user: UserDetail }) {
  const list = useList<Event>(['users', user.id, 'events'], `/caegis/events?$top=25&$filter=${encodeURIComponent(`userId eq ${quote(user.id)}`)}`)
  return (
    <ListTable
      label={t('users.tabs.events')}
      columns={COLUMNS}
      list={list}
      rowKey={({ id }) => id}
      minWidth={360}
      empty={<Empty icon="stream" title={t('users.events.none')} text={t('users.events.noneText', { name: user.displayName })} />}
    />
  )
}

function reasonOf(reason: string | Record<string, string> | undefined): string {
  return typeof reason === 'object' ? (reason.en ?? Object.values(reason)[0] ?? '') : (reason ?? '')
}

function whoOf(who: string | undefined): string {
  const key = `users.events.by.${who}`
  return isText(key) ? t(key) : (who ?? '')
}
