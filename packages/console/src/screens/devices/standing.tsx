import type { Device } from '../../api/devices.ts'
import { Status } from '../../parts/status.tsx'
import { t } from '../../texts/texts.ts'

/** What management says of a device; nobody has looked at some. */
export function Compliance({ device: { isCompliant } }: { device: Pick<Device, 'isCompliant'> }) {
  if (isCompliant === null) return <Status tone="quiet">{t('devices.standings.unknown')}</Status>
  return <Status tone={isCompliant ? 'good' : 'bad'}>{t(isCompliant ? 'devices.standings.compliant' : 'devices.standings.notCompliant')}</Status>
}

export function Enabled({ device: { accountEnabled } }: { device: Pick<Device, 'accountEnabled'> }) {
  return <Status tone={accountEnabled ? 'good' : 'bad'}>{t(accountEnabled ? 'devices.standings.enabled' : 'devices.standings.disabled')}</Status>
}
