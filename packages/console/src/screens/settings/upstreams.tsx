import { Button, Group, Stack, Switch, Text } from '@mantine/core'
import { useState } from 'react'
import { type Upstream, useUpstreams } from '../../api/upstreams.ts'
import { Answered } from '../../parts/answered.tsx'
import { useConfirm } from '../../parts/confirm.tsx'
import { Empty } from '../../parts/empty.tsx'
import { Grid } from '../../parts/grid.tsx'
import { Icon } from '../../parts/icon.tsx'
import { Facts, Section } from '../../parts/section.tsx'
import { Status } from '../../parts/status.tsx'
import { When } from '../../parts/when.tsx'
import { useWrite } from '../../parts/write.ts'
import { formatNumber, isText, t, tn } from '../../texts/texts.ts'
import { UpstreamForm } from './upstream-form.tsx'

/** The transmitters that the tenant listens to: whether each is heard, what it may say, and what became of that. */
export function Upstreams() {
  const upstreams = useUpstreams()
  const [edited, setEdited] = useState<Upstream | 'new'>()
  const add = (
    <Button leftSection={<Icon name="plus" />} onClick={() => setEdited('new')}>
      {t('settings.upstreams.add')}
    </Button>
  )
  return (
    <>
      <Answered query={upstreams}>
        {({ value }) =>
          value.length === 0 ? (
            <Empty icon="stream" title={t('settings.upstreams.empty.title')} text={t('settings.upstreams.empty.text')}>
              {add}
            </Empty>
          ) : (
            <Stack gap="md">
              <Group justify="space-between">
                <Text size="sm" c="dimmed" maw={720} style={{ flex: '1 1 16rem' }}>
                  {t('settings.upstreams.text')}
                </Text>
                {add}
              </Group>
              {value.map((one) => (
                <One key={one.id} upstream={one} edit={() => setEdited(one)} />
              ))}
            </Stack>
          )
        }
      </Answered>
      <UpstreamForm edited={edited} close={() => setEdited(undefined)} />
    </>
  )
}

function One({ upstream, edit }: { upstream: Upstream; edit(): void }) {
  const { id, displayName, issuer, delivery, domains, issuers, enabled, status } = upstream
  const confirm = useConfirm()
  const write = useWrite()
  const path = `/caegis/upstreams/${id}`
  const turn = (isOn: boolean) =>
    confirm({
      title: t(isOn ? 'settings.upstreams.onTitle' : 'settings.upstreams.offTitle', { name: displayName }),
      text: t(isOn ? 'settings.upstreams.onText' : 'settings.upstreams.offText'),
      action: t(isOn ? 'settings.upstreams.turnOn' : 'settings.upstreams.turnOff'),
      danger: !isOn,
      run: () => write('PATCH', path, { body: { enabled: isOn }, done: t('settings.upstreams.saved'), changes: ['upstreams'] }),
    })
  const remove = () =>
    confirm({
      ...{ title: t('settings.upstreams.removeTitle', { name: displayName }), text: t('settings.upstreams.removeText') },
      action: t('settings.upstreams.remove'),
      run: () => write('DELETE', path, { done: t('settings.upstreams.removed'), changes: ['upstreams'] }),
    })
  const stateKey = `settings.upstreams.states.${status.state}`
  return (
    <Section
      title={displayName}
      text={issuer}
      actions={
        <>
          <Switch
            checked={enabled}
            onChange={(event) => turn(event.currentTarget.checked)}
            label={t(enabled ? 'settings.upstreams.on' : 'settings.upstreams.off')}
            aria-label={t('settings.upstreams.switch', { name: displayName })}
          />
          <Button size="compact-sm" variant="default" onClick={edit} aria-label={t('settings.upstreams.editOne', { name: displayName })}>
            {t('settings.upstreams.edit')}
          </Button>
          <Button
            size="compact-sm"
            variant="light"
            color="red"
            onClick={remove}
            aria-label={t('settings.upstreams.removeOne', { name: displayName })}
          >
            {t('settings.upstreams.remove')}
          </Button>
        </>
      }
    >
      <Facts
        entries={[
          [
            t('settings.upstreams.state'),
            <Status key="state" tone={!enabled ? 'quiet' : status.stale ? 'bad' : 'good'}>
              {isText(stateKey) ? t(stateKey) : status.state}
            </Status>,
          ],
          ...(status.error ? [[t('settings.upstreams.error'), status.error] as const] : []),
          [t('settings.upstreams.heard'), <When key="heard" at={status.lastHeardDateTime} />],
          [t('settings.upstreams.delivery'), t(`settings.upstreams.deliveries.${delivery}`)],
          [t('settings.upstreams.domains'), domains.length === 0 ? t('settings.upstreams.none') : domains.join(', ')],
          [t('settings.upstreams.issuers'), issuers.join(', ')],
        ]}
      />
      {status.gaps > 0 && (
        <Text size="sm">
          <Status tone="warn">{tn('settings.upstreams.gaps', status.gaps)}</Status> {t('settings.upstreams.gapsText')}{' '}
          <When at={status.lastGapDateTime} />
        </Text>
      )}
      {status.outcomes.length > 0 && <Outcomes upstream={upstream} />}
    </Section>
  )
}

function Outcomes({ upstream: { displayName, status } }: { upstream: Upstream }) {
  const became = (outcome: string) => {
    const key = `settings.upstreams.became.${outcome}`
    return isText(key) ? t(key) : outcome
  }
  return (
    <Grid
      label={t('settings.upstreams.outcomes', { name: displayName })}
      rows={status.outcomes}
      rowKey={({ type, outcome }) => `${type} ${outcome}`}
      minWidth={480}
      columns={[
        { header: t('settings.upstreams.event'), cell: ({ type }) => type.split('/').at(-1) },
        { header: t('settings.upstreams.outcome'), cell: ({ outcome }) => became(outcome) },
        { header: t('settings.upstreams.count'), cell: ({ count }) => formatNumber(count) },
        { header: t('settings.upstreams.last'), cell: ({ lastDateTime }) => <When at={lastDateTime} /> },
      ]}
    />
  )
}
