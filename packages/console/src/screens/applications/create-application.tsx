import { Button, Group, Radio, Stack, TagsInput, TextInput } from '@mantine/core'
import { useState } from 'react'
import { type ApplicationKind, KINDS, useOffered } from '../../api/applications.ts'
import { Dialog } from '../../parts/dialog.tsx'
import { Problem } from '../../parts/problem.tsx'
import { submitting, useWork } from '../../parts/work.ts'
import { useWrite } from '../../parts/write.ts'
import { t } from '../../texts/texts.ts'

interface CreateProps {
  opened: boolean
  close(): void
  created(appId: string): void
}

/** Registers an application. */
export function CreateApplication({ opened, close, created }: CreateProps) {
  return (
    <Dialog opened={opened} onClose={close} size="lg" title={t('applications.create')}>
      <Form close={close} created={created} />
    </Dialog>
  )
}

/** Graph's word for where people come back to. */
const PLATFORMS = { spa: 'spa', web: 'web', native: 'publicClient' } as const

function Form({ close, created }: Omit<CreateProps, 'opened'>) {
  const write = useWrite()
  const offered = useOffered()
  const [kind, setKind] = useState<ApplicationKind>('spa')
  const [displayName, setDisplayName] = useState('')
  const [appId, setAppId] = useState('')
  const [redirectUris, setRedirectUris] = useState<string[]>([])
  const [identifierUri, setIdentifierUri] = useState('')
  const [permissions, setPermissions] = useState<string[]>([])
  const { busy, error, work } = useWork()
  const isClient = kind !== 'api'
  const hasAddress = kind === 'spa' || kind === 'web' || kind === 'native'
  const create = () =>
    work(async () => {
      const { body } = await write<{ appId: string }>('POST', '/applications', {
        body: {
          displayName: displayName.trim(),
          ...(appId.trim() === '' ? {} : { appId: appId.trim() }),
          ...(hasAddress ? { [PLATFORMS[kind]]: { redirectUris } } : {}),
          ...(kind === 'daemon' ? { applicationType: 'daemon' } : {}),
          ...(isClient ? { permissions } : { cae: true, ...(identifierUri === '' ? {} : { identifierUris: [identifierUri] }) }),
        },
        ...{ done: t('applications.created', { name: displayName.trim() }), changes: ['applications'] },
      })
      close()
      created(body.appId)
    })
  return (
    <form onSubmit={submitting(create)}>
      <Stack gap="sm">
        <TextInput
          label={t('applications.displayName')}
          required
          maxLength={256}
          value={displayName}
          onChange={(event) => setDisplayName(event.currentTarget.value)}
          data-autofocus
        />
        <Radio.Group label={t('applications.kind')} value={kind} onChange={(value) => setKind(value as ApplicationKind)}>
          <Stack gap={6} mt={4}>
            {KINDS.map((value) => (
              <Radio key={value} value={value} label={t(`applications.kinds.${value}`)} description={t(`applications.kindHints.${value}`)} />
            ))}
          </Stack>
        </Radio.Group>
        <TextInput
          label={t('applications.appId')}
          description={t('applications.appIdHint')}
          value={appId}
          onChange={(event) => setAppId(event.currentTarget.value)}
          autoComplete="off"
          spellCheck={false}
        />
        {hasAddress && (
          <TagsInput
            label={t('applications.redirectUris')}
            description={t('applications.redirectUrisHint')}
            value={redirectUris}
            onChange={setRedirectUris}
            acceptValueOnBlur
          />
        )}
        {isClient ? (
          <TagsInput
            label={t('applications.permissions.ask')}
            description={t('applications.permissions.hint')}
            data={offered}
            value={permissions}
            onChange={setPermissions}
            acceptValueOnBlur
          />
        ) : (
          <TextInput
            label={t('applications.identifierUri')}
            description={t('applications.identifierUriHint')}
            placeholder="api://files"
            value={identifierUri}
            onChange={(event) => setIdentifierUri(event.currentTarget.value.trim())}
            spellCheck={false}
          />
        )}
        {Boolean(error) && <Problem error={error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>
            {t('parts.cancel')}
          </Button>
          <Button type="submit" loading={busy} disabled={displayName.trim() === ''}>
            {t('applications.createAction')}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
