import { Menu, SegmentedControl, Stack, Text, UnstyledButton, useMantineColorScheme } from '@mantine/core'
import { Icon } from '../parts/icon.tsx'
import { useSession } from '../session/context.ts'
import { t } from '../texts/texts.ts'

/** Who is signed in, how the console looks, and the way out. */
export function AccountMenu() {
  const { account, signOut } = useSession()
  const { colorScheme, setColorScheme } = useMantineColorScheme()
  const name = account.name || account.username
  return (
    <Menu position="bottom-end" width={260} withArrow>
      <Menu.Target>
        <UnstyledButton aria-label={t('shell.account', { name })} p={6} style={{ borderRadius: 'var(--mantine-radius-md)', display: 'flex' }}>
          <Icon name="user" size={22} />
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        <Stack gap={0} px="sm" py="xs">
          <Text size="sm" fw={600}>
            {name}
          </Text>
          <Text size="xs" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
            {account.username}
          </Text>
        </Stack>
        <Menu.Divider />
        <Menu.Label>{t('shell.appearance')}</Menu.Label>
        <SegmentedControl
          fullWidth
          size="xs"
          mb="xs"
          aria-label={t('shell.appearance')}
          value={colorScheme}
          onChange={(value) => setColorScheme(value as 'light')}
          data={[
            { value: 'light', label: t('shell.light') },
            { value: 'dark', label: t('shell.dark') },
            { value: 'auto', label: t('shell.auto') },
          ]}
        />
        <Menu.Divider />
        <Menu.Item leftSection={<Icon name="signIn" size={16} />} onClick={() => void signOut()}>
          {t('shell.signOut')}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}
