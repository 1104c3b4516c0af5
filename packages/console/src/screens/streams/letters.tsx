import { Button, Group, Stack, Text } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { useApi, useList } from '../../api/context.ts'
import type { DeadLetter, Redelivered, Stream } from '../../api/streams.ts'
import { useConfirm } from '../../parts/confirm.tsx'
import { Empty } from '../../parts/empty.tsx'
import type { Column } from '../../parts/grid.tsx'
import { ListTable } from '../../parts/list-table.tsx'
import { useNotify } from '../../parts/notices.tsx'
import { reasonOf } from '../../parts/reasons.ts'
import { When } from '../../parts/when.tsx'
import { t, tn } from '../../texts/texts.ts'
import { nameOf } from './health.ts'

/** Sends dead letters once more, all or those named, and says which of them stay and why. */
export function useRedeliver(stream: Stream): (ids?: string[]) => Promise<void> {
  const api = useApi()
  const queries = useQueryClient()
  const notify = useNotify()
  return async (ids) => {
    try {
      const { body } = await api.send<Redelivered>('POST', `/caegis/streams/${stream.id}/deadLetters/redeliver`, ids && { ids })
      await queries.invalidateQueries({ queryKey: ['streams', stream.id] })
      const { queued, refused } = body
      const stays = [...new Set(refused.map(({ reason }) => t(`streams.letter.${reason}`)))].join(' ')
      notify({
        text: [tn('streams.letter.queued', queued.length), ...(refused.length > 0 ? [tn('streams.letter.stay', refused.length), stays] : [])].join(
          ' ',
        ),
        tone: queued.length > 0 ? 'good' : 'bad',
      })
    } catch (error) {
      notify({ text: (error as Error).message, tone: 'bad' })
    }
  }
}

/** What the receiver did not take. */
export function Letters({ stream }: { stream: Stream }) {
  const list = useList<DeadLetter>(['streams', stream.id, 'deadLetters'], `/caegis/streams/${stream.id}/deadLetters?$top=50`)
  const confirm = useConfirm()
  const redeliver = useRedeliver(stream)
  const columns: Column<DeadLetter>[] = [
    { header: t('streams.delivery.seq'), cell: ({ seq }) => t('streams.letter.event', { seq }) },
    { header: t('streams.letter.why'), cell: ({ reason }) => reasonOf(reason) },
    { header: t('streams.letter.attempts'), cell: ({ attempts }) => attempts },
    { header: t('streams.letter.died'), cell: ({ diedDateTime }) => <When at={diedDateTime} /> },
    {
      header: t('streams.letter.again'),
      cell: ({ id, seq }) => (
        <Button size="compact-sm" variant="default" aria-label={t('streams.letter.redeliverOne', { seq })} onClick={() => void redeliver([id])}>
          {t('streams.letter.redeliver')}
        </Button>
      ),
    },
  ]
  return (
    <Stack gap="md">
      {stream.deadLetters > 0 && (
        <Group justify="space-between">
          <Text size="sm" c="dimmed" style={{ flex: '1 1 300px' }}>
            {t('streams.letter.text')}
          </Text>
          <Button
            variant="default"
            onClick={() =>
              confirm({
                ...{ title: t('streams.ask.redeliver.title', { name: nameOf(stream) }), text: t('streams.ask.redeliver.text') },
                ...{ affects: [tn('streams.affects.letters', stream.deadLetters)], action: t('streams.letter.redeliverAll'), danger: false },
                run: () => redeliver(),
              })
            }
          >
            {t('streams.letter.redeliverAll')}
          </Button>
        </Group>
      )}
      <ListTable
        label={t('streams.tab.lettersPlain')}
        columns={columns}
        list={list}
        rowKey={({ id }) => id}
        href={({ seq }) => `/streams/${stream.id}?delivery=${seq}`}
        minWidth={680}
        empty={<Empty icon="check" title={t('streams.letter.none.title')} text={t('streams.letter.none.text')} />}
      />
    </Stack>
  )
}
