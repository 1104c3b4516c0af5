import { Alert, Button, Code, CopyButton, Group, Select, Stack, Text, Textarea, TextInput } from '@mantine/core'
import { useState } from 'react'
import { principalPath } from '../../api/applications.ts'
import { Dialog } from '../../parts/dialog.tsx'
import { Icon } from '../../parts/icon.tsx'
import { Problem } from '../../parts/problem.tsx'
import { submitting, useWork } from '../../parts/work.ts'
import { useWrite } from '../../parts/write.ts'
import { t, tn } from '../../texts/texts.ts'

interface AddProps {
  appId: string
  kind: 'secret' | 'certificate' | undefined
  close(): void
}

/** Days after which a new secret expires; none: never. */
const DAYS = ['30', '90', '180', '365']

/** Makes a secret, whose text is shown this once, or takes a certificate. */
export function AddCredential({ appId, kind, close }: AddProps) {
  return (
    <Dialog
      opened={kind !== undefined}
      onClose={close}
      // A secret that is on the screen goes away by its own button, not by a slip.
      closeOnClickOutside={false}
      title={t(kind === 'certificate' ? 'applications.credentials.addCertificate' : 'applications.credentials.addSecret')}
    >
      {kind && <Form appId={appId} kind={kind} close={close} />}
    </Dialog>
  )
}

function Form({ appId, kind, close }: AddProps & { kind: 'secret' | 'certificate' }) {
  const write = useWrite()
  const [name, setName] = useState('')
  const [days, setDays] = useState<string | null>('180')
  const [pem, setPem] = useState('')
  const [secret, setSecret] = useState<string>()
  const { busy, error, work } = useWork()
  const add = async () => {
    const displayName = name.trim()
    await work(async () => {
      if (kind === 'secret') {
        const expiry = days === null ? {} : { endDateTime: new Date(Date.now() + Number(days) * 86_400_000).toISOString() }
        const { body } = await write<{ secretText: string }>('POST', `${principalPath(appId)}/addPassword`, {
          ...{ body: { passwordCredential: { displayName, ...expiry } }, changes: ['applications'] },
        })
        setSecret(body.secretText)
      } else {
        await write('POST', `${principalPath(appId)}/addKey`, {
          ...{ body: { displayName, pem }, done: t('applications.credentials.added', { name: displayName }), changes: ['applications'] },
        })
        close()
      }
    })
  }
  if (secret !== undefined) return <Shown secret={secret} close={close} />
  return (
    <form onSubmit={submitting(add)}>
      <Stack gap="sm">
        <TextInput
          label={t('applications.credentials.name')}
          description={t('applications.credentials.nameHint')}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          maxLength={256}
          required
          data-autofocus
        />
        {kind === 'secret' ? (
          <Select
            label={t('applications.credentials.expires')}
            data={DAYS.map((value) => ({ value, label: tn('applications.credentials.days', Number(value)) }))}
            value={days}
            onChange={setDays}
            placeholder={t('applications.credentials.never')}
            clearable
            clearButtonProps={{ 'aria-label': t('applications.credentials.never') }}
          />
        ) : (
          <Textarea
            label={t('applications.credentials.pem')}
            description={t('applications.credentials.pemHint')}
            value={pem}
            onChange={(event) => setPem(event.currentTarget.value)}
            rows={8}
            required
            spellCheck={false}
            styles={{ input: { fontFamily: 'ui-monospace, monospace' } }}
          />
        )}
        {Boolean(error) && <Problem error={error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>
            {t('parts.cancel')}
          </Button>
          <Button type="submit" loading={busy} disabled={name.trim() === '' || (kind === 'certificate' && pem.trim() === '')}>
            {t('applications.credentials.add')}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}

function Shown({ secret, close }: { secret: string; close(): void }) {
  return (
    <Stack gap="sm">
      <Alert color="orange" variant="light" icon={<Icon name="warning" />} role="status">
        <Text size="sm">{t('applications.credentials.once')}</Text>
      </Alert>
      <Code block aria-label={t('applications.credentials.kinds.secret')} style={{ overflowWrap: 'anywhere', whiteSpace: 'pre-wrap' }}>
        {secret}
      </Code>
      <Group justify="flex-end" gap="xs">
        <CopyButton value={secret}>
          {({ copied, copy }) => (
            <Button variant="default" leftSection={<Icon name={copied ? 'check' : 'copy'} />} onClick={copy} data-autofocus>
              {copied ? t('parts.copied') : t('applications.credentials.copy')}
            </Button>
          )}
        </CopyButton>
        <Button onClick={close}>{t('applications.credentials.kept')}</Button>
      </Group>
    </Stack>
  )
}
