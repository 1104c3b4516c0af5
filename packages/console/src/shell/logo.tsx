import { Group, Text } from '@mantine/core'
import mark from '../icon.svg'
import { t } from '../texts/texts.ts'

export function Logo() {
  return (
    <Group gap={8} wrap="nowrap">
      <img src={mark} alt="" width={26} height={26} />
      <Text fw={800} size="lg" style={{ letterSpacing: '-0.02em' }}>
        {t('shell.product')}
      </Text>
    </Group>
  )
}
