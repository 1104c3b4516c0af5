import { Alert, Button, Group, Stack, Text } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { ApiError } from '../../api/client.ts'
import { useApi } from '../../api/context.ts'
import { POLICIES, readStored, type StoredPolicy } from '../../api/policies.ts'
import { Icon } from '../../parts/icon.tsx'
import { Problem } from '../../parts/problem.tsx'
import { When } from '../../parts/when.tsx'
import { t } from '../../texts/texts.ts'
import { type Draft, sectionOf } from './draft.ts'
import { differences, type Saving } from './use-save.ts'

interface SaveProblemProps {
  error: unknown
  saving: Saving
  draft: Draft
  stored?: StoredPolicy
  discard(): void
}

/** Why it was not saved. Where somebody else was first: what they changed, and both ways out. */
export function SaveProblem({ error, saving, stored, discard }: SaveProblemProps) {
  const api = useApi()
  const queries = useQueryClient()
  const wasFirst = error instanceof ApiError && error.status === 412
  const { data: theirs } = useQuery({
    queryKey: ['policy-theirs', stored?.policy.id],
    queryFn: async ({ signal }) => readStored(await api.get(`${POLICIES}/${stored?.policy.id}`, { signal })),
    enabled: wasFirst && stored !== undefined,
    gcTime: 0,
  })
  if (!wasFirst || !stored) return <Problem error={error} />
  const names = theirs && [
    ...new Set(
      differences(stored.policy, theirs.policy).map((path) => {
        const part = sectionOf(path)
        return part === 'basics' ? t('policies.parts.basics') : t(`policies.parts.${part}`)
      }),
    ),
  ]
  return (
    <Alert color="orange" variant="light" icon={<Icon name="warning" />} title={t('parts.problem.conflict')} role="alert">
      <Stack gap="xs">
        <Text size="sm">
          {t('policies.conflict.text')} <When at={theirs?.policy.modifiedDateTime} />
        </Text>
        {names && <Text size="sm">{t('policies.conflict.parts', { parts: names.join(', ') })}</Text>}
        <Group gap="xs">
          <Button
            size="compact-sm"
            variant="default"
            onClick={() => {
              discard()
              void queries.invalidateQueries({ queryKey: ['policies'] })
            }}
          >
            {t('policies.conflict.theirs')}
          </Button>
          <Button
            size="compact-sm"
            color="red"
            disabled={!theirs}
            loading={saving.busy}
            onClick={() => theirs && void saving.save({ etag: theirs.etag })}
          >
            {t('policies.conflict.mine')}
          </Button>
        </Group>
      </Stack>
    </Alert>
  )
}
