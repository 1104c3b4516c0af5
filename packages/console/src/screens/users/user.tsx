import { Alert, Button, Group, Menu, Tabs } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import type { ComponentType } from 'react'
import { Link, Redirect, useLocation, useParams } from 'wouter'
import { useRefresh } from '../../api/refresh.ts'
import { type UserDetail, useUser } from '../../api/users.ts'
import { Answered } from '../../parts/answered.tsx'
import { Icon } from '../../parts/icon.tsx'
import { Page } from '../../parts/page.tsx'
import { Problem } from '../../parts/problem.tsx'
import { t } from '../../texts/texts.ts'
import { useUserActions } from './actions.ts'
import { Audit } from './audit.tsx'
import { Devices } from './devices.tsx'
import { Events } from './events.tsx'
import { EnabledMark, RiskMark, RoleMarks } from './marks.tsx'
import { Overview } from './overview.tsx'
import { ResetPassword } from './password.tsx'
import { Risk } from './risk.tsx'
import { Sessions } from './sessions.tsx'
import { SignIns } from './sign-ins.tsx'

const TABS = {
  overview: Overview,
  sessions: Sessions,
  'sign-ins': SignIns,
  risk: Risk,
  devices: Devices,
  events: Events,
  audit: Audit,
} satisfies Record<string, ComponentType<{ user: UserDetail }>>
type Tab = keyof typeof TABS

/** One user: who it is, what is open, what happened, and what can be done about it. */
export function UserScreen() {
  const { id = '', tab = 'overview' } = useParams()
  const [, navigate] = useLocation()
  const query = useUser(id)
  const user = query.data
  useRefresh(['events', 'signIns'], ['users', user?.id ?? id], user?.id ?? id)
  if (!user)
    return (
      <Page title={t('users.one')}>
        <Answered query={query}>{() => null}</Answered>
        {query.error && (
          <Group>
            <Button component={Link} href="/users" variant="default">
              {t('users.back')}
            </Button>
          </Group>
        )}
      </Page>
    )
  // Whatever changes is known by its id, not by a name that was typed into the address.
  if (user.id !== id) return <Redirect to={tab === 'overview' ? `/users/${user.id}` : `/users/${user.id}/${tab}`} replace />
  const shown: Tab = Object.hasOwn(TABS, tab) ? (tab as Tab) : 'overview'
  return (
    <Page
      title={user.displayName}
      badge={
        <Group gap={6}>
          <EnabledMark user={user} />
          {user.riskLevel !== 'none' && <RiskMark level={user.riskLevel} whole />}
          <RoleMarks user={user} />
        </Group>
      }
      actions={<Actions user={user} />}
    >
      {Boolean(query.error) && <Problem error={query.error} retry={() => query.refetch()} />}
      {user.isEmergencyAccount && (
        <Alert color="orange" variant="light" icon={<Icon name="warning" />} title={t('users.emergency.title')}>
          {t('users.emergency.text')}
        </Alert>
      )}
      <Tabs value={shown} onChange={(value) => navigate(value === 'overview' ? `/users/${id}` : `/users/${id}/${value}`)} keepMounted={false}>
        <Tabs.List mb="md" style={{ flexWrap: 'nowrap', overflowX: 'auto', overflowY: 'hidden' }}>
          {(Object.keys(TABS) as Tab[]).map((name) => (
            <Tabs.Tab key={name} value={name}>
              {t(`users.tabs.${name}`)}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {(Object.entries(TABS) as [Tab, ComponentType<{ user: UserDetail }>][]).map(([name, Content]) => (
          <Tabs.Panel key={name} value={name}>
            <Content user={user} />
          </Tabs.Panel>
        ))}
      </Tabs>
    </Page>
  )
}

/** So that all of them stand in one line of a telephone. */
const NARROW = { base: 'sm', sm: 'md' }

function Actions({ user }: { user: UserDetail }) {
  const { revoke, disable, enable, remove } = useUserActions(user)
  const [resetting, { open, close }] = useDisclosure(false)
  return (
    <>
      <Button leftSection={<Icon name="bolt" size={16} />} px={NARROW} onClick={revoke}>
        {t('users.revoke.open')}
      </Button>
      {user.accountEnabled ? (
        <Button variant="default" px={NARROW} onClick={disable}>
          {t('users.disable.open')}
        </Button>
      ) : (
        <Button variant="default" px={NARROW} onClick={enable}>
          {t('users.enable.open')}
        </Button>
      )}
      <Menu position="bottom-end" width={280} withArrow withInitialFocusPlaceholder={false}>
        <Menu.Target>
          <Button variant="default" px={NARROW}>
            {t('users.more')}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item leftSection={<Icon name="key" size={16} />} disabled={user.isEmergencyAccount} onClick={open}>
            {t('users.password.open')}
            {user.isEmergencyAccount && ` (${t('users.emergency.password')})`}
          </Menu.Item>
          <Menu.Item leftSection={<Icon name="trash" size={16} />} c="var(--mantine-color-error)" onClick={remove}>
            {t('users.delete.open')}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <ResetPassword user={user} opened={resetting} onClose={close} />
    </>
  )
}
