import { ActionIcon, Menu } from '@mantine/core'
import type { StoredPolicy } from '../../api/policies.ts'
import { Icon, type IconName } from '../../parts/icon.tsx'
import { t } from '../../texts/texts.ts'
import type { usePolicyActions } from './change-state.ts'

const STATES = [
  ['enabled', 'play'],
  ['enabledForReportingButNotEnforced', 'overview'],
  ['disabled', 'pause'],
] as const satisfies readonly [string, IconName][]

/** What can be done with a policy without opening it. */
export function RowMenu({ stored, actions }: { stored: StoredPolicy; actions: ReturnType<typeof usePolicyActions> }) {
  const { policy } = stored
  // Graph knows no report-only policy for user actions.
  const offered = STATES.filter(
    ([state]) =>
      state !== policy.state && !(state === 'enabledForReportingButNotEnforced' && policy.conditions.applications.includeUserActions.length > 0),
  )
  return (
    <Menu position="bottom-end" withArrow>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label={t('policies.actions', { name: policy.displayName })}>
          <Icon name="more" />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {offered.map(([state, icon]) => (
          <Menu.Item key={state} leftSection={<Icon name={icon} size={16} />} onClick={() => actions.setState(stored, state)}>
            {t(`policies.ask.${state}.action`)}
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Item color="red" leftSection={<Icon name="trash" size={16} />} onClick={() => actions.remove(stored)}>
          {t('policies.ask.remove.action')}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}
