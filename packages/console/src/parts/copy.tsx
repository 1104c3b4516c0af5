import { ActionIcon, Code, CopyButton, Group, Tooltip } from '@mantine/core'
import { t } from '../texts/texts.ts'
import { Icon } from './icon.tsx'

/** An id that can be copied; names stand before it, ids are for other tools. */
export function CopyId({ value, label }: { value: string; label: string }) {
  return (
    <Group gap={4} wrap="nowrap" display="inline-flex">
      <Code style={{ overflowWrap: 'anywhere' }}>{value}</Code>
      <CopyButton value={value}>
        {({ copied, copy }) => (
          <Tooltip label={copied ? t('parts.copied') : t('parts.copy', { what: label })} {...(copied ? { opened: true } : {})}>
            <ActionIcon variant="subtle" color={copied ? 'green' : 'gray'} size="sm" aria-label={t('parts.copy', { what: label })} onClick={copy}>
              <Icon name={copied ? 'check' : 'copy'} size={14} />
            </ActionIcon>
          </Tooltip>
        )}
      </CopyButton>
    </Group>
  )
}
