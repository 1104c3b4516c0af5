import { Alert, Button, Stack, Text } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { useCallback } from 'react'
import { useParams } from 'wouter'
import { type Application as App, applicationPath, OWN_APPLICATIONS, principalPath, useApplication } from '../../api/applications.ts'
import { useLive } from '../../api/live.tsx'
import { Answered } from '../../parts/answered.tsx'
import { useConfirm } from '../../parts/confirm.tsx'
import { CopyId } from '../../parts/copy.tsx'
import { useDelete } from '../../parts/delete.ts'
import { Icon } from '../../parts/icon.tsx'
import { Page } from '../../parts/page.tsx'
import { Facts, Section } from '../../parts/section.tsx'
import { Status } from '../../parts/status.tsx'
import { useWrite } from '../../parts/write.ts'
import { t, tn } from '../../texts/texts.ts'
import { ApiPart } from './api-part.tsx'
import { Credentials } from './credentials.tsx'
import { Permissions } from './permissions.tsx'
import { RedirectUris } from './redirect-uris.tsx'
import { RoleHolders } from './role-holders.tsx'

/** One client, or API: what it is, what it proves itself with, what it offers and what it may ask for. */
export function Application() {
  const { id = '' } = useParams<{ id: string }>()
  const appId = decodeURIComponent(id)
  const application = useApplication(appId)
  const queries = useQueryClient()
  // Whatever became of it elsewhere is shown here.
  useLive(
    ['events'],
    useCallback(
      (_event, data) => {
        const { subject } = (data ?? {}) as { subject?: { application?: { id?: string } } }
        if (subject?.application?.id === appId) void queries.invalidateQueries({ queryKey: ['applications'] })
      },
      [appId, queries],
    ),
  )
  const { data } = application
  return (
    <Page
      title={data?.displayName ?? appId}
      badge={
        data && (
          <Status tone={data.accountEnabled ? 'good' : 'bad'}>{t(data.accountEnabled ? 'applications.enabled' : 'applications.disabled')}</Status>
        )
      }
      actions={data && !OWN_APPLICATIONS.includes(appId) && <Actions application={data} />}
    >
      <Answered query={application} rows={8}>
        {(found) => <Parts application={found} />}
      </Answered>
    </Page>
  )
}

function Parts({ application }: { application: App }) {
  const { appId, applicationType: kind, identifierUris } = application
  const isOwn = OWN_APPLICATIONS.includes(appId)
  const isApi = kind === 'api' || identifierUris.length > 0
  return (
    <Stack gap="md">
      <Section title={t('applications.about')} text={t(`applications.kindHints.${kind}`)}>
        <Facts
          entries={[
            [t('applications.appId'), <CopyId key="id" value={appId} label={t('applications.appId')} />],
            [t('applications.kind'), t(`applications.kinds.${kind}`)],
          ]}
        />
        {isOwn && (
          <Alert color="blue" variant="light" icon={<Icon name="question" />}>
            <Text size="sm">{t('applications.own')}</Text>
          </Alert>
        )}
      </Section>
      {!isOwn && (
        <>
          {(kind === 'spa' || kind === 'web' || kind === 'native') && <RedirectUris application={application} />}
          {kind !== 'spa' && kind !== 'native' && <Credentials application={application} />}
          {isApi && <ApiPart key={JSON.stringify(application.identifierUris)} application={application} />}
          {kind !== 'api' && <Permissions application={application} />}
          <RoleHolders application={application} />
        </>
      )}
    </Stack>
  )
}

function Actions({ application: { appId, displayName: name, accountEnabled, applicationType: kind, identifierUris } }: { application: App }) {
  const confirm = useConfirm()
  const write = useWrite()
  const leave = useDelete()
  // What ends: what it holds as a client, and what others hold of it as an API.
  const affects = [
    ...(kind === 'api' ? [] : [t('applications.ends.client')]),
    ...(identifierUris.length > 0 ? [tn('applications.ends.api', identifierUris.length, { uris: identifierUris.join(', ') })] : []),
  ]
  const turn = () =>
    confirm({
      title: t(accountEnabled ? 'applications.disableTitle' : 'applications.enableTitle', { name }),
      text: t(accountEnabled ? 'applications.disableText' : 'applications.enableText'),
      action: t(accountEnabled ? 'applications.disable' : 'applications.enable'),
      danger: accountEnabled,
      ...(accountEnabled ? { affects } : {}),
      run: () =>
        write('PATCH', principalPath(appId), {
          ...{ body: { accountEnabled: !accountEnabled }, proof: true, changes: ['applications'] },
          done: t(accountEnabled ? 'applications.isDisabled' : 'applications.isEnabled', { name }),
        }),
    })
  const remove = () =>
    confirm({
      ...{ title: t('applications.deleteTitle', { name }), text: t('applications.deleteText'), action: t('applications.delete'), typed: appId },
      affects: [...affects, t('applications.ends.streams'), t('applications.ends.id')],
      run: () =>
        leave({
          ...{ path: applicationPath(appId), id: appId, kind: 'applications', to: '/applications' },
          ...{ done: t('applications.isDeleted', { name }), proof: true },
        }),
    })
  return (
    <>
      <Button variant="default" leftSection={<Icon name={accountEnabled ? 'pause' : 'play'} />} onClick={turn}>
        {t(accountEnabled ? 'applications.disable' : 'applications.enable')}
      </Button>
      <Button variant="light" color="red" leftSection={<Icon name="trash" />} onClick={remove}>
        {t('applications.delete')}
      </Button>
    </>
  )
}
