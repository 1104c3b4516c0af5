import { Button } from '@mantine/core'
import { useList } from '../../api/context.ts'
import type { UserDetail } from '../../api/users.ts'
import { useConfirm } from '../../parts/confirm.tsx'
import { Empty } from '../../parts/empty.tsx'
import { quote } from '../../parts/filters.ts'
import type { Column } from '../../parts/grid.tsx'
import { ListTable } from '../../parts/list-table.tsx'
import { Status } from '../../parts/status.tsx'
import { When } from '../../parts/when.tsx'
import { useWrite } from '../../parts/write.ts'
import { t } from '../../texts/texts.ts'

interface Device {
  id: string
  displayName: string
  accountEnabled: boolean
  isCompliant: boolean | null
  approximateLastSignInDateTime: string | null
}

/** The devices that are somebody's. */
export function Devices({ user }: { user: UserDetail }) {
  const confirm = useConfirm()
  const write = useWrite()
  const end = (device: Device) =>
    confirm({
      title: t('users.devices.endTitle', { name: user.displayName, device: device.displayName }),
      text: t('users.devices.endText', { name: user.displayName }),
      action: t('users.devices.end'),
      run: () =>
        write('POST', `/caegis/devices/${encodeURIComponent(device.id)}/revoke`, {
          ...{ body: { user: user.id }, done: t('users.devices.ended', { device: device.displayName }), proof: true, changes: ['users', 'devices'] },
        }),
    })
  const columns: Column<Device>[] = [
    { header: t('users.devices.name'), cell: ({ displayName }) => displayName },
    {
      header: t('users.status'),
      cell: ({ accountEnabled }) => (
        <Status tone={accountEnabled ? 'good' : 'bad'}>{accountEnabled ? t('users.enabled') : t('users.disabled')}</Status>
      ),
    },
    {
      header: t('users.devices.compliance'),
      cell: ({ isCompliant }) =>
        isCompliant === null ? (
          <Status tone="quiet">{t('users.devices.unknown')}</Status>
        ) : (
          <Status tone={isCompliant ? 'good' : 'bad'}>{isCompliant ? t('users.devices.compliant') : t('users.devices.notCompliant')}</Status>
        ),
    },
    { header: t('users.devices.used'), cell: (one) => <When at={one.approximateLastSignInDateTime} />, wide: true },
    {
      header: t('users.devices.actions'),
      cell: (one) => (
        <Button variant="default" size="xs" onClick={() => end(one)} aria-label={t('users.devices.endLabel', { device: one.displayName })}>
          {t('users.devices.end')}
        </Button>
      ),
    },
  ]
  const list = useList<Device>(['users', user.id, 'devices'], `/devices?$top=50&$filter=${encodeURIComponent(`owner eq ${quote(user.id)}`)}`)
  return (
    <ListTable
      label={t('users.tabs.devices')}
      columns={columns}
      list={list}
      rowKey={({ id }) => id}
      href={({ id }) => `/devices/${id}`}
      minWidth={480}
      empty={<Empty icon="device" title={t('users.devices.none')} text={t('users.devices.noneText', { name: user.displayName })} />}
    />
  )
}
