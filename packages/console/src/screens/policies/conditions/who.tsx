import { Checkbox, Group, MultiSelect, Radio, Stack, Text, Title } from '@mantine/core'
import { useState } from 'react'
import { Pick } from '../../../parts/pick.tsx'
import { t } from '../../../texts/texts.ts'
import { isWord } from '../describe.ts'
import { EMPTY, NO_USERS } from '../draft.ts'
import { useEditor } from '../editor-context.ts'
import { Guests } from './guests.tsx'

/** Roles of the directory. */
const ROLES = ['admin']
const ANY_GUEST = 'GuestsOrExternalUsers'
const OURS = 'ServicePrincipalsInMyTenant'

/** Whom a policy is about: users, or service principals. */
export function Who() {
  const { draft, setConditions, mistakeAt } = useEditor()
  const about = draft.conditions.clientApplications ? 'servicePrincipals' : 'users'
  // A policy is about one or the other; what goes with the other only, goes.
  const turn = (value: string) =>
    value === 'users'
      ? setConditions({ clientApplications: null, users: EMPTY.conditions.users, servicePrincipalRiskLevels: [] })
      : setConditions({
          ...EMPTY.conditions,
          ...{ applications: draft.conditions.applications, locations: draft.conditions.locations, users: NO_USERS },
          clientApplications: { includeServicePrincipals: [OURS], excludeServicePrincipals: [] },
        })
  return (
    <Stack gap="md">
      <Radio.Group
        label={t('policies.who.about')}
        value={about}
        onChange={turn}
        error={mistakeAt('/conditions/users') && about === 'servicePrincipals' ? mistakeAt('/conditions/users') : undefined}
      >
        <Group mt={6}>
          <Radio value="users" label={t('policies.who.users')} />
          <Radio value="servicePrincipals" label={t('policies.who.servicePrincipals')} />
        </Group>
      </Radio.Group>
      {about === 'users' ? <Users /> : <ServicePrincipals />}
    </Stack>
  )
}

function Users() {
  const { draft, setConditions, mistakeAt, mistakes } = useEditor()
  const { users } = draft.conditions
  const [word] = users.includeUsers
  const mode = word === 'All' ? 'all' : word === 'None' ? 'none' : 'chosen'
  const set = (part: Partial<typeof users>) => setConditions({ users: { ...users, ...part } })
  const anyGuest = users.includeUsers.includes(ANY_GUEST)
  const nobody = mistakes.some(({ path }) => path === '/conditions/users')
  return (
    <>
      <Radio.Group
        label={t('policies.include')}
        value={mode}
        onChange={(value) =>
          set({ ...EMPTY.conditions.users, ...excludedOf(users), includeUsers: value === 'all' ? ['All'] : value === 'none' ? ['None'] : [] })
        }
        error={nobody ? mistakeAt('/conditions/users') : undefined}
      >
        <Group mt={6}>
          <Radio value="all" label={t('policies.who.all')} />
          <Radio value="chosen" label={t('policies.who.chosen')} />
          <Radio value="none" label={t('policies.who.none')} />
        </Group>
      </Radio.Group>
      {mode === 'chosen' && (
        <>
          <Pick
            kind="users"
            label={t('policies.who.includeUsers')}
            value={users.includeUsers.filter((id) => !isWord(id))}
            onChange={(ids) => set({ includeUsers: anyGuest ? [...ids, ANY_GUEST] : ids })}
            error={mistakeAt('/conditions/users/includeUsers')}
            multiple
          />
          <Pick
            kind="groups"
            label={t('policies.who.includeGroups')}
            value={users.includeGroups}
            onChange={(includeGroups) => set({ includeGroups })}
            error={mistakeAt('/conditions/users/includeGroups')}
            multiple
          />
          <Roles side="include" />
          <Checkbox
            label={t('policies.who.anyGuest')}
            checked={anyGuest}
            onChange={({ currentTarget: { checked } }) =>
              set({ includeUsers: [...users.includeUsers.filter((id) => id !== ANY_GUEST), ...(checked ? [ANY_GUEST] : [])] })
            }
          />
          <Guests side="include" />
        </>
      )}
      <Title order={3} size="h6">
        {t('policies.exclude')}
      </Title>
      <Text size="sm" c="dimmed">
        {t('policies.who.excludeHint')}
      </Text>
      <Pick
        kind="users"
        label={t('policies.who.excludeUsers')}
        value={users.excludeUsers}
        onChange={(excludeUsers) => set({ excludeUsers })}
        error={mistakeAt('/conditions/users/excludeUsers')}
        multiple
      />
      <Pick
        kind="groups"
        label={t('policies.who.excludeGroups')}
        value={users.excludeGroups}
        onChange={(excludeGroups) => set({ excludeGroups })}
        error={mistakeAt('/conditions/users/excludeGroups')}
        multiple
      />
      <Roles side="exclude" />
      <Guests side="exclude" />
    </>
  )
}

function excludedOf({ excludeUsers, excludeGroups, excludeRoles, excludeGuestsOrExternalUsers }: typeof EMPTY.conditions.users) {
  return { excludeUsers, excludeGroups, excludeRoles, excludeGuestsOrExternalUsers }
}

function Roles({ side }: { side: 'include' | 'exclude' }) {
  const { draft, setConditions, mistakeAt } = useEditor()
  const { users } = draft.conditions
  const name = `${side}Roles` as const
  return (
    <MultiSelect
      label={t(`policies.who.${name}`)}
      data={[...new Set([...ROLES, ...users[name]])].map((role) => ({ value: role, label: role === 'admin' ? t('policies.who.admin') : role }))}
      value={[...users[name]]}
      onChange={(roles) => setConditions({ users: { ...users, [name]: roles } })}
      error={mistakeAt(`/conditions/users/${name}`)}
      clearable
      clearButtonProps={{ 'aria-label': t('pick.clear') }}
    />
  )
}

function ServicePrincipals() {
  const { draft, setConditions, mistakeAt } = useEditor()
  const { includeServicePrincipals = [], excludeServicePrincipals = [] } = draft.conditions.clientApplications ?? {}
  const [all, setAll] = useState(includeServicePrincipals.includes(OURS))
  const set = (part: object) => setConditions({ clientApplications: { includeServicePrincipals, excludeServicePrincipals, ...part } })
  return (
    <>
      <Radio.Group
        label={t('policies.include')}
        value={all ? 'all' : 'chosen'}
        onChange={(value) => {
          setAll(value === 'all')
          set({ includeServicePrincipals: value === 'all' ? [OURS] : [] })
        }}
      >
        <Group mt={6}>
          <Radio value="all" label={t('policies.who.allPrincipals')} />
          <Radio value="chosen" label={t('policies.who.chosenPrincipals')} />
        </Group>
      </Radio.Group>
      {!all && (
        <Pick
          kind="servicePrincipals"
          label={t('policies.who.includeServicePrincipals')}
          value={includeServicePrincipals}
          onChange={(ids) => set({ includeServicePrincipals: ids })}
          error={mistakeAt('/conditions/clientApplications')}
          multiple
        />
      )}
      <Pick
        kind="servicePrincipals"
        label={t('policies.who.excludeServicePrincipals')}
        value={excludeServicePrincipals}
        onChange={(ids) => set({ excludeServicePrincipals: ids })}
        error={all ? mistakeAt('/conditions/clientApplications') : undefined}
        multiple
      />
    </>
  )
}
