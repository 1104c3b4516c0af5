import { Alert, Button, Checkbox, CopyButton, Group, Stack, Text, TextInput } from '@mantine/core'
import { type ReactNode, useState } from 'react'
import type { UserDetail } from '../../api/users.ts'
import { Dialog } from '../../parts/dialog.tsx'
import { Icon } from '../../parts/icon.tsx'
import { Problem } from '../../parts/problem.tsx'
import { useWork } from '../../parts/work.ts'
import { useWrite } from '../../parts/write.ts'
import { t } from '../../texts/texts.ts'

/** Letters that nobody takes for others when they read them out. */
const LETTERS = 'abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789'
const GROUPS = 4
const LENGTH = 5

/** Some 114 bits, in groups that can be read out. */
export function generatePassword(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(256))
  // Without the bytes at the end, no letter is likelier than another.
  const letters = [...bytes].filter((byte) => byte < 256 - (256 % LETTERS.length)).map((byte) => LETTERS[byte % LETTERS.length])
  return Array.from({ length: GROUPS }, (_, at) => letters.slice(at * LENGTH, (at + 1) * LENGTH).join('')).join('-')
}

/** A password that is seen now and never again. */
export function ShownOnce({ name, password, children }: { name: string; password: string; children?: ReactNode }) {
  return (
    <Stack>
      <Alert color="orange" variant="light" icon={<Icon name="key" />} title={t('users.password.once')}>
        {t('users.password.onceText', { name })}
      </Alert>
      <Group gap="xs" align="flex-end" wrap="nowrap">
        <TextInput
          label={t('users.password.new')}
          value={password}
          readOnly
          ff="monospace"
          style={{ flex: 1 }}
          onFocus={(event) => event.currentTarget.select()}
          data-autofocus
        />
        <CopyButton value={password}>
          {({ copied, copy }) => (
            <Button variant="default" onClick={copy} leftSection={<Icon name={copied ? 'check' : 'copy'} size={16} />}>
              {copied ? t('parts.copied') : t('users.password.copy')}
            </Button>
          )}
        </CopyButton>
      </Group>
      {children}
    </Stack>
  )
}

/** Gives somebody a new password; what was open with the old one ends. */
export function ResetPassword({ user, opened, onClose }: { user: UserDetail; opened: boolean; onClose(): void }) {
  return (
    <Dialog opened={opened} onClose={onClose} title={t('users.password.title', { name: user.displayName })}>
      {opened && <Reset user={user} onClose={onClose} />}
    </Dialog>
  )
}

function Reset({ user, onClose }: { user: UserDetail; onClose(): void }) {
  const write = useWrite()
  const [force, setForce] = useState(true)
  const [password, setPassword] = useState<string>()
  const { busy, error, work } = useWork()
  const go = () =>
    work(async () => {
      const fresh = generatePassword()
      await write('PATCH', `/users/${user.id}`, {
        ...{ body: { passwordProfile: { password: fresh, forceChangePasswordNextSignIn: force } }, proof: true, changes: ['users'] },
        done: t('users.password.done', { name: user.displayName }),
      })
      setPassword(fresh)
    })
  if (password !== undefined)
    return (
      <ShownOnce name={user.displayName} password={password}>
        <Group justify="flex-end">
          <Button onClick={onClose}>{t('users.password.seen')}</Button>
        </Group>
      </ShownOnce>
    )
  return (
    <Stack>
      <Text>{t('users.password.text', { name: user.displayName })}</Text>
      <Checkbox label={t('users.password.force')} checked={force} onChange={(event) => setForce(event.currentTarget.checked)} />
      {Boolean(error) && <Problem error={error} />}
      <Group justify="flex-end" gap="xs">
        <Button variant="default" onClick={onClose} data-autofocus>
          {t('parts.cancel')}
        </Button>
        <Button color="red" loading={busy} onClick={() => void go()}>
          {t('users.password.reset')}
        </Button>
      </Group>
    </Stack>
  )
}
