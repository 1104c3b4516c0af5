import { Button, Group, SimpleGrid, Stack, Text, UnstyledButton } from '@mantine/core'
import { useMemo } from 'react'
import { useParams, useSearchParams } from 'wouter'
import { useLocations } from '../../api/locations.ts'
import { type StoredPolicy, type Template, usePolicy, useTemplates } from '../../api/policies.ts'
import { Answered } from '../../parts/answered.tsx'
import { CopyId } from '../../parts/copy.tsx'
import { Page } from '../../parts/page.tsx'
import { Section } from '../../parts/section.tsx'
import { Status } from '../../parts/status.tsx'
import { t } from '../../texts/texts.ts'
import { usePolicyActions } from './change-state.ts'
import { STATE_TONES } from './describe.ts'
import { draftFrom, EMPTY } from './draft.ts'
import classes from './policies.module.css'
import { PolicyForm } from './policy-form.tsx'
import { ReevaluationProgress } from './progress.tsx'

/** One policy. */
export function PolicyEditor() {
  const { id } = useParams<{ id: string }>()
  const query = usePolicy(id)
  if (!query.data)
    return (
      <Page title={t('policies.one')}>
        <Answered query={query} rows={8}>
          {() => null}
        </Answered>
      </Page>
    )
  return <Stored key={query.data.etag} stored={query.data} />
}

function Stored({ stored }: { stored: StoredPolicy }) {
  const [search] = useSearchParams()
  const { data: places = [] } = useLocations()
  const actions = usePolicyActions(new Map(places.map(({ id, displayName }) => [id, displayName])))
  const { policy } = stored
  const txn = search.get('txn')
  return (
    <Page
      title={policy.displayName}
      badge={<Status tone={STATE_TONES[policy.state]}>{t(`policies.states.${policy.state}`)}</Status>}
      actions={
        <Button variant="subtle" color="red" onClick={() => actions.remove(stored)}>
          {t('policies.ask.remove.action')}
        </Button>
      }
    >
      <Group gap="xs">
        <Text size="sm" c="dimmed">
          {t('policies.id')}
        </Text>
        <CopyId value={policy.id} label={t('policies.id')} />
      </Group>
      {txn && <ReevaluationProgress key={txn} txn={txn} />}
      <PolicyForm initial={policy} stored={stored} />
    </Page>
  )
}

/** A new policy: from a template, or from nothing. */
export function NewPolicy() {
  const [search, setSearch] = useSearchParams()
  const from = search.get('from')
  const query = useTemplates()
  if (from === null)
    return (
      <Page title={t('policies.newTitle')}>
        <Answered query={query}>{(templates) => <Templates templates={templates} choose={(id) => setSearch({ from: id })} />}</Answered>
      </Page>
    )
  return (
    <Page title={t('policies.newTitle')}>
      <Answered query={query}>{(templates) => <FromTemplate template={templates.find(({ id }) => id === from)} />}</Answered>
    </Page>
  )
}

function FromTemplate({ template }: { template: Template | undefined }) {
  const initial = useMemo(
    () =>
      template ? { ...draftFrom({ ...template.details, displayName: template.name, templateId: template.id }), state: stateFor(template) } : EMPTY,
    [template],
  )
  return <PolicyForm initial={initial} />
}

/** What is new only reports at first, where it can. */
function stateFor({ details }: Template): typeof EMPTY.state {
  const { applications } = details.conditions as { applications?: { includeUserActions?: string[] } }
  return applications?.includeUserActions?.length ? 'disabled' : EMPTY.state
}

function Templates({ templates, choose }: { templates: Template[]; choose(id: string): void }) {
  return (
    <Stack gap="md">
      <Group>
        <Button onClick={() => choose('empty')}>{t('policies.fromEmpty')}</Button>
      </Group>
      <Section title={t('policies.fromTemplate')} text={t('policies.fromTemplateText')}>
        <SimpleGrid cols={{ base: 1, sm: 2, lg: 3 }} spacing="sm">
          {templates.map(({ id, name, description }) => (
            <UnstyledButton key={id} className={classes.template} onClick={() => choose(id)}>
              <Text fw={600} size="sm">
                {name}
              </Text>
              <Text size="sm" c="dimmed">
                {description}
              </Text>
            </UnstyledButton>
          ))}
        </SimpleGrid>
      </Section>
    </Stack>
  )
}
