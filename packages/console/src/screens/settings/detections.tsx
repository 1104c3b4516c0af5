import { Divider, Group, Stack, Switch, Text } from '@mantine/core'
import { Fragment } from 'react'
import { type Detection, useDetections } from '../../api/organization.ts'
import { Answered } from '../../parts/answered.tsx'
import { useConfirm } from '../../parts/confirm.tsx'
import { Section } from '../../parts/section.tsx'
import { Status } from '../../parts/status.tsx'
import { useWrite } from '../../parts/write.ts'
import { isText, t } from '../../texts/texts.ts'

/** Which detections of risk look at sign-ins: what each sees, and when it is wrong. */
export function Detections() {
  const detections = useDetections()
  return (
    <Section title={t('settings.detections.title')} text={t('settings.detections.text')}>
      <Answered query={detections}>
        {({ value }) => (
          <Stack gap="md">
            {value.map((one, at) => (
              <Fragment key={one.type}>
                {at > 0 && <Divider />}
                <One detection={one} />
              </Fragment>
            ))}
          </Stack>
        )}
      </Answered>
    </Section>
  )
}

function One({ detection: { type, says, falseAlarms, status } }: { detection: Detection }) {
  const confirm = useConfirm()
  const write = useWrite()
  const key = `settings.detections.types.${type}`
  const name = isText(key) ? t(key) : type
  const turn = (isOn: boolean) =>
    write('PATCH', '/caegis/identityProtection/detections', {
      body: { [type]: isOn ? 'on' : 'off' },
      done: t(isOn ? 'settings.detections.turnedOn' : 'settings.detections.turnedOff', { name }),
      changes: ['detections'],
    })
  const ask = (isOn: boolean) => {
    confirm({
      title: t(isOn ? 'settings.detections.onTitle' : 'settings.detections.offTitle', { name }),
      text: t(isOn ? 'settings.detections.onText' : 'settings.detections.offText'),
      action: t(isOn ? 'settings.detections.turnOn' : 'settings.detections.turnOff'),
      danger: !isOn,
      run: () => turn(isOn),
    })
  }
  return (
    <Group justify="space-between" align="flex-start" gap="md">
      <Stack gap={4} style={{ flex: '1 1 20rem' }}>
        <Group gap="xs">
          <Text fw={600}>{name}</Text>
          {status === 'unconfigured' && <Status tone="warn">{t('settings.detections.unconfigured')}</Status>}
        </Group>
        <Text size="sm">{says}</Text>
        <Text size="sm" c="dimmed">
          {falseAlarms}
        </Text>
        {status === 'unconfigured' && <Text size="sm">{t('settings.detections.unconfiguredText')}</Text>}
      </Stack>
      <Switch
        checked={status !== 'off'}
        onChange={(event) => ask(event.currentTarget.checked)}
        label={t(status === 'off' ? 'settings.detections.off' : 'settings.detections.on')}
        aria-label={t('settings.detections.switch', { name })}
      />
    </Group>
  )
}
