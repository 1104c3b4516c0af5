import { USER_ACTIONS } from '@caegis/policy'
import { Group, MultiSelect, Radio, Stack } from '@mantine/core'
import { useState } from 'react'
import { useContexts } from '../../../api/contexts.ts'
import { Pick } from '../../../parts/pick.tsx'
import { t } from '../../../texts/texts.ts'
import { Choices } from '../choices.tsx'
import { EMPTY } from '../draft.ts'
import { useEditor } from '../editor-context.ts'

type Target = 'applications' | 'actions' | 'contexts'

/** What somebody wants to reach or to do. */
export function What() {
  const { draft, setConditions, mistakeAt } = useEditor()
  const { applications } = draft.conditions
  const { includeApplications, excludeApplications, includeUserActions, includeAuthenticationContextClassReferences: contexts } = applications
  const [target, setTarget] = useState<Target>(includeUserActions.length > 0 ? 'actions' : contexts.length > 0 ? 'contexts' : 'applications')
  const [all, setAll] = useState(includeApplications.includes('All'))
  const { data: known = [] } = useContexts()
  const set = (part: Partial<typeof applications>) => setConditions({ applications: { ...applications, ...part } })
  const pointer = '/conditions/applications'
  return (
    <Stack gap="md">
      <Radio.Group
        label={t('policies.what.target')}
        value={target}
        onChange={(value) => {
          setTarget(value as Target)
          setAll(false)
          set(EMPTY.conditions.applications)
        }}
      >
        <Group mt={6}>
          <Radio value="applications" label={t('policies.what.applications')} />
          <Radio value="actions" label={t('policies.what.actions')} />
          <Radio value="contexts" label={t('policies.what.contexts')} />
        </Group>
      </Radio.Group>
      {target === 'actions' && (
        <Choices
          label={t('policies.what.actions')}
          words={USER_ACTIONS}
          value={includeUserActions}
          onChange={(actions) => set({ includeUserActions: actions })}
          error={mistakeAt(pointer)}
        />
      )}
      {target === 'contexts' && (
        <MultiSelect
          label={t('policies.what.contexts')}
          description={t('policies.what.contextsHint')}
          data={[...new Set([...known.map(({ id }) => id), ...contexts])].map((id) => ({ value: id, label: contextLabel(id, known) }))}
          value={[...contexts]}
          onChange={(ids) => set({ includeAuthenticationContextClassReferences: ids })}
          error={mistakeAt(pointer)}
          searchable
        />
      )}
      {target === 'applications' && (
        <>
          <Radio.Group
            label={t('policies.include')}
            value={all ? 'all' : 'chosen'}
            onChange={(value) => {
              setAll(value === 'all')
              set({ includeApplications: value === 'all' ? ['All'] : [] })
            }}
          >
            <Group mt={6}>
              <Radio value="all" label={t('policies.what.all')} />
              <Radio value="chosen" label={t('policies.what.chosen')} />
            </Group>
          </Radio.Group>
          {!all && (
            <Pick
              kind="applications"
              label={t('policies.what.include')}
              value={includeApplications}
              onChange={(ids) => set({ includeApplications: ids })}
              error={mistakeAt(pointer)}
              multiple
            />
          )}
          <Pick
            kind="applications"
            label={t('policies.what.exclude')}
            value={excludeApplications}
            onChange={(ids) => set({ excludeApplications: ids })}
            error={all ? mistakeAt(pointer) : mistakeAt(`${pointer}/excludeApplications`)}
            multiple
          />
        </>
      )}
    </Stack>
  )
}

export function contextLabel(id: string, known: readonly { id: string; displayName: string }[]): string {
  const found = known.find((one) => one.id === id)
  return found ? `${id}: ${found.displayName}` : id
}
