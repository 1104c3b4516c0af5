import { Skeleton, Stack } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { useCallback } from 'react'
import { useLive } from '../../api/live.tsx'
import { LOOP_KEY, type Loop, useLoop } from '../../api/loop.ts'
import { useLater } from '../../parts/later.ts'
import { Page } from '../../parts/page.tsx'
import { Problem } from '../../parts/problem.tsx'
import { t } from '../../texts/texts.ts'
import { ActivityPanel } from './activity-panel.tsx'
import { FirstSteps } from './first-steps.tsx'
import { LatestChanges } from './latest-changes.tsx'
import { LoopStrip } from './loop-strip.tsx'
import { StaleReceivers, TenantStopped } from './warnings.tsx'

/** Whether revocations arrive, what was decided lately, and what was changed. */
export function Overview() {
  const queries = useQueryClient()
  const loop = useLoop()
  const changed = useLater(() => void queries.invalidateQueries({ queryKey: ['changes'] }), 500)
  const decided = useLater(() => void queries.invalidateQueries({ queryKey: ['activity'] }), 3000)
  useLive(
    ['loop', 'events', 'signIns'],
    useCallback(
      (event, data) => {
        if (event === 'loop') queries.setQueryData(LOOP_KEY, data as Loop)
        else if (event === 'event' || event === 'gap') changed()
        else if (event === 'signIn' || event === 'missed') decided()
      },
      [queries, changed, decided],
    ),
  )
  const hops = loop.data?.hops
  return (
    <Page title={t('overview.title')}>
      {hops && <TenantStopped hops={hops} />}
      {hops && <StaleReceivers hops={hops} />}
      {loop.error && !hops ? (
        <Problem error={loop.error} retry={() => void loop.refetch()} />
      ) : loop.data ? (
        <LoopStrip loop={loop.data} />
      ) : (
        <Stack aria-busy="true" role="status" aria-label={t('shell.loading')}>
          <Skeleton height={170} radius="md" />
        </Stack>
      )}
      {hops?.find(({ hop }) => hop === 'streams')?.detail.streams === 0 && <FirstSteps />}
      <ActivityPanel />
      <LatestChanges />
    </Page>
  )
}
