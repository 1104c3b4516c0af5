import { Anchor, Group, Paper, Skeleton, Stack, Text, Title } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from 'wouter'
import type { Page } from '../../api/client.ts'
import { useApi } from '../../api/context.ts'
import { Problem } from '../../parts/problem.tsx'
import { Status } from '../../parts/status.tsx'
import { When } from '../../parts/when.tsx'
import { t, tn } from '../../texts/texts.ts'

interface Change {
  id: string
  activityDateTime: string
  activityDisplayName: string
  correlationId: string
  result: string
  initiatedBy: { user: { userPrincipalName: string } | null; app: { displayName: string | null; appId: string | null } | null }
  targetResources: { id: string; displayName: string | null }[]
}

const SHOWN = 8

/** What was changed last, by whom, and for what was published the way to its proof. */
export function LatestChanges() {
  const api = useApi()
  const changes = useQuery({
    queryKey: ['changes', 'latest'],
    queryFn: async ({ signal }) => {
      const [audits, events] = await Promise.all([
        api.get<Page<Change>>(`/auditLogs/directoryAudits?$top=${SHOWN}`, { signal }),
        api.get<Page<{ txn: string }>>('/caegis/events?$top=100', { signal }),
      ])
      return { value: audits.value, published: new Set(events.value.map(({ txn }) => txn)) }
    },
  })
  return (
    <Paper withBorder radius="md" p="md" component="section" aria-labelledby="changes-title">
      <Stack gap="xs">
        <Title order={2} size="h4" id="changes-title">
          {t('overview.changes.title')}
        </Title>
        {changes.error && !changes.data ? (
          <Problem error={changes.error} retry={() => void changes.refetch()} />
        ) : !changes.data ? (
          <Skeleton height={120} role="status" aria-label={t('shell.loading')} />
        ) : changes.data.value.length === 0 ? (
          <Text c="dimmed" size="sm">
            {t('overview.changes.empty')}
          </Text>
        ) : (
          <Stack component="ul" gap={0} m={0} p={0} style={{ listStyle: 'none' }}>
            {changes.data.value.map((one, at) => (
              <Row key={one.id} change={one} published={changes.data.published.has(one.correlationId)} first={at === 0} />
            ))}
          </Stack>
        )}
      </Stack>
    </Paper>
  )
}

function Row({ change, published, first }: { change: Change; published: boolean; first: boolean }) {
  const { activityDisplayName, activityDateTime, correlationId, result, initiatedBy, targetResources } = change
  const [target] = targetResources
  const by = initiatedBy.user?.userPrincipalName ?? initiatedBy.app?.displayName ?? initiatedBy.app?.appId
  const more = targetResources.length - 1
  return (
    <Group
      component="li"
      justify="space-between"
      gap="sm"
      py={8}
      style={first ? undefined : { borderTop: '1px solid var(--mantine-color-default-border)' }}
    >
      <div style={{ minWidth: 0, flex: '1 1 260px' }}>
        <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
          <b>{activityDisplayName}</b>
          {target && `: ${target.displayName || target.id}`}
          {more > 0 && ` ${tn('overview.changes.more', more)}`}
        </Text>
        <Text size="xs" c="dimmed">
          {by ? t('overview.changes.by', { who: by }) : t('overview.changes.byNobody')} · <When at={activityDateTime} />
        </Text>
      </div>
      {result === 'success' ? (
        published && (
          <Anchor
            component={Link}
            href={`/revocations/${correlationId}`}
            size="sm"
            aria-label={t('overview.changes.proofOf', { what: activityDisplayName })}
          >
            {t('parts.proof')}
          </Anchor>
        )
      ) : (
        <Status tone="bad">{t('overview.changes.refused')}</Status>
      )}
    </Group>
  )
}
