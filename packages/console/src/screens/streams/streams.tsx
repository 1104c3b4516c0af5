import { Group, SegmentedControl, Text, TextInput } from '@mantine/core'
import { useList } from '../../api/context.ts'
import { type Stream, useLiveStreams } from '../../api/streams.ts'
import { Empty } from '../../parts/empty.tsx'
import { useFilters } from '../../parts/filters.ts'
import type { Column } from '../../parts/grid.tsx'
import { Icon } from '../../parts/icon.tsx'
import { ListTable } from '../../parts/list-table.tsx'
import { Page } from '../../parts/page.tsx'
import { Status } from '../../parts/status.tsx'
import { When } from '../../parts/when.tsx'
import { t } from '../../texts/texts.ts'
import { byTrouble, healthOf, lagText, methodText, nameOf, rateText } from './health.ts'

const COLUMNS: Column<Stream>[] = [
  { header: t('streams.receiver'), cell: (stream) => <Name stream={stream} /> },
  { header: t('streams.status'), cell: (stream) => <Health stream={stream} /> },
  { header: t('streams.kind'), cell: methodText, wide: true },
  { header: t('streams.backlog'), cell: lagText },
  { header: t('streams.rate.title'), cell: rateText },
  { header: t('streams.verified'), cell: ({ verifiedDateTime }) => <When at={verifiedDateTime} />, wide: true },
  {
    header: t('streams.seen'),
    cell: ({ seenDateTime, guard, delivery }) => (guard || !delivery.endpointUrl ? <When at={seenDateTime} /> : '–'),
    wide: true,
  },
]

/** Everybody who is told of changes, and how well that goes; those in trouble first. */
export function Streams() {
  const [{ q, show }, setFilters] = useFilters(['q', 'show'])
  const list = useList<Stream>(['streams'], '/caegis/streams?$top=999')
  useLiveStreams()
  const wanted = q.trim().toLowerCase()
  const rows = list.rows
    ?.filter((one) => wanted === '' || `${nameOf(one)} ${one.appId} ${one.id} ${one.description ?? ''}`.toLowerCase().includes(wanted))
    .filter((one) => show !== 'trouble' || healthOf(one).tone !== 'good')
    .sort(byTrouble)
  const none = list.rows?.length === 0
  return (
    <Page title={t('streams.title')}>
      {!none && (
        <Group>
          <TextInput
            aria-label={t('streams.search')}
            placeholder={t('streams.search')}
            leftSection={<Icon name="search" />}
            value={q}
            onChange={(event) => setFilters({ q: event.currentTarget.value })}
            style={{ flex: '1 1 240px' }}
            maw={420}
          />
          <SegmentedControl
            aria-label={t('streams.show')}
            value={show === 'trouble' ? show : 'all'}
            onChange={(value) => setFilters({ show: value === 'all' ? '' : value })}
            data={[
              { value: 'all', label: t('streams.all') },
              { value: 'trouble', label: t('streams.trouble') },
            ]}
          />
        </Group>
      )}
      <ListTable
        label={t('streams.title')}
        columns={COLUMNS}
        list={{ ...list, rows }}
        rowKey={({ id }) => id}
        href={({ id }) => `/streams/${id}`}
        minWidth={640}
        empty={
          none ? (
            <Empty icon="stream" title={t('streams.empty.title')} text={t('streams.empty.text')} />
          ) : (
            <Empty icon="check" title={t('streams.nothing.title')} text={t('streams.nothing.text')} />
          )
        }
      />
    </Page>
  )
}

/** Copies of one API are told apart by their ids. */
function Name({ stream }: { stream: Stream }) {
  return (
    <>
      {nameOf(stream)}
      <Text size="xs" c="dimmed" span display="block" fw={400} maw={220}>
        {[stream.id.slice(0, 8), ...(stream.description && !stream.guard ? [stream.description] : [])].join(' · ')}
      </Text>
    </>
  )
}

function Health({ stream }: { stream: Stream }) {
  const { tone, word, why } = healthOf(stream)
  return (
    <>
      <Status tone={tone}>{word}</Status>
      {why && (
        <Text size="xs" c="dimmed" maw={260}>
          {why}
        </Text>
      )}
    </>
  )
}
