import { Alert, Anchor, Button, List, Paper, Stack, Tabs, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { Link } from 'wouter'
import { useApi } from '../../api/context.ts'
import type { Impact } from '../../api/policies.ts'
import { Problem } from '../../parts/problem.tsx'
import { formatNumber, t } from '../../texts/texts.ts'
import { WhatIf } from '../what-if/what-if.tsx'
import { bodyOf, type Draft } from './draft.ts'
import { impactText } from './impact-text.ts'

interface SidePanelProps {
  draft: Draft
  isNew: boolean
  /** Whether it can be read; what cannot be is not asked about. */
  sound: boolean
}

const LAST = 1000

/** What the draft would do, before it does: to the sign-ins that were, and to one that is made up. */
export function SidePanel({ draft, isNew, sound }: SidePanelProps) {
  const asked = { ...(isNew ? {} : { id: draft.id }), ...bodyOf(draft) }
  return (
    <Paper withBorder p="md" component="aside" aria-label={t('policies.side.label')} style={{ position: 'sticky', top: 72 }}>
      <Tabs defaultValue="impact" keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="impact">{t('policies.impact.title')}</Tabs.Tab>
          <Tabs.Tab value="whatIf">{t('whatIf.title')}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="impact">{sound ? <DraftImpact policy={asked} /> : <Unsound />}</Tabs.Panel>
        <Tabs.Panel value="whatIf">{sound ? <WhatIf draft={{ ...asked, state: 'enabled' }} /> : <Unsound />}</Tabs.Panel>
      </Tabs>
    </Paper>
  )
}

function Unsound() {
  return (
    <Text size="sm" c="dimmed">
      {t('policies.side.unsound')}
    </Text>
  )
}

function DraftImpact({ policy }: { policy: Record<string, unknown> }) {
  const api = useApi()
  const now = JSON.stringify(policy)
  const [asked, setAsked] = useState<string>()
  const { data, error, isFetching, refetch } = useQuery({
    queryKey: ['impact', 'draft', asked],
    queryFn: async () =>
      (await api.send<Impact>('POST', '/identity/conditionalAccess/impact', { policy: JSON.parse(asked ?? '{}'), last: LAST })).body,
    enabled: asked !== undefined,
  })
  return (
    <Stack gap="sm">
      <Text size="sm" c="dimmed">
        {t('policies.side.impactText', { n: formatNumber(LAST) })}
      </Text>
      <Button variant="default" loading={isFetching} onClick={() => (asked === now ? void refetch() : setAsked(now))}>
        {t('policies.side.ask')}
      </Button>
      {Boolean(error) && <Problem error={error} />}
      <Stack gap="xs" role="status">
        {data && (
          <>
            <Text fw={600}>{impactText(data)}</Text>
            {asked !== now && (
              <Alert color="yellow" variant="light">
                {t('policies.side.stale')}
              </Alert>
            )}
            {data.examples.length > 0 && (
              <List size="sm">
                {data.examples.slice(0, 8).map(({ id, before, after }) => (
                  <List.Item key={id}>
                    <Anchor component={Link} href={`/sign-ins/${id}`} size="sm">
                      {t('policies.side.signIn', { id: id.slice(0, 8) })}
                    </Anchor>
                    : {t(`whatIf.short.${before}` as 'whatIf.short.allow')} → {t(`whatIf.short.${after}` as 'whatIf.short.allow')}
                  </List.Item>
                ))}
              </List>
            )}
          </>
        )}
      </Stack>
    </Stack>
  )
}
