import { Skeleton, Text } from '@mantine/core'
import { useIntersection } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useApi } from '../../api/context.ts'
import { type Impact, POLICIES, type StoredPolicy } from '../../api/policies.ts'
import { t } from '../../texts/texts.ts'
import { impactText } from './impact-text.ts'

/** Each is hundreds of decisions for the server: a list asks for one at a time, and only for rows that somebody sees. */
let turn: Promise<unknown> = Promise.resolve()
function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const mine = turn.then(work, work)
  turn = mine
  return mine
}

const LAST = 500

/** What a policy that is not enforced would have meant for the last sign-ins. */
export function ImpactCell({ stored: { policy, etag } }: { stored: StoredPolicy }) {
  const api = useApi()
  const { ref, entry } = useIntersection()
  const { data, error } = useQuery({
    queryKey: ['impact', policy.id, etag],
    queryFn: ({ signal }) =>
      inTurn(() => (signal.aborted ? Promise.reject(signal.reason) : api.get<Impact>(`${POLICIES}/${policy.id}/impact?$top=${LAST}`, { signal }))),
    enabled: policy.state !== 'enabled' && (entry?.isIntersecting ?? false),
    staleTime: 5 * 60_000,
  })
  if (policy.state === 'enabled')
    return (
      <Text size="sm" c="dimmed">
        {t('policies.impact.enforced')}
      </Text>
    )
  return (
    <Text size="sm" component="div" ref={ref}>
      {data ? impactText(data) : error ? t('policies.impact.unknown') : <Skeleton height={14} width={140} />}
    </Text>
  )
}
