import { Button, Grid, Group, Paper, Radio, SegmentedControl, Stack, Textarea, TextInput } from '@mantine/core'
import { useState } from 'react'
import type { StoredPolicy } from '../../api/policies.ts'
import { useKept } from '../../parts/kept.ts'
import { Restored } from '../../parts/restored.tsx'
import { submitting } from '../../parts/work.ts'
import { t } from '../../texts/texts.ts'
import { type Draft, mistakesIn, NEW_ID, type SectionName, same, sectionOf, stillWrong } from './draft.ts'
import { EditorProvider } from './editor-context.ts'
import { JsonView } from './json-view.tsx'
import { MistakeList } from './mistake-list.tsx'
import { SaveProblem } from './save-problem.tsx'
import { Sections } from './sections.tsx'
import { SidePanel } from './side-panel.tsx'
import { useSave } from './use-save.ts'

/** A policy being written, from what it was to what is sent. */
export function PolicyForm({ initial, stored }: { initial: Draft; stored?: StoredPolicy }) {
  const [changed, setChanged] = useState<Draft>()
  const kept = useKept(`policy.${stored?.policy.id ?? NEW_ID}`, changed)
  const [begun, setBegun] = useState(kept.found)
  const draft = changed ?? begun ?? initial
  const [view, setView] = useState<'form' | 'json'>('form')
  // Parts that hold a choice of their own begin anew where the whole policy was replaced.
  const [round, setRound] = useState(0)
  const [open, setOpen] = useState<string[]>(stored ? [] : ['who', 'what', 'grant'])
  const [tried, setTried] = useState(stored !== undefined)
  const own = mistakesIn(draft)
  const finished = () => {
    kept.forget()
    setChanged(undefined)
    setBegun(undefined)
  }
  const saving = useSave({ draft, stored, finished })
  const refused = saving.refused ? stillWrong(saving.refused.error, saving.refused.sent, draft) : []
  const mistakes = [...(tried ? own : []), ...refused.filter((one) => !own.some(({ path, message }) => path === one.path && message === one.message))]
  const dirty = changed !== undefined || begun !== undefined
  const { displayName, description, state } = draft
  const change = (part: Partial<Draft>) => setChanged((before) => ({ ...(before ?? draft), ...part }))
  const replace = (next: Draft) => {
    setChanged({ ...next, id: draft.id })
    setRound(round + 1)
  }
  const discard = () => {
    finished()
    saving.forget()
    setRound(round + 1)
  }

  const save = async () => {
    setTried(true)
    const wrong = own.length > 0 ? own : await saving.save()
    // What is to be mended is opened, and the first of it is where one is now.
    const parts = [...new Set(wrong.map(({ path }) => sectionOf(path)))]
    if (parts.length === 0) return
    setView('form')
    setOpen([...new Set([...open, ...parts])])
    show(parts[0] as SectionName)
  }

  const onlyReports = state === 'enabledForReportingButNotEnforced'
  const noReports = draft.conditions.applications.includeUserActions.length > 0 && !onlyReports
  const basic = (path: string) => mistakes.find((one) => one.path === path)?.message
  return (
    <EditorProvider
      value={{
        ...{ draft, change, mistakes },
        setConditions: (part) => setChanged((before) => ({ ...(before ?? draft), conditions: { ...(before ?? draft).conditions, ...part } })),
      }}
    >
      <Stack gap="md">
        {begun && !changed && !same(begun, initial) && <Restored discard={discard} />}
        <Grid gap="md">
          <Grid.Col span={{ base: 12, lg: 7 }}>
            <form noValidate onSubmit={submitting(save)}>
              <Stack gap="md">
                <Paper withBorder p="md" id="part-basics">
                  <Stack gap="md">
                    <TextInput
                      label={t('policies.name')}
                      withAsterisk
                      maxLength={256}
                      value={displayName}
                      onChange={({ currentTarget: { value } }) => change({ displayName: value })}
                      error={basic('/displayName')}
                    />
                    <Textarea
                      label={t('policies.description')}
                      maxLength={4096}
                      autosize
                      value={description ?? ''}
                      onChange={({ currentTarget: { value } }) => change({ description: value === '' ? null : value })}
                      error={basic('/description')}
                    />
                    <StateChoice state={state} noReports={noReports} change={change} error={basic('/state')} />
                  </Stack>
                </Paper>
                <SegmentedControl
                  aria-label={t('policies.view.label')}
                  value={view}
                  onChange={(value) => setView(value as 'form')}
                  data={[
                    { value: 'form', label: t('policies.view.form') },
                    { value: 'json', label: t('policies.view.json') },
                  ]}
                  style={{ alignSelf: 'flex-start' }}
                />
                {view === 'form' ? <Sections key={round} open={open} setOpen={setOpen} /> : <JsonView draft={draft} replace={replace} />}
                <MistakeList
                  mistakes={mistakes}
                  go={(part) => {
                    setView('form')
                    setOpen([...new Set([...open, part])])
                    show(part)
                  }}
                />
                {saving.error !== undefined && (
                  <SaveProblem error={saving.error} saving={saving} draft={draft} {...(stored ? { stored } : {})} discard={discard} />
                )}
                <Group gap="xs">
                  <Button type="submit" loading={saving.busy} disabled={stored !== undefined && !dirty}>
                    {t(stored ? 'policies.save' : 'policies.create')}
                  </Button>
                  {dirty && (
                    <Button variant="default" onClick={discard}>
                      {t('policies.discard')}
                    </Button>
                  )}
                </Group>
              </Stack>
            </form>
          </Grid.Col>
          <Grid.Col span={{ base: 12, lg: 5 }}>
            <SidePanel draft={draft} isNew={stored === undefined} sound={own.length === 0} />
          </Grid.Col>
        </Grid>
      </Stack>
    </EditorProvider>
  )
}

const STATES = ['enabled', 'enabledForReportingButNotEnforced', 'disabled'] as const

interface StateChoiceProps {
  state: Draft['state']
  noReports: boolean
  change(part: Partial<Draft>): void
  error: string | undefined
}

function StateChoice({ state, noReports, change, error }: StateChoiceProps) {
  return (
    <Radio.Group
      label={t('policies.state')}
      description={t(`policies.stateHint.${state}`)}
      value={state}
      onChange={(value) => change({ state: value as Draft['state'] })}
      error={error}
    >
      <Group mt={6}>
        {STATES.map((one) => (
          <Radio key={one} value={one} label={t(`policies.states.${one}`)} disabled={noReports && one === 'enabledForReportingButNotEnforced'} />
        ))}
      </Group>
    </Radio.Group>
  )
}

/** Brings a part into sight, once it is open, and the keyboard to its first field. */
function show(part: SectionName | 'basics'): void {
  setTimeout(() => {
    const element = document.getElementById(`part-${part}`)
    element?.scrollIntoView({ block: 'start', behavior: 'auto' })
    element?.querySelector<HTMLElement>('[aria-invalid="true"], input, textarea, button')?.focus({ preventScroll: true })
  }, 50)
}
