import { Anchor, Group, Paper, Stack, Text, Title } from '@mantine/core'
import { Link } from 'wouter'
import { useLiveState } from '../../api/live.tsx'
import type { Hop, HopName, HopState, Loop } from '../../api/loop.ts'
import { Icon, type IconName } from '../../parts/icon.tsx'
import { Status, type Tone } from '../../parts/status.tsx'
import { formatDuration, When } from '../../parts/when.tsx'
import { formatNumber, t, tn } from '../../texts/texts.ts'
import classes from './loop-strip.module.css'

const TONES: Record<HopState, Tone> = { ok: 'good', slow: 'warn', stale: 'bad', idle: 'quiet' }
const ICONS: Record<HopName, IconName> = { change: 'key', log: 'overview', streams: 'stream', guards: 'policy', refusals: 'stop', signIns: 'signIn' }
const LEADS: Partial<Record<HopName, string>> = { streams: '/streams', guards: '/streams', signIns: '/sign-ins' }

/** The way of a revocation, hop by hop: what has come through, how long it took, and what waits. */
export function LoopStrip({ loop }: { loop: Loop }) {
  const live = useLiveState()
  return (
    <Stack gap="xs" component="section" aria-labelledby="loop-title">
      <Group justify="space-between" align="baseline" gap="xs">
        <Title order={2} size="h4" id="loop-title">
          {t('overview.loop.title')}
        </Title>
        <Text size="xs" c="dimmed">
          {t('overview.loop.window', { minutes: loop.windowMinutes })}
          {/* What is told when it changes is true until then. */}
          {live !== 'live' && (
            <>
              {t('overview.loop.asOf')} <When at={loop.asOfDateTime} />
            </>
          )}
        </Text>
      </Group>
      <ol className={classes.strip}>
        {loop.hops.map((hop) => (
          <li key={hop.hop} className={classes.hop}>
            <HopCard hop={hop} />
          </li>
        ))}
      </ol>
    </Stack>
  )
}

function HopCard({ hop: { hop, state, backlog, count, p50Milliseconds, p95Milliseconds, detail } }: { hop: Hop }) {
  const lead = LEADS[hop]
  const name = t(`overview.loop.hops.${hop}.name`)
  return (
    <Paper withBorder radius="md" p="sm" h="100%" className={classes.card} data-state={state}>
      <Stack gap={6} h="100%">
        <div className={classes.head}>
          <Group gap={6} wrap="nowrap" c="dimmed">
            <Icon name={ICONS[hop]} size={16} />
            <Title order={3} size="sm" c="var(--mantine-color-text)">
              {lead ? (
                <Anchor component={Link} href={lead} inherit c="inherit" underline="hover">
                  {name}
                </Anchor>
              ) : (
                name
              )}
            </Title>
          </Group>
          <Status tone={TONES[state]}>{t(`overview.loop.states.${state}`)}</Status>
        </div>
        <dl className={classes.figures}>
          {p50Milliseconds !== null && p95Milliseconds !== null ? (
            <>
              <Figure label={t('overview.loop.p50')} value={formatDuration(p50Milliseconds)} strong />
              <Figure label={t('overview.loop.p95')} value={formatDuration(p95Milliseconds)} />
            </>
          ) : (
            <Figure label={t(`overview.loop.hops.${hop}.count`)} value={formatNumber(count)} strong />
          )}
          <Figure label={t(`overview.loop.hops.${hop}.backlog`)} value={formatNumber(backlog)} warn={backlog > 0 && state === 'stale'} />
        </dl>
        <Text size="xs" c="dimmed" mt="auto">
          {hop === 'guards' && detail.guards !== undefined && detail.guards > 0
            ? tn('overview.loop.live', detail.guards, { live: detail.live ?? 0 })
            : t(`overview.loop.hops.${hop}.text`)}
        </Text>
      </Stack>
    </Paper>
  )
}

function Figure({ label, value, strong = false, warn = false }: { label: string; value: string; strong?: boolean; warn?: boolean }) {
  return (
    <div className={classes.figure}>
      <Text component="dt" size="xs" c="dimmed">
        {label}
      </Text>
      <Text component="dd" size="sm" fw={strong || warn ? 700 : 500} m={0} {...(warn ? { c: 'var(--mantine-color-error)' } : {})}>
        {value}
      </Text>
    </div>
  )
}
