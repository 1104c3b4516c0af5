import { Alert, Button, Code, List, Stack, Text } from '@mantine/core'
import { useApi } from '../../api/context.ts'
import { type Organization, type Stopped, useOrganization, useReach } from '../../api/organization.ts'
import { Answered } from '../../parts/answered.tsx'
import { useConfirm } from '../../parts/confirm.tsx'
import { Icon } from '../../parts/icon.tsx'
import { Facts, Section } from '../../parts/section.tsx'
import { Status } from '../../parts/status.tsx'
import { When } from '../../parts/when.tsx'
import { useWrite } from '../../parts/write.ts'
import { useLastWord } from '../../shell/last-word.tsx'
import { formatNumber, t, tn } from '../../texts/texts.ts'
import { StoppedTenant } from './stopped-tenant.tsx'

/** Seconds for which the server is asked to wait until every receiver has the stop: afterwards nobody here may ask. */
const WAIT = 5

/** Ends everything, and lets nobody in until somebody lifts it. */
export function EmergencyStop() {
  const organization = useOrganization()
  return (
    <Answered query={organization}>
      {(found) => (found.state === 'stopped' ? <Resume organization={found} /> : <Stop organization={found} />)}
    </Answered>
  )
}

function Stop({ organization: { name } }: { organization: Organization }) {
  const api = useApi()
  const reach = useReach()
  const confirm = useConfirm()
  const { say, hold } = useLastWord()
  const stop = async () => {
    // The end of this very access is part of it, and may be noticed before the answer is here.
    hold(true)
    try {
      const { body } = await api.send<Stopped>('POST', '/caegis/organization/stop', { confirmation: name }, { prefer: `wait=${WAIT}` })
      say(<StoppedTenant stopped={body} />)
    } finally {
      hold(false)
    }
  }
  const ask = () =>
    confirm({
      ...{ title: t('settings.stop.confirmTitle', { name }), text: t('settings.stop.confirmText'), action: t('settings.stop.action'), typed: name },
      affects: reach.data
        ? [
            tn('settings.stop.users', reach.data.users),
            tn('settings.stop.sessions', reach.data.sessions),
            tn('settings.stop.applications', reach.data.applications),
            tn('settings.stop.streams', reach.data.streams),
            t('settings.stop.you'),
          ]
        : [t('settings.stop.you')],
      run: stop,
    })
  return (
    <Section title={t('settings.stop.title')} text={t('settings.stop.text')}>
      <List size="sm" spacing={4}>
        {(['tokens', 'signIns', 'console', 'carry', 'dead'] as const).map((line) => (
          <List.Item key={line}>{t(`settings.stop.does.${line}`)}</List.Item>
        ))}
      </List>
      {reach.data && (
        <Facts
          entries={(['users', 'sessions', 'applications', 'streams'] as const).map((of) => [
            t(`settings.stop.reach.${of}`),
            <b key={of}>{formatNumber(reach.data[of])}</b>,
          ])}
        />
      )}
      <Stack gap={4}>
        <Text size="sm" fw={600}>
          {t('settings.stop.back')}
        </Text>
        <Text size="sm">{t('settings.stop.backText')}</Text>
        <Code block>{`caegis recover ${name}\ncaegis login --tenant ${name}\ncaegis resume ${name}`}</Code>
      </Stack>
      <div>
        <Button color="red" leftSection={<Icon name="stop" />} onClick={ask}>
          {t('settings.stop.open', { name })}
        </Button>
      </div>
    </Section>
  )
}

function Resume({ organization: { name, stoppedDateTime } }: { organization: Organization }) {
  const confirm = useConfirm()
  const write = useWrite()
  const ask = () =>
    confirm({
      ...{ title: t('settings.stop.resumeTitle', { name }), text: t('settings.stop.resumeText'), action: t('settings.stop.resume'), danger: false },
      run: () => write('POST', '/caegis/organization/resume', { done: t('settings.stop.resumed', { name }), changes: ['organization'] }),
    })
  return (
    <Section title={t('settings.stop.title')}>
      <Alert color="red" variant="light" icon={<Icon name="stop" />} title={t('settings.stop.stoppedTitle', { name })}>
        <Text size="sm">{t('settings.stop.stoppedText')}</Text>
      </Alert>
      <Facts
        entries={[
          [
            t('settings.stop.state'),
            <Status key="state" tone="bad">
              {t('settings.stop.stopped')}
            </Status>,
          ],
          [t('settings.stop.since'), <When key="since" at={stoppedDateTime} />],
        ]}
      />
      <div>
        <Button leftSection={<Icon name="play" />} onClick={ask}>
          {t('settings.stop.resume')}
        </Button>
      </div>
    </Section>
  )
}
