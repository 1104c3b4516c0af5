import { Group, Stack, Title } from '@mantine/core'
import { type ReactNode, useEffect, useRef } from 'react'
import { t } from '../texts/texts.ts'

/** The frame of every screen: its title, which is read out when somebody comes here, and what can be done at once. */
export function Page({ title, badge, actions, children }: { title: string; badge?: ReactNode; actions?: ReactNode; children: ReactNode }) {
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    document.title = `${title} · ${t('shell.product')}`
  }, [title])
  useEffect(() => {
    // Whoever navigates by keyboard or by ear begins at the new screen's title; at the first load, where the browser begins.
    if (document.activeElement !== document.body && !heading.current?.closest('main')?.contains(document.activeElement))
      heading.current?.focus({ preventScroll: true })
  }, [])
  return (
    <Stack gap="md">
      <Group justify="space-between" align="center" gap="sm">
        <Group gap="sm">
          <Title order={1} size="h2" ref={heading} tabIndex={-1} style={{ outline: 'none', overflowWrap: 'anywhere' }}>
            {title}
          </Title>
          {badge}
        </Group>
        {actions && <Group gap="xs">{actions}</Group>}
      </Group>
      {children}
    </Stack>
  )
}
