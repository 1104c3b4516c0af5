import { Alert, Button, Group, Text } from '@mantine/core'
import { t } from '../texts/texts.ts'
import { Icon } from './icon.tsx'

/** Says that what is on the screen was written earlier and never saved. */
export function Restored({ discard }: { discard(): void }) {
  return (
    <Alert color="yellow" variant="light" icon={<Icon name="clock" />} title={t('parts.restored.title')} role="status">
      <Group justify="space-between" gap="sm">
        <Text size="sm">{t('parts.restored.text')}</Text>
        <Button size="compact-sm" variant="default" onClick={discard}>
          {t('parts.restored.discard')}
        </Button>
      </Group>
    </Alert>
  )
}
