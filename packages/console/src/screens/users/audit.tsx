import type { UserDetail } from '../../api/users.ts'
import { AuditTable } from '../../parts/audit-table.tsx'
import { t } from '../../texts/texts.ts'

/** Who changed what about somebody. */
export function Audit({ user }: { user: UserDetail }) {
  return <AuditTable queryKey={['users', user.id, 'audit']} target={user.id} none={t('users.audit.noneText', { name: user.displayName })} />
}
