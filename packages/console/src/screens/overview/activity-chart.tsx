import '@mantine/charts/styles.css'
import { BarChart } from '@mantine/charts'
import type { Activity } from '../../api/loop.ts'
import { OUTCOMES } from '../../api/sign-ins.ts'
import { formatNumber, t } from '../../texts/texts.ts'
import { axisTime, intervalTime, OUTCOME_COLORS } from './activity-words.ts'

/** Decisions over time, stacked. It comes with a library of its own, and is loaded only when it is looked at. */
export function ActivityChart({ rows, hours, height }: { rows: readonly Activity[]; hours: number; height: number }) {
  return (
    <BarChart
      h={height}
      type="stacked"
      data={rows.map((row) => ({ ...row }))}
      dataKey="startDateTime"
      series={OUTCOMES.map((name) => ({ name, label: t(`signIns.outcomes.${name}`), color: OUTCOME_COLORS[name] }))}
      tickLine="none"
      gridAxis="x"
      valueFormatter={formatNumber}
      xAxisProps={{ tickFormatter: (at: string) => axisTime(at, hours), minTickGap: 32 }}
      yAxisProps={{ allowDecimals: false, width: 44 }}
      tooltipProps={{ labelFormatter: (at) => (typeof at === 'string' ? intervalTime(at) : '') }}
      barChartProps={{ accessibilityLayer: false }}
      barProps={{ isAnimationActive: false }}
      maxBarWidth={24}
    />
  )
}
