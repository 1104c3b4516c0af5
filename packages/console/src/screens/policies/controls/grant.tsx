import { BUILT_IN_CONTROLS, BUILT_IN_STRENGTHS, type BuiltInControl, type GrantControls } from '@caegis/policy'
import { Group, Radio, Select, Stack, Text } from '@mantine/core'
import { useState } from 'react'
import { t } from '../../../texts/texts.ts'
import { Choices } from '../choices.tsx'
import { useEditor } from '../editor-context.ts'

const ASKED = BUILT_IN_CONTROLS.filter((control) => control !== 'block')
const NOTHING: GrantControls = { operator: 'OR', builtInControls: [], authenticationStrength: null }
type Mode = 'none' | 'block' | 'ask'

/** Whether it blocks, or what it asks for. */
export function Grant() {
  const { draft, change, mistakeAt, mistakes } = useEditor()
  const given = draft.grantControls
  const [mode, setMode] = useState<Mode>(given === null ? 'none' : given.builtInControls.includes('block') ? 'block' : 'ask')
  const controls = given ?? NOTHING
  // Without any control there is no policy; that is said here.
  const without = mistakes.find(({ path }) => path === '')?.message
  const set = (part: Partial<GrantControls>) => {
    const next = { ...controls, ...part }
    const count = next.builtInControls.length + (next.authenticationStrength ? 1 : 0)
    change({
      grantControls: count === 0 ? null : { ...next, operator: count > 1 && next.builtInControls.includes('passwordChange') ? 'AND' : next.operator },
    })
  }
  const count = controls.builtInControls.length + (controls.authenticationStrength ? 1 : 0)
  return (
    <Stack gap="md">
      <Radio.Group
        label={t('policies.grant.mode')}
        value={mode}
        onChange={(value) => {
          setMode(value as Mode)
          change({ grantControls: value === 'block' ? { ...NOTHING, builtInControls: ['block'] } : null })
        }}
        error={without ?? (mode === 'ask' ? undefined : mistakeAt('/grantControls'))}
      >
        <Stack mt={6} gap="xs">
          <Radio value="block" label={t('policies.grant.block')} />
          <Radio value="ask" label={t('policies.grant.ask')} disabled={draft.conditions.clientApplications !== null} />
          <Radio value="none" label={t('policies.grant.none')} />
        </Stack>
      </Radio.Group>
      {mode === 'ask' && (
        <>
          <Choices
            label={t('policies.grant.controls')}
            words={ASKED}
            value={controls.builtInControls}
            onChange={(builtInControls: BuiltInControl[]) => set({ builtInControls })}
            error={mistakeAt('/grantControls')}
          />
          {controls.builtInControls.includes('passwordChange') && (
            <Text size="sm" c="dimmed">
              {t('policies.grant.passwordChangeHint')}
            </Text>
          )}
          <Select
            label={t('policies.grant.strength')}
            description={t('policies.grant.strengthHint')}
            data={strengths(controls)}
            value={controls.authenticationStrength?.id ?? ''}
            onChange={(id) => set({ authenticationStrength: strengthOf(id, controls) })}
            allowDeselect={false}
          />
          {count > 1 && (
            <Radio.Group label={t('policies.grant.operator')} value={controls.operator} onChange={(operator) => set({ operator: operator as 'AND' })}>
              <Group mt={6}>
                <Radio value="AND" label={t('policies.grant.and')} />
                <Radio value="OR" label={t('policies.grant.or')} disabled={controls.builtInControls.includes('passwordChange')} />
              </Group>
            </Radio.Group>
          )}
        </>
      )}
    </Stack>
  )
}

/** The built-in ones, and one of its own that the policy has brought along. */
function strengths({ authenticationStrength: own }: GrantControls) {
  const built = [...BUILT_IN_STRENGTHS].map(([id, { displayName }]) => ({ value: id, label: displayName }))
  const more = own && !BUILT_IN_STRENGTHS.has(own.id) ? [{ value: own.id, label: own.displayName ?? own.id }] : []
  return [{ value: '', label: t('policies.grant.noStrength') }, ...built, ...more]
}

function strengthOf(id: string | null, { authenticationStrength: own }: GrantControls): GrantControls['authenticationStrength'] {
  if (!id) return null
  const built = BUILT_IN_STRENGTHS.get(id)
  return built ? { id, ...built } : own
}
