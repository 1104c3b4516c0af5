import { Box, Group, Text } from '@mantine/core'
import { type LiveState, useLiveState } from '../api/live.tsx'
import { t } from '../texts/texts.ts'

const COLORS: Record<LiveState, string> = { off: 'gray', connecting: 'yellow', live: 'green', lost: 'red' }

/** Whether changes reach the screen by themselves. */
export function LiveMark() {
  const state = useLiveState()
  if (state === 'off') return null
  return (
    <Group gap={6} wrap="nowrap" role="status">
      <Box w={8} h={8} bg={COLORS[state]} style={{ borderRadius: '50%' }} />
      <Text size="xs" c="dimmed" visibleFrom="sm">
        {t(`shell.live.${state}`)}
      </Text>
    </Group>
  )
}
