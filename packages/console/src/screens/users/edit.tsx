import { Button, Group, Stack, Switch, TextInput } from '@mantine/core'
import { useState } from 'react'
import type { UserDetail } from '../../api/users.ts'
import { Dialog } from '../../parts/dialog.tsx'
import { Problem } from '../../parts/problem.tsx'
import { submitting, useWork } from '../../parts/work.ts'
import { useWrite } from '../../parts/write.ts'
import { t } from '../../texts/texts.ts'

/** Changes what somebody is called. */
export function EditUser({ user, opened, onClose }: { user: UserDetail; opened: boolean; onClose(): void }) {
  return (
    <Dialog opened={opened} onClose={onClose} title={t('users.profile.editTitle', { name: user.displayName })}>
      {opened && <Form user={user} onClose={onClose} />}
    </Dialog>
  )
}

const NAMES = ['displayName', 'userPrincipalName', 'givenName', 'surname', 'mail'] as const
const LABELS = {
  displayName: t('users.name'),
  userPrincipalName: t('users.userPrincipalName'),
  givenName: t('users.profile.givenName'),
  surname: t('users.profile.surname'),
  mail: t('users.profile.mail'),
}

function Form({ user, onClose }: { user: UserDetail; onClose(): void }) {
  const write = useWrite()
  // What was read when the form was opened: what came meanwhile must not be overwritten unseen.
  const [before] = useState(user)
  const [values, setValues] = useState(Object.fromEntries(NAMES.map((name) => [name, before[name] ?? ''])) as Record<(typeof NAMES)[number], string>)
  const [guest, setGuest] = useState(before.userType === 'Guest')
  const { busy, error, work } = useWork()
  const go = async () => {
    const changed = NAMES.filter((name) => values[name].trim() !== (before[name] ?? '')).map((name) => [name, values[name].trim() || null])
    const kind = guest === (before.userType === 'Guest') ? {} : { userType: guest ? 'Guest' : 'Member' }
    const body = { ...Object.fromEntries(changed), ...kind }
    if (Object.keys(body).length === 0) return onClose()
    await work(async () => {
      const etag = before['@odata.etag']
      await write('PATCH', `/users/${user.id}`, {
        ...{ body, changes: ['users'], done: t('users.profile.done') },
        ...(etag === undefined ? {} : { headers: { 'if-match': etag } }),
      })
      onClose()
    })
  }
  return (
    <form onSubmit={submitting(go)}>
      <Stack>
        {NAMES.map((name) => (
          <TextInput
            key={name}
            label={LABELS[name]}
            required={name === 'displayName' || name === 'userPrincipalName'}
            type={name === 'mail' ? 'email' : 'text'}
            maxLength={256}
            value={values[name]}
            onChange={(event) => {
              const { value } = event.currentTarget
              setValues((all) => ({ ...all, [name]: value }))
            }}
            autoComplete="off"
            {...(name === 'displayName' ? { 'data-autofocus': true } : {})}
          />
        ))}
        <Switch label={t('users.new.guest')} checked={guest} onChange={(event) => setGuest(event.currentTarget.checked)} />
        {Boolean(error) && <Problem error={error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>
            {t('parts.cancel')}
          </Button>
          <Button type="submit" loading={busy}>
            {t('users.profile.save')}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
