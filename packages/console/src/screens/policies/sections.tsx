import { Accordion, Badge, Group, Stack, Text } from '@mantine/core'
import type { ComponentType } from 'react'
import { t, tn } from '../../texts/texts.ts'
import { Clients, Platforms } from './conditions/clients.tsx'
import { Devices } from './conditions/devices.tsx'
import { Flows, Risk } from './conditions/risk.tsx'
import { What } from './conditions/what.tsx'
import { Where } from './conditions/where.tsx'
import { Who } from './conditions/who.tsx'
import { Grant } from './controls/grant.tsx'
import { SessionPart } from './controls/session.tsx'
import { controlsText, grantText, whatText, whereText, whoText, word } from './describe.ts'
import { type Draft, type SectionName, sectionOf } from './draft.ts'
import { useEditor } from './editor-context.ts'

interface Part {
  name: SectionName
  content: ComponentType
  /** What it says, where it is closed; nothing where it says nothing. */
  says(draft: Draft): string | undefined
  /** Means nothing for service principals. */
  usersOnly?: true
}

const words = (list: readonly string[]) => (list.length === 0 ? undefined : list.map(word).join(', '))

const PARTS: readonly Part[] = [
  { name: 'who', content: Who, says: (draft) => whoText(draft) || undefined },
  { name: 'what', content: What, says: (draft) => whatText(draft) || undefined },
  { name: 'where', content: Where, says: (draft) => whereText(draft) },
  {
    name: 'clients',
    content: Clients,
    usersOnly: true,
    says: ({ conditions: { clientAppTypes } }) => (clientAppTypes.includes('all') ? undefined : words(clientAppTypes)),
  },
  { name: 'platforms', content: Platforms, usersOnly: true, says: ({ conditions: { platforms } }) => words(platforms?.includePlatforms ?? []) },
  { name: 'devices', content: Devices, usersOnly: true, says: ({ conditions: { devices } }) => devices?.deviceFilter.rule },
  {
    name: 'risk',
    content: Risk,
    says: ({ conditions: { userRiskLevels, signInRiskLevels, insiderRiskLevels, servicePrincipalRiskLevels } }) =>
      words([...new Set([...userRiskLevels, ...signInRiskLevels, ...insiderRiskLevels, ...servicePrincipalRiskLevels])]),
  },
  {
    name: 'flows',
    content: Flows,
    usersOnly: true,
    says: ({ conditions: { authenticationFlows } }) => words(authenticationFlows?.transferMethods ?? []),
  },
  { name: 'grant', content: Grant, says: (draft) => grantText(draft) },
  {
    name: 'session',
    content: SessionPart,
    usersOnly: true,
    says: (draft) => controlsText({ ...draft, grantControls: null }).join('; ') || undefined,
  },
]

/** Conditions and controls, one part each, with what they say while they are closed. */
export function Sections({ open, setOpen }: { open: string[]; setOpen(open: string[]): void }) {
  const { draft, mistakes } = useEditor()
  const isForUsers = draft.conditions.clientApplications === null
  return (
    <Accordion multiple variant="separated" order={2} value={open} onChange={setOpen} keepMounted={false} transitionDuration={0}>
      {PARTS.filter(({ usersOnly }) => isForUsers || !usersOnly).map(({ name, content: Content, says }) => {
        const said = says(draft)
        const wrong = mistakes.filter(({ path }) => sectionOf(path) === name).length
        return (
          <Accordion.Item key={name} value={name} id={`part-${name}`}>
            <Accordion.Control>
              <Group justify="space-between" wrap="nowrap" gap="sm" pr="xs">
                <Stack gap={0} style={{ minWidth: 0 }}>
                  <Text fw={600} size="sm">
                    {t(`policies.parts.${name}`)}
                  </Text>
                  <Text size="sm" c="dimmed" truncate>
                    {said ?? t(name === 'who' || name === 'what' || name === 'grant' ? 'policies.notChosen' : 'policies.notSet')}
                  </Text>
                </Stack>
                {wrong > 0 && (
                  <Badge color="red" variant="light" tt="none" miw="max-content">
                    {tn('policies.mistakes', wrong)}
                  </Badge>
                )}
              </Group>
            </Accordion.Control>
            <Accordion.Panel>
              <Content />
            </Accordion.Panel>
          </Accordion.Item>
        )
      })}
    </Accordion>
  )
}
