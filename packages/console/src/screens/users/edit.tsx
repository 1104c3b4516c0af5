import { Button, Group, Modal, Stack, Switch, Text, TextInput } from '@mantine/core'
import { useState } from 'react'
import type { UserDetail } from '../../api/users.ts'
import { Problem } from '../../parts/problem.tsx'
import { useWrite } from '../../parts/write.ts'
import { t } from '../../texts/texts.ts'

/** Changes what somebody is called. */
export function EditUser({ user, opened, onClose }: { user: UserDetail; opened: boolean; onClose(): void }) {
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={
        <Text span fw={700}>
          {t('users.profile.editTitle', { name: user.displayName })}
        </Text>
      }
      closeButtonProps={{ 'aria-label': t('parts.close') }}
      centered
    >
      {opened && <Form user={user} onClose={onClose} />}
    </Modal>
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
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const go = async () => {
    const changed = NAMES.filter((name) => values[name].trim() !== (before[name] ?? '')).map((name) => [name, values[name].trim() || null])
    const kind = guest === (before.userType === 'Guest') ? {} : { userType: guest ? 'Guest' : 'Member' }
    const body = { ...Object.fromEntries(changed), ...kind }
    if (Object.keys(body).length === 0) return onClose()
    setBusy(true)
    setError(undefined)
    try {
      const etag = before['@odata.etag']
      await write('PATCH', `/users/${user.id}`, {
        ...{ body, changes: ['users'], done: t('users.profile.done') },
        ...(etag === undefined ? {} : { headers: { 'if-match': etag } }),
      })
      onClose()
    } catch (reason) {
      setError(reason)
      setBusy(false)
    }
  }
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        void go()
      }}
    >
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
