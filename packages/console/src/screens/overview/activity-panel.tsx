import { Box, Group, Paper, SegmentedControl, Skeleton, Stack, Text, Title } from '@mantine/core'
import { lazy, Suspense } from 'react'
import { type Activity, useActivity } from '../../api/loop.ts'
import { OUTCOMES, type Outcome } from '../../api/sign-ins.ts'
import { useFilters } from '../../parts/filters.ts'
import { Problem } from '../../parts/problem.tsx'
import { formatNumber, t, tn } from '../../texts/texts.ts'
import { ActivityTable } from './activity-table.tsx'
import { OUTCOME_COLORS } from './activity-words.ts'

const ActivityChart = lazy(() => import('./activity-chart.tsx').then((one) => ({ default: one.ActivityChart })))

const RANGES = ['1', '24', '168', '720'] as const
const HEIGHT = 240

/** What was decided over time, as a chart, or as the table that says the same. */
export function ActivityPanel() {
  const [{ hours, view }, setFilters] = useFilters(['hours', 'view'])
  const range = RANGES.find((one) => one === hours) ?? '24'
  const activity = useActivity(Number(range))
  const rows = activity.data?.value
  const totals = rows && totalsOf(rows)
  const none = totals && OUTCOMES.every((one) => totals[one] === 0)
  const summary = totals && t('overview.activity.summary', { range: t(`overview.activity.ranges.${range}`), ...formatted(totals) })
  return (
    <Paper withBorder radius="md" p="md" component="section" aria-labelledby="activity-title">
      <Stack gap="sm">
        <Group justify="space-between" gap="sm">
          <Title order={2} size="h4" id="activity-title">
            {t('overview.activity.title')}
          </Title>
          <Group gap="xs">
            <SegmentedControl
              size="xs"
              aria-label={t('overview.activity.range')}
              value={range}
              onChange={(next) => setFilters({ hours: next === '24' ? '' : next })}
              data={RANGES.map((value) => ({ value, label: t(`overview.activity.short.${value}`) }))}
            />
            <SegmentedControl
              size="xs"
              aria-label={t('overview.activity.view')}
              value={view === 'table' ? 'table' : 'chart'}
              onChange={(next) => setFilters({ view: next === 'chart' ? '' : next })}
              data={[
                { value: 'chart', label: t('overview.activity.chart') },
                { value: 'table', label: t('overview.activity.table') },
              ]}
            />
          </Group>
        </Group>
        {activity.error && !rows ? (
          <Problem error={activity.error} retry={() => void activity.refetch()} />
        ) : !rows || !totals ? (
          <Skeleton height={HEIGHT} role="status" aria-label={t('shell.loading')} />
        ) : none ? (
          <Text c="dimmed" size="sm" py="lg" ta="center">
            {t('overview.activity.empty', { range: t(`overview.activity.ranges.${range}`) })}
          </Text>
        ) : (
          <>
            <Group gap="lg">
              {OUTCOMES.map((one) => (
                <div key={one}>
                  <Group gap={6} wrap="nowrap">
                    <Box w={10} h={10} bg={OUTCOME_COLORS[one]} style={{ borderRadius: 3 }} />
                    <Text size="xl" fw={700} lh={1.1}>
                      {formatNumber(totals[one])}
                    </Text>
                  </Group>
                  <Text size="xs" c="dimmed">
                    {tn(`overview.activity.counts.${one}`, totals[one])}
                  </Text>
                </div>
              ))}
            </Group>
            {view === 'table' ? (
              <ActivityTable rows={rows} />
            ) : (
              <Suspense fallback={<Skeleton height={HEIGHT} role="status" aria-label={t('shell.loading')} />}>
                <div role="img" aria-label={summary}>
                  <ActivityChart rows={rows} hours={Number(range)} height={HEIGHT} />
                </div>
              </Suspense>
            )}
          </>
        )}
      </Stack>
    </Paper>
  )
}

function totalsOf(rows: readonly Activity[]): Record<Outcome, number> {
  return Object.fromEntries(OUTCOMES.map((one) => [one, rows.reduce((sum, row) => sum + row[one], 0)])) as Record<Outcome, number>
}

function formatted(totals: Record<Outcome, number>): Record<Outcome, string> {
  return Object.fromEntries(OUTCOMES.map((one) => [one, formatNumber(totals[one])])) as Record<Outcome, string>
}
