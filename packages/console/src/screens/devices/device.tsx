import { Anchor, Button, Stack, Text } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { useCallback } from 'react'
import { Link, useParams } from 'wouter'
import { type DeviceUser, devicePath, type Device as Found, useDevice, useDeviceUsers } from '../../api/devices.ts'
import { useLive } from '../../api/live.tsx'
import { Answered } from '../../parts/answered.tsx'
import { type Question, useConfirm } from '../../parts/confirm.tsx'
import { CopyId } from '../../parts/copy.tsx'
import { useDelete } from '../../parts/delete.ts'
import { Grid } from '../../parts/grid.tsx'
import { Icon } from '../../parts/icon.tsx'
import { Page } from '../../parts/page.tsx'
import { Facts, Section } from '../../parts/section.tsx'
import { When } from '../../parts/when.tsx'
import { useWrite } from '../../parts/write.ts'
import { t, tn } from '../../texts/texts.ts'
import { trustOf } from './devices.tsx'
import { Compliance, Enabled } from './standing.tsx'

/** One device: whose it is, what is thought of it, who has something on it, and how that ends. */
export function Device() {
  const { id: given = '' } = useParams<{ id: string }>()
  const id = decodeURIComponent(given)
  const device = useDevice(id)
  const users = useDeviceUsers(id)
  const queries = useQueryClient()
  useLive(
    ['events'],
    useCallback(
      (_event, data) => {
        const { subject } = (data ?? {}) as { subject?: { device?: { id?: string } } }
        if (subject?.device?.id === id) void queries.invalidateQueries({ queryKey: ['devices'] })
      },
      [id, queries],
    ),
  )
  const { data } = device
  return (
    <Page
      title={data?.displayName ?? id}
      badge={data && <Enabled device={data} />}
      actions={data && <Actions device={data} users={users.data?.value.length ?? 0} />}
    >
      <Answered query={device} rows={6}>
        {(found) => (
          <Stack gap="md">
            <Section title={t('devices.about')}>
              <Facts
                entries={[
                  [
                    t('devices.owner'),
                    found.owner === null ? (
                      t('devices.nobody')
                    ) : (
                      <Anchor key="owner" component={Link} href={`/users/${found.owner}`} size="sm">
                        {found.ownerDisplayName ?? found.owner}
                      </Anchor>
                    ),
                  ],
                  [t('devices.compliance'), <Compliance key="compliance" device={found} />],
                  [t('devices.trust'), trustOf(found.trustType)],
                  [t('devices.registered'), <Registered key="registered" device={found} />],
                  [t('devices.lastUsed'), <When key="used" at={found.approximateLastSignInDateTime} />],
                  [t('devices.id'), <CopyId key="id" value={found.id} label={t('devices.id')} />],
                ]}
              />
            </Section>
            <Section title={t('devices.users')} text={t('devices.usersText')}>
              <Answered query={users} rows={2}>
                {({ value }) => <Users device={found} users={value} />}
              </Answered>
            </Section>
          </Stack>
        )}
      </Answered>
    </Page>
  )
}

function Registered({ device: { createdDateTime, registeredFrom } }: { device: Found }) {
  return (
    <>
      <When at={createdDateTime} />{' '}
      {registeredFrom === null
        ? t('devices.byManagement')
        : registeredFrom === ''
          ? t('devices.byOwner')
          : t('devices.byOwnerFrom', { address: registeredFrom })}
    </>
  )
}

function Actions({ device, users }: { device: Found; users: number }) {
  const { id, displayName: name, accountEnabled, isCompliant } = device
  const confirm = useConfirm()
  const write = useWrite()
  const leave = useDelete()
  const affects = [tn('devices.affects', users)]
  /** @param proof whether it becomes an event: what nobody has looked at counts as compliant, what is disabled does not */
  const ask = (body: object, words: Pick<Question, 'title' | 'text' | 'action'> & { done: string }, harm: boolean, proof: boolean) =>
    confirm({
      ...words,
      danger: harm,
      ...(harm ? { affects } : {}),
      run: () => write('PATCH', devicePath(id), { body, done: words.done, proof, changes: ['devices'] }),
    })
  const wordsOf = (of: 'compliant' | 'notCompliant' | 'disable' | 'enable') => ({
    title: t(`devices.asks.${of}.title`, { name }),
    text: t(`devices.asks.${of}.text`),
    action: t(`devices.asks.${of}.action`),
    done: t(`devices.asks.${of}.done`, { name }),
  })
  const remove = () =>
    confirm({
      ...{ title: t('devices.asks.delete.title', { name }), text: t('devices.asks.delete.text'), action: t('devices.asks.delete.action'), affects },
      run: () => leave({ path: devicePath(id), id, kind: 'devices', done: t('devices.asks.delete.done', { name }), proof: true, to: '/devices' }),
    })
  return (
    <>
      {isCompliant !== true && (
        <Button
          variant="default"
          leftSection={<Icon name="check" />}
          onClick={() => ask({ isCompliant: true }, wordsOf('compliant'), false, accountEnabled && isCompliant === false)}
        >
          {t('devices.asks.compliant.action')}
        </Button>
      )}
      {isCompliant !== false && (
        <Button
          variant="default"
          leftSection={<Icon name="warning" />}
          onClick={() => ask({ isCompliant: false }, wordsOf('notCompliant'), true, accountEnabled)}
        >
          {t('devices.asks.notCompliant.action')}
        </Button>
      )}
      {accountEnabled ? (
        <Button color="red" leftSection={<Icon name="stop" />} onClick={() => ask({ accountEnabled: false }, wordsOf('disable'), true, true)}>
          {t('devices.asks.disable.button')}
        </Button>
      ) : (
        <Button
          variant="default"
          leftSection={<Icon name="play" />}
          onClick={() => ask({ accountEnabled: true }, wordsOf('enable'), false, isCompliant !== false)}
        >
          {t('devices.asks.enable.action')}
        </Button>
      )}
      <Button variant="light" color="red" leftSection={<Icon name="trash" />} onClick={remove}>
        {t('devices.asks.delete.action')}
      </Button>
    </>
  )
}

function Users({ device: { id, displayName: device }, users }: { device: Found; users: DeviceUser[] }) {
  const confirm = useConfirm()
  const write = useWrite()
  if (users.length === 0) return <Text size="sm">{t('devices.noUsers')}</Text>
  const revoke = ({ id: user, displayName: name }: DeviceUser) =>
    confirm({
      ...{ title: t('devices.asks.revoke.title', { name, device }), text: t('devices.asks.revoke.text'), action: t('devices.asks.revoke.action') },
      run: () =>
        write('POST', `/caegis${devicePath(id)}/revoke`, {
          body: { user },
          done: t('devices.asks.revoke.done', { name }),
          proof: true,
          changes: ['devices'],
        }),
    })
  return (
    <Grid
      label={t('devices.users')}
      rows={users}
      rowKey={({ id: user }) => user}
      href={({ id: user }) => `/users/${user}`}
      minWidth={480}
      columns={[
        { header: t('devices.user'), cell: (one) => one.displayName },
        { header: t('devices.lastUsed'), cell: (one) => <When at={one.lastUsedDateTime} /> },
        {
          header: t('devices.actions'),
          right: true,
          cell: (one) => (
            <Button
              size="compact-sm"
              variant="light"
              color="red"
              onClick={() => revoke(one)}
              aria-label={t('devices.asks.revoke.one', { name: one.displayName })}
            >
              {t('devices.asks.revoke.action')}
            </Button>
          ),
        },
      ]}
    />
  )
}
