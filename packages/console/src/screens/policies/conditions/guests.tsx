import { GUEST_TYPES, type GuestSelection } from '@caegis/policy'
import { Group, Radio, Stack, TagsInput } from '@mantine/core'
import { t } from '../../../texts/texts.ts'
import { Choices } from '../choices.tsx'
import { useEditor } from '../editor-context.ts'

/** Guests by their kinds, of any tenant or of some. */
export function Guests({ side }: { side: 'include' | 'exclude' }) {
  const { draft, setConditions, mistakeAt } = useEditor()
  const { users } = draft.conditions
  const name = `${side}GuestsOrExternalUsers` as const
  const pointer = `/conditions/users/${name}`
  const guests = users[name]
  const set = (value: GuestSelection | null) => setConditions({ users: { ...users, [name]: value } })
  const { externalTenants = null } = guests ?? {}
  return (
    <Stack gap="xs">
      <Choices
        label={t(`policies.who.guestTypes.${side}`)}
        words={GUEST_TYPES}
        value={guests?.guestOrExternalUserTypes ?? []}
        onChange={(types) => set(types.length === 0 ? null : { guestOrExternalUserTypes: types, externalTenants })}
        error={mistakeAt(`${pointer}/guestOrExternalUserTypes`)}
      />
      {guests && (
        <>
          <Radio.Group
            label={t('policies.who.guestTenants')}
            value={externalTenants?.membershipKind === 'enumerated' ? 'enumerated' : 'all'}
            onChange={(kind) => set({ ...guests, externalTenants: kind === 'all' ? null : { membershipKind: 'enumerated', members: [] } })}
          >
            <Group mt={6}>
              <Radio value="all" label={t('policies.who.anyTenant')} />
              <Radio value="enumerated" label={t('policies.who.theseTenants')} />
            </Group>
          </Radio.Group>
          {externalTenants?.membershipKind === 'enumerated' && (
            <TagsInput
              label={t('policies.who.tenantIds')}
              value={[...externalTenants.members]}
              onChange={(members) => set({ ...guests, externalTenants: { membershipKind: 'enumerated', members } })}
              error={mistakeAt(`${pointer}/externalTenants`)}
            />
          )}
        </>
      )}
    </Stack>
  )
}
