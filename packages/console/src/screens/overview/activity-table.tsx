import { Table } from '@mantine/core'
import type { Activity } from '../../api/loop.ts'
import { OUTCOMES } from '../../api/sign-ins.ts'
import { formatNumber, t } from '../../texts/texts.ts'
import { intervalTime } from './activity-words.ts'

/** The chart in numbers, newest first; intervals in which nothing was decided are left out. */
export function ActivityTable({ rows }: { rows: readonly Activity[] }) {
  const busy = rows.filter((row) => OUTCOMES.some((one) => row[one] > 0)).reverse()
  return (
    <Table.ScrollContainer minWidth={420} maxHeight={300} type="native" tabIndex={0} role="region" aria-label={t('overview.activity.title')}>
      <Table stickyHeader horizontalSpacing="sm" verticalSpacing={4} aria-label={t('overview.activity.title')}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t('overview.activity.from')}</Table.Th>
            {OUTCOMES.map((one) => (
              <Table.Th key={one} ta="right">
                {t(`signIns.outcomes.${one}`)}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {busy.map((row) => (
            <Table.Tr key={row.startDateTime}>
              <Table.Th scope="row" fw={400}>
                <time dateTime={row.startDateTime}>{intervalTime(row.startDateTime)}</time>
              </Table.Th>
              {OUTCOMES.map((one) => (
                <Table.Td key={one} ta="right">
                  {formatNumber(row[one])}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  )
}
