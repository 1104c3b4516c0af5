import { Text } from '@mantine/core'
import { useList } from '../../api/context.ts'
import type { UserDetail } from '../../api/users.ts'
import { Empty } from '../../parts/empty.tsx'
import { quote } from '../../parts/filters.ts'
import type { Column } from '../../parts/grid.tsx'
import { ListTable } from '../../parts/list-table.tsx'
import { Status, type Tone } from '../../parts/status.tsx'
import { When } from '../../parts/when.tsx'
import { isText, t } from '../../texts/texts.ts'
import { RiskMark } from './marks.tsx'

interface SignIn {
  id: string
  createdDateTime: string
  appDisplayName: string
  appId: string
  ipAddress: string
  outcome: string
  status: { errorCode: number; failureReason: string | null }
  riskLevelDuringSignIn: string
}

const TONES: Record<string, Tone> = { allowed: 'good', challenged: 'warn', blocked: 'bad', failed: 'bad' }

const COLUMNS: Column<SignIn>[] = [
  { header: t('users.signIns.when'), cell: (one) => <When at={one.createdDateTime} /> },
  { header: t('users.signIns.application'), cell: (one) => one.appDisplayName || one.appId },
  {
    header: t('users.signIns.outcome'),
    cell: ({ outcome, status }) => {
      const key = `users.signIns.outcomes.${outcome}`
      return (
        <>
          <Status tone={TONES[outcome] ?? 'quiet'}>{isText(key) ? t(key) : outcome}</Status>
          {status.failureReason && (
            <Text size="xs" c="dimmed" mt={2}>
              {status.failureReason}
            </Text>
          )}
        </>
      )
    },
  },
  { header: t('users.signIns.address'), cell: ({ ipAddress }) => ipAddress, wide: true },
  {
    header: t('users.risk.title'),
    cell: ({ riskLevelDuringSignIn: level }) => <RiskMark level={level === 'unknownFutureValue' ? 'unknown' : level} />,
    wide: true,
  },
]

/** How somebody came in, or did not; newest first. */
export function SignIns({ user }: { user: UserDetail }) {
  const list = useList<SignIn>(
    ['users', user.id, 'sign-ins'],
    `/auditLogs/signIns?$top=25&$filter=${encodeURIComponent(`userId eq ${quote(user.id)}`)}`,
  )
  return (
    <ListTable
      label={t('users.tabs.sign-ins')}
      columns={COLUMNS}
      list={list}
      rowKey={({ id }) => id}
      href={({ id }) => `/sign-ins/${id}`}
      minWidth={360}
      empty={<Empty icon="signIn" title={t('users.signIns.none')} text={t('users.signIns.noneText', { name: user.displayName })} />}
    />
  )
}
