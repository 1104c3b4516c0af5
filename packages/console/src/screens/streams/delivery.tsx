import { Anchor, Button, Code, CopyButton, Drawer, Group, Loader, Stack, Text, Title } from '@mantine/core'
import { skipToken, useQuery } from '@tanstack/react-query'
import { Link } from 'wouter'
import { useApi } from '../../api/context.ts'
import { DELIVERY_TIMES, type DeliveryWithSet, type Stream } from '../../api/streams.ts'
import { CopyId } from '../../parts/copy.tsx'
import { Icon } from '../../parts/icon.tsx'
import { Problem } from '../../parts/problem.tsx'
import { eventName, reasonOf } from '../../parts/reasons.ts'
import { Status } from '../../parts/status.tsx'
import { formatDuration } from '../../parts/when.tsx'
import { t } from '../../texts/texts.ts'
import { DELIVERY_TONES } from './health.ts'
import { useRedeliver } from './letters.tsx'

/** One event on this stream: what became of it, and what its SET says. */
export function DeliveryDrawer({ stream, seq, close }: { stream: Stream; seq: string | undefined; close(): void }) {
  const api = useApi()
  const { data, error } = useQuery({
    queryKey: ['streams', stream.id, 'delivery', seq],
    queryFn:
      seq === undefined
        ? skipToken
        : ({ signal }) => api.get<DeliveryWithSet>(`/caegis/streams/${stream.id}/deliveries/${encodeURIComponent(seq)}`, { signal }),
  })
  return (
    <Drawer
      opened={seq !== undefined}
      onClose={close}
      position="right"
      size="lg"
      title={
        <Text span fw={700}>
          {data ? eventName(data.type) : t('streams.delivery.one')}
        </Text>
      }
      closeButtonProps={{ 'aria-label': t('parts.close') }}
    >
      {error ? <Problem error={error} /> : data ? <Body stream={stream} delivery={data} /> : <Loader role="status" aria-label={t('shell.loading')} />}
    </Drawer>
  )
}

function Body({ stream, delivery }: { stream: Stream; delivery: DeliveryWithSet }) {
  const { id, txn, jti, state, times, committedDateTime, set } = delivery
  const redeliver = useRedeliver(stream)
  return (
    <Stack gap="md">
      <Group justify="space-between">
        <Status tone={DELIVERY_TONES[state]}>{t(`streams.state.${state}`)}</Status>
        <Group gap="xs">
          {state === 'dead' && (
            <Button size="compact-sm" onClick={() => void redeliver([id])}>
              {t('streams.letter.redeliver')}
            </Button>
          )}
          <Anchor component={Link} href={`/revocations/${txn}`} size="sm">
            {t('streams.delivery.toProof')}
          </Anchor>
        </Group>
      </Group>
      <Stack gap={4} component="ul" m={0} p={0} style={{ listStyle: 'none' }} aria-label={t('streams.delivery.times')}>
        <Text component="li" size="sm">
          {t('streams.time.committed', { at: exact.format(new Date(committedDateTime)) })}
        </Text>
        {DELIVERY_TIMES.flatMap((name) => {
          const time = times[name]
          return time ? [{ name, ...time }] : []
        })
          .sort((a, b) => (a.at < b.at ? -1 : 1))
          .map(({ name, at, attempt = 0, reason }) => (
            <Text component="li" size="sm" key={name}>
              {t(`streams.time.${name}`, { after: formatDuration(Math.max(0, Date.parse(at) - Date.parse(committedDateTime))) })}
              {attempt > 1 && ` · ${t('streams.time.attempt', { count: attempt })}`}
              {reason && ` · ${reasonOf(reason)}`}
            </Text>
          ))}
      </Stack>
      <Group gap="xs">
        <Text size="sm" c="dimmed">
          jti
        </Text>
        <CopyId value={jti} label="jti" />
      </Group>
      {set ? (
        <>
          <Text size="sm" c="dimmed">
            {t('streams.delivery.setText')}
          </Text>
          <Json title={t('streams.delivery.header')} value={set.header} />
          <Json title={t('streams.delivery.claims')} value={set.claims} />
        </>
      ) : (
        <Text size="sm">{t('streams.delivery.noSet')}</Text>
      )}
    </Stack>
  )
}

const exact = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'long' })

function Json({ title, value }: { title: string; value: object }) {
  const text = JSON.stringify(value, null, 2)
  return (
    <section aria-label={title}>
      <Group justify="space-between" mb={4}>
        <Title order={3} size="h5">
          {title}
        </Title>
        <CopyButton value={text}>
          {({ copied, copy }) => (
            <Button size="compact-sm" variant="default" leftSection={<Icon name={copied ? 'check' : 'copy'} size={14} />} onClick={copy}>
              {copied ? t('parts.copied') : t('parts.copy', { what: title.toLowerCase() })}
            </Button>
          )}
        </CopyButton>
      </Group>
      <Code block style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>
        {text}
      </Code>
    </section>
  )
}
