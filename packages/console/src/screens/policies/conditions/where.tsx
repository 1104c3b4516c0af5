import { Anchor, MultiSelect, Stack, Text } from '@mantine/core'
import { Link } from 'wouter'
import { useLocations } from '../../../api/locations.ts'
import { t } from '../../../texts/texts.ts'
import { Optional } from '../choices.tsx'
import { useEditor } from '../editor-context.ts'

/** From where. */
export function Where() {
  const { draft, setConditions, mistakeAt } = useEditor()
  const { locations } = draft.conditions
  const { data = [] } = useLocations()
  const named = data.map(({ id, displayName }) => ({ value: id, label: displayName }))
  const known = new Set(named.map(({ value }) => value))
  const gone = [...(locations?.includeLocations ?? []), ...(locations?.excludeLocations ?? [])].filter(
    (id) => !known.has(id) && id !== 'All' && id !== 'AllTrusted',
  )
  const rest = [{ value: 'AllTrusted', label: t('policies.where.trusted') }, ...named, ...[...new Set(gone)].map((id) => ({ value: id, label: id }))]
  return (
    <Optional
      label={t('policies.where.turn')}
      description={t('policies.where.hint')}
      on={locations !== null}
      turn={(on) => setConditions({ locations: on ? { includeLocations: ['All'], excludeLocations: [] } : null })}
    >
      {locations && (
        <Stack gap="md">
          <MultiSelect
            label={t('policies.where.include')}
            data={[{ value: 'All', label: t('policies.where.all') }, ...rest]}
            value={[...locations.includeLocations]}
            onChange={(includeLocations) => setConditions({ locations: { ...locations, includeLocations } })}
            error={mistakeAt('/conditions/locations/includeLocations')}
            {...PICKING}
          />
          <MultiSelect
            label={t('policies.where.exclude')}
            data={rest}
            value={[...locations.excludeLocations]}
            onChange={(excludeLocations) => setConditions({ locations: { ...locations, excludeLocations } })}
            error={mistakeAt('/conditions/locations/excludeLocations')}
            {...PICKING}
          />
          <Text size="sm">
            <Anchor component={Link} href="/locations/new">
              {t('locations.newTitle')}
            </Anchor>
          </Text>
        </Stack>
      )}
    </Optional>
  )
}

export const PICKING = {
  ...{ searchable: true, clearable: true, hidePickedOptions: true },
  ...{ nothingFoundMessage: t('pick.nothing'), clearButtonProps: { 'aria-label': t('pick.clear') } },
} as const
