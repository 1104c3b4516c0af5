import { Badge } from '@mantine/core'
import type { ReactNode } from 'react'
import { Icon, type IconName } from './icon.tsx'

/** `good` and `bad` are verdicts, `warn` wants a look, `quiet` is neither. */
export type Tone = 'good' | 'bad' | 'warn' | 'quiet' | 'info'

const LOOKS: Record<Tone, { color: string; icon?: IconName }> = {
  good: { color: 'green', icon: 'check' },
  bad: { color: 'red', icon: 'cross' },
  warn: { color: 'orange', icon: 'warning' },
  info: { color: 'blue' },
  quiet: { color: 'gray' },
}

/** A state in words; colour and drawing only repeat them. */
export function Status({ tone, children }: { tone: Tone; children: ReactNode }) {
  const { color, icon } = LOOKS[tone]
  return (
    <Badge color={color} variant="light" radius="sm" tt="none" fw={600} miw="max-content" leftSection={icon && <Icon name={icon} size={12} />}>
      {children}
    </Badge>
  )
}
