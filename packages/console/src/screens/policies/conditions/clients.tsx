import { CLIENT_APP_TYPES, type ClientAppType, PLATFORMS, type Platform } from '@caegis/policy'
import { MultiSelect, Stack } from '@mantine/core'
import { t } from '../../../texts/texts.ts'
import { Choices, Optional } from '../choices.tsx'
import { word } from '../describe.ts'
import { useEditor } from '../editor-context.ts'
import { PICKING } from './where.tsx'

const TYPES = CLIENT_APP_TYPES.filter((type) => type !== 'all')

/** With what kind of application. */
export function Clients() {
  const { draft, setConditions, mistakeAt } = useEditor()
  const { clientAppTypes } = draft.conditions
  const any = clientAppTypes.includes('all')
  return (
    <Optional
      label={t('policies.clients.turn')}
      description={t('policies.clients.hint')}
      on={!any}
      turn={(on) => setConditions({ clientAppTypes: on ? ['browser'] : ['all'] })}
    >
      <Choices
        label={t('policies.clients.types')}
        words={TYPES}
        value={clientAppTypes}
        onChange={(types: ClientAppType[]) => setConditions({ clientAppTypes: types.length === 0 ? ['all'] : types })}
        error={mistakeAt('/conditions/clientAppTypes')}
      />
    </Optional>
  )
}

/** On which operating system. */
export function Platforms() {
  const { draft, setConditions, mistakeAt } = useEditor()
  const { platforms } = draft.conditions
  const all = PLATFORMS.map((platform) => ({ value: platform as string, label: word(platform) }))
  return (
    <Optional
      label={t('policies.platforms.turn')}
      description={t('policies.platforms.hint')}
      on={platforms !== null}
      turn={(on) => setConditions({ platforms: on ? { includePlatforms: ['all'], excludePlatforms: [] } : null })}
    >
      {platforms && (
        <Stack gap="md">
          <MultiSelect
            label={t('policies.platforms.include')}
            data={all}
            value={[...platforms.includePlatforms]}
            onChange={(chosen) => setConditions({ platforms: { ...platforms, includePlatforms: chosen as Platform[] } })}
            error={mistakeAt('/conditions/platforms/includePlatforms')}
            {...PICKING}
          />
          <MultiSelect
            label={t('policies.platforms.exclude')}
            data={all.filter(({ value }) => value !== 'all')}
            value={[...platforms.excludePlatforms]}
            onChange={(chosen) => setConditions({ platforms: { ...platforms, excludePlatforms: chosen as Platform[] } })}
            error={mistakeAt('/conditions/platforms/excludePlatforms')}
            {...PICKING}
          />
        </Stack>
      )}
    </Optional>
  )
}
