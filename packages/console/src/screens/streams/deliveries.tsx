import { Anchor, Select, SimpleGrid, Stack, Text, TextInput } from '@mantine/core'
import { useDebouncedCallback } from '@mantine/hooks'
import { useState } from 'react'
import { Link, useSearch } from 'wouter'
import { useList } from '../../api/context.ts'
import { DELIVERY_STATES, type Delivery, type Stream, userOf } from '../../api/streams.ts'
import { Empty } from '../../parts/empty.tsx'
import { quote, useFilters } from '../../parts/filters.ts'
import type { Column } from '../../parts/grid.tsx'
import { ListTable } from '../../parts/list-table.tsx'
import { useNames } from '../../parts/names.ts'
import { Pick } from '../../parts/pick.tsx'
import { eventName } from '../../parts/reasons.ts'
import { Status } from '../../parts/status.tsx'
import { When } from '../../parts/when.tsx'
import { t } from '../../texts/texts.ts'
import { DeliveryDrawer } from './delivery.tsx'
import { EVENT_TYPES } from './event-types.ts'
import { DELIVERY_TONES } from './health.ts'

const NAMES = ['user', 'type', 'txn', 'jti', 'state'] as const

/** The log as this receiver got it, searched by what is in the address; each event opens beside it. */
export function Deliveries({ stream }: { stream: Stream }) {
  const [filters, setFilters] = useFilters([...NAMES, 'delivery'])
  const search = useSearch()
  const { user, type, txn, jti, state, delivery } = filters
  const terms = Object.entries({ userId: user, type, txn, jti, state }).flatMap(([name, value]) =>
    value === '' ? [] : [`${name} eq ${quote(value)}`],
  )
  const query = terms.length === 0 ? '' : `&$filter=${encodeURIComponent(terms.join(' and '))}`
  const list = useList<Delivery>(['streams', stream.id, 'deliveries'], `/caegis/streams/${stream.id}/deliveries?$top=50${query}`)
  const people = useNames('users', [...new Set((list.rows ?? []).map(userOf).filter((id) => id !== undefined))].slice(0, 200))

  const to = (seq: number) => {
    const next = new URLSearchParams(search)
    next.set('delivery', String(seq))
    return `/streams/${stream.id}?${next}`
  }
  const columns: Column<Delivery>[] = [
    { header: t('streams.delivery.event'), cell: ({ type: uri }) => eventName(uri) },
    { header: t('streams.delivery.state'), cell: (one) => <Status tone={DELIVERY_TONES[one.state]}>{t(`streams.state.${one.state}`)}</Status> },
    {
      header: t('streams.delivery.user'),
      cell(one) {
        const id = userOf(one)
        return id === undefined ? '–' : (people.get(id)?.name ?? <Text size="sm" c="dimmed" span>{`${id.slice(0, 8)}…`}</Text>)
      },
    },
    { header: t('streams.delivery.when'), cell: ({ committedDateTime }) => <When at={committedDateTime} /> },
    {
      header: t('streams.delivery.change'),
      cell: (one) => (
        <Anchor component={Link} href={`/revocations/${one.txn}`} size="sm">
          {t('streams.delivery.proof')}
        </Anchor>
      ),
    },
    { header: t('streams.delivery.seq'), cell: ({ seq }) => seq, wide: true },
  ]
  return (
    <Stack gap="md">
      <SimpleGrid cols={{ base: 2, lg: 5 }} spacing="sm">
        <Pick kind="users" label={t('streams.delivery.user')} value={user === '' ? [] : [user]} onChange={([id = '']) => setFilters({ user: id })} />
        <Select
          label={t('streams.delivery.event')}
          placeholder={t('streams.any')}
          value={type === '' ? null : type}
          onChange={(value) => setFilters({ type: value ?? '' })}
          data={EVENT_TYPES.filter((one) => stream.guard || stream.eventsDelivered.includes(one)).map((one) => ({
            value: one,
            label: eventName(one),
          }))}
          clearable
          clearButtonProps={{ 'aria-label': t('streams.clear') }}
        />
        <Select
          label={t('streams.delivery.state')}
          placeholder={t('streams.any')}
          value={state === '' ? null : state}
          onChange={(value) => setFilters({ state: value ?? '' })}
          data={DELIVERY_STATES.map((one) => ({ value: one, label: t(`streams.state.${one}`) }))}
          clearable
          clearButtonProps={{ 'aria-label': t('streams.clear') }}
        />
        <Later label="txn" value={txn} onChange={(value) => setFilters({ txn: value })} />
        <Later label="jti" value={jti} onChange={(value) => setFilters({ jti: value })} />
      </SimpleGrid>
      <ListTable
        label={t('streams.tab.deliveries')}
        columns={columns}
        list={list}
        rowKey={({ seq }) => String(seq)}
        href={({ seq }) => to(seq)}
        minWidth={680}
        empty={
          terms.length > 0 ? (
            <Empty icon="search" title={t('streams.noMatch.title')} text={t('streams.noMatch.text')} />
          ) : (
            <Empty icon="stream" title={t('streams.noDelivery.title')} text={t('streams.noDelivery.text')} />
          )
        }
      />
      <DeliveryDrawer stream={stream} seq={delivery === '' ? undefined : delivery} close={() => setFilters({ delivery: '' })} />
    </Stack>
  )
}

/** A field whose text goes into the address when somebody pauses. */
function Later({ label, value, onChange }: { label: string; value: string; onChange(value: string): void }) {
  const [text, setText] = useState(value)
  const later = useDebouncedCallback((next: string) => onChange(next.trim()), 300)
  return (
    <TextInput
      label={label}
      value={text}
      spellCheck={false}
      autoComplete="off"
      onChange={(event) => {
        setText(event.currentTarget.value)
        later(event.currentTarget.value)
      }}
    />
  )
}
