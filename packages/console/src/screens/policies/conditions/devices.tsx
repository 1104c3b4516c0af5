import { parseDeviceRule } from '@caegis/policy'
import { Code, Group, Radio, Stack, Text, Textarea } from '@mantine/core'
import { t } from '../../../texts/texts.ts'
import { Optional } from '../choices.tsx'
import { useEditor } from '../editor-context.ts'

const EXAMPLE = 'device.isCompliant -ne True'

/** With which device. */
export function Devices() {
  const { draft, setConditions, mistakeAt } = useEditor()
  const filter = draft.conditions.devices?.deviceFilter
  const set = (part: Partial<NonNullable<typeof filter>>) =>
    setConditions({ devices: { deviceFilter: { mode: 'include', rule: '', ...filter, ...part } } })
  return (
    <Optional
      label={t('policies.devices.turn')}
      description={t('policies.devices.hint')}
      on={filter !== undefined}
      turn={(on) => (on ? set({ rule: EXAMPLE }) : setConditions({ devices: null }))}
    >
      {filter && (
        <Stack gap="md">
          <Radio.Group label={t('policies.devices.mode')} value={filter.mode} onChange={(mode) => set({ mode: mode as 'include' })}>
            <Group mt={6}>
              <Radio value="include" label={t('policies.devices.include')} />
              <Radio value="exclude" label={t('policies.devices.exclude')} />
            </Group>
          </Radio.Group>
          <Textarea
            label={t('policies.devices.rule')}
            description={t('policies.devices.ruleHint')}
            value={filter.rule}
            onChange={({ currentTarget: { value } }) => set({ rule: value })}
            error={wrongRule(filter.rule) ?? mistakeAt('/conditions/devices')}
            maxLength={3072}
            autosize
            minRows={2}
            spellCheck={false}
            styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
          />
          <Text size="sm" c="dimmed">
            {t('policies.devices.example')} <Code>{'device.trustType -eq "ServerAD" -or device.model -startsWith "Surface"'}</Code>
          </Text>
        </Stack>
      )}
    </Optional>
  )
}

/** What is wrong with a rule, while it is typed. */
function wrongRule(rule: string): string | undefined {
  if (rule.trim() === '') return undefined
  try {
    parseDeviceRule(rule)
    return undefined
  } catch (error) {
    return String((error as { detail?: unknown }).detail ?? (error as Error).message)
  }
}
