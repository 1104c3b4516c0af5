import { Alert, Anchor, List, Text } from '@mantine/core'
import { Link } from 'wouter'
import type { Hop, StreamProblem } from '../../api/loop.ts'
import { Icon } from '../../parts/icon.tsx'
import { t, tn } from '../../texts/texts.ts'

/** Nobody gets in while the tenant is stopped: whoever looks here should know at once. */
export function TenantStopped({ hops }: { hops: readonly Hop[] }) {
  if (hops.find(({ hop }) => hop === 'change')?.detail.tenant !== 'stopped') return null
  return (
    <Alert color="red.9" variant="filled" icon={<Icon name="stop" />} title={t('overview.stopped.title')} role="alert">
      {t('overview.stopped.text')}{' '}
      <Anchor component={Link} href="/settings" inherit c="inherit" underline="always">
        {t('overview.stopped.link')}
      </Anchor>
    </Alert>
  )
}

/** Receivers that would not hear of a revocation, each with the way to its stream. */
export function StaleReceivers({ hops }: { hops: readonly Hop[] }) {
  const problems = hops.flatMap(({ detail }) => detail.problems ?? [])
  const total = hops.reduce((sum, { detail }) => sum + (detail.problemsTotal ?? 0), 0)
  if (problems.length === 0) return null
  return (
    <Alert color="red" variant="light" icon={<Icon name="warning" />} title={tn('overview.stale.title', total)} role="alert">
      <List size="sm" spacing={4}>
        {problems.map((one) => (
          <List.Item key={`${one.streamId} ${one.problem}`}>
            <Anchor component={Link} href={`/streams/${one.streamId}`} size="sm" fw={600} underline="always">
              {one.displayName}
            </Anchor>
            <Text span size="sm">
              {' '}
              {say(one)}
            </Text>
          </List.Item>
        ))}
      </List>
      {total > problems.length && (
        <Anchor component={Link} href="/streams" size="sm" underline="always">
          {t('overview.stale.all')}
        </Anchor>
      )}
    </Alert>
  )
}

function say({ problem, count = 0 }: StreamProblem): string {
  if (problem === 'deadLetters') return tn('overview.stale.deadLetters', count)
  return t(`overview.stale.${problem}`)
}
