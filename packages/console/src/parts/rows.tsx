import { ActionIcon, Box, Button, Group, Stack, Text, Tooltip } from '@mantine/core'
import type { ReactNode } from 'react'
import { Icon } from './icon.tsx'
import { Problem } from './problem.tsx'
import { useWork } from './work.ts'

/** A short list inside of a section, each entry with what can be done to it. */
export function Rows({ children }: { children: ReactNode }) {
  return (
    <Stack gap={0} component="ul" m={0} p={0} className="rows">
      {children}
    </Stack>
  )
}

interface RowProps {
  name: ReactNode
  detail?: ReactNode
  /** Takes it away. Absent where that cannot be. */
  remove?: () => void
  removeLabel?: string
  children?: ReactNode
}

export function Row({ name, detail, remove, removeLabel, children }: RowProps) {
  return (
    <Group component="li" justify="space-between" wrap="nowrap" gap="sm" py={6}>
      <Box style={{ minWidth: 0, overflowWrap: 'anywhere' }}>
        <Text component="div" size="sm" fw={500}>
          {name}
        </Text>
        {detail && (
          <Text component="div" size="xs" c="dimmed">
            {detail}
          </Text>
        )}
      </Box>
      <Group gap="xs" wrap="nowrap">
        {children}
        {remove && (
          <Tooltip label={removeLabel}>
            <ActionIcon variant="subtle" color="red" aria-label={removeLabel} onClick={remove}>
              <Icon name="cross" size={16} />
            </ActionIcon>
          </Tooltip>
        )}
      </Group>
    </Group>
  )
}

/** A field to choose from, and a button that adds what was chosen. What it throws is shown under it. */
export function Adder({ label, empty, onAdd, children }: { label: string; empty: boolean; onAdd(): Promise<unknown>; children: ReactNode }) {
  const { busy, error, work } = useWork()
  return (
    <Stack gap="xs">
      <Group gap="xs" align="flex-end" wrap="nowrap">
        <Box style={{ flex: 1, minWidth: 0 }}>{children}</Box>
        <Button variant="default" loading={busy} disabled={empty} onClick={() => void work(onAdd)}>
          {label}
        </Button>
      </Group>
      {Boolean(error) && <Problem error={error} />}
    </Stack>
  )
}
