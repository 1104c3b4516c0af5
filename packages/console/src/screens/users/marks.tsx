import { Group, Text } from '@mantine/core'
import type { User } from '../../api/users.ts'
import { Status, type Tone } from '../../parts/status.tsx'
import { t } from '../../texts/texts.ts'

export function EnabledMark({ user }: { user: Pick<User, 'accountEnabled'> }) {
  return <Status tone={user.accountEnabled ? 'good' : 'bad'}>{user.accountEnabled ? t('users.enabled') : t('users.disabled')}</Status>
}

const TONES: Record<string, Tone> = { low: 'info', medium: 'warn', high: 'bad' }

/** What may be wrong with somebody; nothing is said quietly. `whole`: where no word beside it says that it is about risk. */
export function RiskMark({ level, whole = false }: { level: string; whole?: boolean }) {
  if (level === 'none')
    return (
      <Text span size="sm" c="dimmed">
        {t('users.risk.none')}
      </Text>
    )
  return <Status tone={TONES[level] ?? 'warn'}>{whole ? t(`users.risk.whole.${level as 'low'}`) : t(`users.risk.levels.${level as 'low'}`)}</Status>
}

/** What is not usual about somebody. */
export function RoleMarks({ user }: { user: Pick<User, 'directoryRoles' | 'userType' | 'isEmergencyAccount'> }) {
  return (
    <Group gap={6} wrap="nowrap">
      {user.isEmergencyAccount && <Status tone="warn">{t('users.emergency.mark')}</Status>}
      {user.directoryRoles.includes('admin') && <Status tone="info">{t('users.administrator')}</Status>}
      {user.userType === 'Guest' && <Status tone="quiet">{t('users.guest')}</Status>}
    </Group>
  )
}
