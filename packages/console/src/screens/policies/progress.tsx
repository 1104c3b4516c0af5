import { Alert, Anchor, Progress, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from 'wouter'
import type { Page } from '../../api/client.ts'
import { useApi } from '../../api/context.ts'
import type { Reevaluation } from '../../api/policies.ts'
import { Icon } from '../../parts/icon.tsx'
import { formatNumber, t, tn } from '../../texts/texts.ts'

/** What an edit means for those who are signed in, while it is worked out and afterwards. */
export function ReevaluationProgress({ txn }: { txn: string }) {
  const api = useApi()
  const { data } = useQuery({
    queryKey: ['reevaluations', txn],
    queryFn: async ({ signal }) => {
      // Asked for by the list: that an edit has left nothing to decide is no error.
      const { value } = await api.get<Page<Reevaluation>>('/identity/conditionalAccess/reevaluations?$top=50', { signal })
      return value.find(({ id }) => id === txn) ?? null
    },
    refetchInterval: ({ state }) => (state.data?.state === 'running' ? 500 : false),
  })
  const proof = (
    <Anchor component={Link} href={`/revocations/${txn}`} size="sm">
      {t('parts.proof')}
    </Anchor>
  )
  // What decides nothing (a draft, a new name) leaves nothing to do.
  if (data === null)
    return (
      <Alert color="green" variant="light" icon={<Icon name="check" />} title={t('policies.progress.saved')} role="status">
        <Text size="sm">{t('policies.progress.nobody')}</Text>
      </Alert>
    )
  if (!data) return null
  const { total, done, changed, lost, state } = data
  return (
    <Alert
      color={state === 'done' ? 'green' : 'blue'}
      variant="light"
      icon={<Icon name={state === 'done' ? 'check' : 'clock'} />}
      title={t(state === 'done' ? 'policies.progress.done' : 'policies.progress.running')}
      role="status"
    >
      <Stack gap={6}>
        <Text size="sm">
          {tn('policies.progress.text', total, { done: formatNumber(done), changed: formatNumber(changed), lost: formatNumber(lost) })}
        </Text>
        {state === 'running' && <Progress value={total === 0 ? 0 : (100 * done) / total} aria-label={t('policies.progress.running')} />}
        {proof}
      </Stack>
    </Alert>
  )
}
