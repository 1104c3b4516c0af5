import { Button, Group, PasswordInput, SegmentedControl, Stack, Switch, Text, TextInput } from '@mantine/core'
import { useState } from 'react'
import { useLocation } from 'wouter'
import { ApiError } from '../../api/client.ts'
import type { User } from '../../api/users.ts'
import { Dialog } from '../../parts/dialog.tsx'
import { Problem } from '../../parts/problem.tsx'
import { submitting, useWork } from '../../parts/work.ts'
import { useWrite } from '../../parts/write.ts'
import { useSession } from '../../session/context.ts'
import { t } from '../../texts/texts.ts'
import { generatePassword, ShownOnce } from './password.tsx'

/** Adds somebody to the directory. */
export function NewUser({ opened, onClose }: { opened: boolean; onClose(): void }) {
  return (
    <Dialog opened={opened} onClose={onClose} title={t('users.new.title')}>
      {opened && <Form onClose={onClose} />}
    </Dialog>
  )
}

function Form({ onClose }: { onClose(): void }) {
  const write = useWrite()
  const [, navigate] = useLocation()
  const domain = useSession().account.username.split('@')[1] ?? ''
  const [displayName, setDisplayName] = useState('')
  const [userPrincipalName, setUserPrincipalName] = useState('')
  const [guest, setGuest] = useState(false)
  const [own, setOwn] = useState(false)
  const [chosen, setChosen] = useState('')
  const { busy, error, work } = useWork()
  const [made, setMade] = useState<{ user: User; password: string }>()

  const go = () =>
    work(async () => {
      const password = own ? chosen : generatePassword()
      const { body } = await write<User>('POST', '/users', {
        body: {
          ...{ displayName: displayName.trim(), userPrincipalName: userPrincipalName.trim(), accountEnabled: true },
          ...{ userType: guest ? 'Guest' : 'Member', passwordProfile: { password, forceChangePasswordNextSignIn: true } },
        },
        done: t('users.new.done', { name: displayName.trim() }),
        changes: ['users'],
      })
      if (own) navigate(`/users/${body.id}`)
      else setMade({ user: body, password })
    })

  if (made)
    return (
      <ShownOnce name={made.user.displayName} password={made.password}>
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>
            {t('parts.close')}
          </Button>
          <Button onClick={() => navigate(`/users/${made.user.id}`)}>{t('users.new.go')}</Button>
        </Group>
      </ShownOnce>
    )
  const taken = error instanceof ApiError && error.status === 409
  return (
    <form onSubmit={submitting(go)}>
      <Stack>
        <TextInput
          label={t('users.name')}
          required
          maxLength={256}
          value={displayName}
          onChange={(event) => setDisplayName(event.currentTarget.value)}
          autoComplete="off"
          data-autofocus
        />
        <TextInput
          label={t('users.userPrincipalName')}
          description={t('users.new.upnHint')}
          placeholder={`name@${domain}`}
          required
          maxLength={320}
          value={userPrincipalName}
          onChange={(event) => setUserPrincipalName(event.currentTarget.value)}
          error={taken && t('users.new.taken')}
          autoComplete="off"
          spellCheck={false}
        />
        <Switch
          label={t('users.new.guest')}
          description={t('users.new.guestHint')}
          checked={guest}
          onChange={(event) => setGuest(event.currentTarget.checked)}
        />
        <SegmentedControl
          fullWidth
          aria-label={t('users.new.password')}
          value={own ? 'own' : 'generated'}
          onChange={(value) => setOwn(value === 'own')}
          data={[
            { value: 'generated', label: t('users.new.generated') },
            { value: 'own', label: t('users.new.own') },
          ]}
        />
        {own && (
          <PasswordInput
            label={t('users.new.password')}
            required
            minLength={8}
            maxLength={256}
            value={chosen}
            onChange={(event) => setChosen(event.currentTarget.value)}
            autoComplete="new-password"
            visibilityToggleButtonProps={{ 'aria-label': t('users.new.show') }}
          />
        )}
        <Text size="sm" c="dimmed">
          {t('users.new.change')}
        </Text>
        {Boolean(error) && !taken && <Problem error={error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>
            {t('parts.cancel')}
          </Button>
          <Button type="submit" loading={busy}>
            {t('users.new.create')}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
