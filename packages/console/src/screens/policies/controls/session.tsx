import type { SessionControls } from '@caegis/policy'
import { Group, NumberInput, Radio, Select, Stack } from '@mantine/core'
import { t } from '../../../texts/texts.ts'
import { Optional } from '../choices.tsx'
import { useEditor } from '../editor-context.ts'

const NOTHING: SessionControls = { signInFrequency: null, persistentBrowser: null, continuousAccessEvaluation: null, disableResilienceDefaults: null }
type Frequency = NonNullable<SessionControls['signInFrequency']>
const HOURLY: Frequency = {
  ...{ isEnabled: true, frequencyInterval: 'timeBased', value: 8, type: 'hours', authenticationType: 'primaryAndSecondaryAuthentication' },
}

/** For how long, and how closely, somebody who was let in is looked at. */
export function SessionPart() {
  const { draft, change, mistakeAt } = useEditor()
  const session = draft.sessionControls ?? NOTHING
  const set = (part: Partial<SessionControls>) => {
    const next = { ...session, ...part }
    change({ sessionControls: Object.values(next).every((control) => control === null) ? null : next })
  }
  const { signInFrequency: frequency, persistentBrowser, continuousAccessEvaluation: cae } = session
  const setFrequency = (part: Partial<Frequency>) => set({ signInFrequency: { ...HOURLY, ...frequency, ...part } })
  const mistake = mistakeAt('/sessionControls')
  return (
    <Stack gap="md">
      <Optional
        label={t('policies.session.frequency')}
        description={t('policies.session.frequencyHint')}
        on={frequency !== null}
        turn={(on) => set({ signInFrequency: on ? HOURLY : null })}
      >
        {frequency && (
          <>
            <Radio.Group
              label={t('policies.session.interval')}
              value={frequency.frequencyInterval}
              onChange={(interval) =>
                interval === 'everyTime'
                  ? setFrequency({ frequencyInterval: 'everyTime', value: null, type: null })
                  : setFrequency({ frequencyInterval: 'timeBased', value: HOURLY.value, type: HOURLY.type })
              }
            >
              <Group mt={6}>
                <Radio value="timeBased" label={t('policies.session.timeBased')} />
                <Radio value="everyTime" label={t('policies.session.everyTimeLabel')} />
              </Group>
            </Radio.Group>
            {frequency.frequencyInterval === 'timeBased' && (
              <Group align="flex-start">
                <NumberInput
                  label={t('policies.session.value')}
                  value={frequency.value ?? ''}
                  onChange={(value) => setFrequency({ value: typeof value === 'number' ? value : null })}
                  min={1}
                  allowDecimal={false}
                  allowNegative={false}
                  w={120}
                  error={mistakeAt('/sessionControls/signInFrequency/value')}
                />
                <Select
                  label={t('policies.session.unit')}
                  data={[
                    { value: 'hours', label: t('policies.session.hours') },
                    { value: 'days', label: t('policies.session.days') },
                  ]}
                  value={frequency.type}
                  onChange={(type) => setFrequency({ type: type as 'hours' })}
                  allowDeselect={false}
                  w={140}
                />
              </Group>
            )}
            <Radio.Group
              label={t('policies.session.authentication')}
              value={frequency.authenticationType}
              onChange={(type) => setFrequency({ authenticationType: type as Frequency['authenticationType'] })}
            >
              <Stack mt={6} gap="xs">
                <Radio value="primaryAndSecondaryAuthentication" label={t('policies.session.both')} />
                <Radio value="secondaryAuthentication" label={t('policies.session.secondary')} />
              </Stack>
            </Radio.Group>
          </>
        )}
      </Optional>
      <Select
        label={t('policies.session.browserLabel')}
        data={[
          { value: '', label: t('policies.session.unchanged') },
          { value: 'always', label: t('policies.session.browser.always') },
          { value: 'never', label: t('policies.session.browser.never') },
        ]}
        value={persistentBrowser?.mode ?? ''}
        onChange={(mode) => set({ persistentBrowser: mode ? { isEnabled: true, mode: mode as 'always' } : null })}
        error={mistakeAt('/sessionControls/persistentBrowser')}
        allowDeselect={false}
      />
      <Select
        label={t('policies.session.caeLabel')}
        description={t(`policies.session.caeHint.${cae === null ? 'unchanged' : cae.mode === 'disabled' ? 'disabled' : 'strictLocation'}`)}
        data={[
          { value: '', label: t('policies.session.unchanged') },
          { value: 'disabled', label: t('policies.session.cae.disabled') },
          { value: 'strictLocation', label: t('policies.session.cae.strictLocation') },
        ]}
        value={cae === null ? '' : cae.mode === 'strictEnforcement' ? 'strictLocation' : cae.mode}
        onChange={(mode) => set({ continuousAccessEvaluation: mode ? { mode: mode as 'disabled' } : null })}
        error={mistake && !mistakeAt('/sessionControls/signInFrequency') && !mistakeAt('/sessionControls/persistentBrowser') ? mistake : undefined}
        allowDeselect={false}
      />
    </Stack>
  )
}
