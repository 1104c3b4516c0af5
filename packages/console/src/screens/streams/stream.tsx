import { Alert, Anchor, Paper, SimpleGrid, Skeleton, Stack, Tabs, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { Link, useParams } from 'wouter'
import { useApi } from '../../api/context.ts'
import { type Stream as Row, useLiveStreams } from '../../api/streams.ts'
import { CopyId } from '../../parts/copy.tsx'
import { useFilters } from '../../parts/filters.ts'
import { Icon } from '../../parts/icon.tsx'
import { Page } from '../../parts/page.tsx'
import { Problem } from '../../parts/problem.tsx'
import { eventName } from '../../parts/reasons.ts'
import { Status } from '../../parts/status.tsx'
import { When } from '../../parts/when.tsx'
import { formatNumber, t } from '../../texts/texts.ts'
import { Actions } from './actions.tsx'
import { Deliveries } from './deliveries.tsx'
import { healthOf, lagText, methodText, nameOf, rateText } from './health.ts'
import { Letters } from './letters.tsx'
import { useVerification, Verification } from './verification.tsx'

const TABS = ['deliveries', 'letters', 'details'] as const

/** One receiver's stream: how it is doing, what it got and did not take, and the administrator's say about it. */
export function Stream() {
  const { id = '' } = useParams<{ id: string }>()
  const api = useApi()
  useLiveStreams()
  const { data, error, refetch } = useQuery({
    queryKey: ['streams', id],
    queryFn: ({ signal }) => api.get<Row>(`/caegis/streams/${encodeURIComponent(id)}`, { signal }),
  })
  if (data) return <Known stream={data} />
  return (
    <Page title={t('streams.one')}>
      {error ? (
        <Problem error={error} retry={() => void refetch()} />
      ) : (
        <Stack role="status" aria-busy="true" aria-label={t('shell.loading')}>
          <Skeleton height={110} radius="md" />
          <Skeleton height={300} radius="md" />
        </Stack>
      )}
    </Page>
  )
}

function Known({ stream }: { stream: Row }) {
  const [{ tab }, setFilters] = useFilters(['tab'])
  const verification = useVerification(stream)
  const { tone, word, why } = healthOf(stream)
  const shown = TABS.find((one) => one === tab) ?? 'deliveries'
  return (
    <Page title={nameOf(stream)} badge={<Status tone={tone}>{word}</Status>} actions={<Actions stream={stream} verify={verification.ask} />}>
      {why && tone !== 'good' && (
        <Alert color={tone === 'bad' ? 'red' : 'orange'} variant="light" icon={<Icon name="warning" />}>
          {why}
          {stream.lane?.retryDateTime && (
            <>
              {' '}
              {t('streams.nextTry')} <When at={stream.lane.retryDateTime} />.
            </>
          )}
        </Alert>
      )}
      <Verification state={verification} stream={stream} />
      <Figures stream={stream} />
      <Tabs value={shown} onChange={(value) => setFilters({ tab: value === 'deliveries' || value === null ? '' : value })} keepMounted={false}>
        <Tabs.List>
          <Tabs.Tab value="deliveries">{t('streams.tab.deliveries')}</Tabs.Tab>
          <Tabs.Tab value="letters">{t('streams.tab.letters', { count: formatNumber(stream.deadLetters) })}</Tabs.Tab>
          <Tabs.Tab value="details">{t('streams.tab.details')}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="deliveries" pt="md">
          <Deliveries stream={stream} />
        </Tabs.Panel>
        <Tabs.Panel value="letters" pt="md">
          <Letters stream={stream} />
        </Tabs.Panel>
        <Tabs.Panel value="details" pt="md">
          <Details stream={stream} />
        </Tabs.Panel>
      </Tabs>
    </Page>
  )
}

function Figures({ stream }: { stream: Row }) {
  return (
    <SimpleGrid cols={{ base: 2, sm: 4 }} spacing="md">
      <Figure label={t('streams.backlog')}>{lagText(stream)}</Figure>
      <Figure label={t('streams.rate.long')}>{rateText(stream)}</Figure>
      <Figure label={t('streams.verified')}>
        <When at={stream.verifiedDateTime} />
      </Figure>
      <Figure label={stream.guard ? t('streams.upTo') : t('streams.kind')}>
        {stream.guard ? <When at={stream.applied?.asOfDateTime} /> : methodText(stream)}
      </Figure>
    </SimpleGrid>
  )
}

function Figure({ label, children }: { label: string; children: ReactNode }) {
  return (
    <Paper withBorder radius="md" p="sm">
      <Text size="xs" c="dimmed">
        {label}
      </Text>
      <Text component="div" fw={600}>
        {children}
      </Text>
    </Paper>
  )
}

function Details({ stream }: { stream: Row }) {
  const { id, appId, audience, description, delivery, subjects, algorithm, guard, createdDateTime, seenDateTime, eventsDelivered, acked } = stream
  const rows: [string, ReactNode][] = [
    [
      t('streams.receiver'),
      <Anchor key="app" component={Link} href={`/applications?q=${encodeURIComponent(appId)}`}>
        {nameOf(stream)}
      </Anchor>,
    ],
    [t('streams.detail.description'), description ?? '–'],
    [t('streams.kind'), methodText(stream)],
    ...(delivery.endpointUrl ? [[t('streams.detail.endpoint'), delivery.endpointUrl] as [string, ReactNode]] : []),
    [t('streams.detail.audience'), audience],
    [t('streams.detail.subjects'), t(subjects === 'simple' ? 'streams.detail.simple' : 'streams.detail.complex')],
    [t('streams.detail.algorithm'), algorithm],
    [t('streams.detail.events'), guard ? t('streams.detail.everything') : eventsDelivered.map(eventName).join(', ') || t('streams.detail.nothing')],
    [t('streams.detail.acked'), formatNumber(acked)],
    [t('streams.detail.created'), <When key="created" at={createdDateTime} />],
    [t('streams.seen'), <When key="seen" at={seenDateTime} />],
    [t('streams.detail.id'), <CopyId key="id" value={id} label={t('streams.detail.id')} />],
  ]
  return (
    <Paper
      withBorder
      radius="md"
      p="md"
      component="dl"
      m={0}
      style={{ display: 'grid', gridTemplateColumns: 'minmax(80px, max-content) minmax(0, 1fr)', gap: '0.5rem 1rem' }}
    >
      {rows.map(([label, value]) => (
        <div key={label} style={{ display: 'contents' }}>
          <Text component="dt" size="sm" c="dimmed">
            {label}
          </Text>
          <Text component="dd" size="sm" m={0} style={{ overflowWrap: 'anywhere' }}>
            {value}
          </Text>
        </div>
      ))}
    </Paper>
  )
}
