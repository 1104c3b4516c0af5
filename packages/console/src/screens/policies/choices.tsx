import { Checkbox, Group, Stack, Switch } from '@mantine/core'
import type { ReactNode } from 'react'
import { word } from './describe.ts'

interface ChoicesProps<T extends string> {
  label: string
  description?: string
  words: readonly T[]
  value: readonly T[]
  onChange(value: T[]): void
  error?: string | undefined
}

/** Some of a few words. */
export function Choices<T extends string>({ words, value, onChange, ...input }: ChoicesProps<T>) {
  return (
    <Checkbox.Group {...input} value={[...value]} onChange={(chosen) => onChange(words.filter((one) => chosen.includes(one)))}>
      <Group mt={6} gap="md" style={{ rowGap: '0.5rem' }}>
        {words.map((one) => (
          <Checkbox key={one} value={one} label={word(one)} />
        ))}
      </Group>
    </Checkbox.Group>
  )
}

/** A condition that a policy may have or not. */
export function Optional({
  label,
  description,
  on,
  turn,
  children,
}: {
  label: string
  description?: string
  on: boolean
  turn(on: boolean): void
  children: ReactNode
}) {
  return (
    <Stack gap="md">
      <Switch label={label} description={description} checked={on} onChange={({ currentTarget: { checked } }) => turn(checked)} />
      {on && children}
    </Stack>
  )
}
