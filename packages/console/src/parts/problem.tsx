import { Alert, Button, List, Stack, Text } from '@mantine/core'
import { ApiError } from '../api/client.ts'
import { type TextKey, t } from '../texts/texts.ts'
import { Icon } from './icon.tsx'

interface Words {
  title: TextKey
  text?: TextKey
}

/** What failed, in the server's words, and what to do next. */
export function Problem({ error, retry }: { error: unknown; retry?: () => void }) {
  const { title, text } = wordsOf(error)
  const details = error instanceof ApiError ? error.details.slice(0, 10) : []
  return (
    <Alert color="red" variant="light" icon={<Icon name="warning" />} title={t(title)} role="alert">
      <Stack gap="xs" align="flex-start">
        <Text size="sm">{error instanceof Error ? error.message : String(error)}</Text>
        {details.length > 0 && (
          <List size="sm">
            {details.map((one) => (
              <List.Item key={`${one.target} ${one.message}`}>
                <b>{one.target || '/'}</b>: {one.message}
              </List.Item>
            ))}
          </List>
        )}
        {text && <Text size="sm">{t(text)}</Text>}
        {retry && (
          <Button size="compact-sm" variant="default" onClick={retry}>
            {t('parts.retry')}
          </Button>
        )}
      </Stack>
    </Alert>
  )
}

function wordsOf(error: unknown): Words {
  if (error instanceof TypeError) return { title: 'parts.problem.unreachable', text: 'parts.problem.unreachableText' }
  if (!(error instanceof ApiError)) return { title: 'parts.problem.title' }
  if (error.status === 403) return { title: 'parts.problem.denied', text: 'parts.problem.deniedText' }
  if (error.status === 404) return { title: 'parts.problem.missing', text: 'parts.problem.missingText' }
  if (error.status === 412) return { title: 'parts.problem.conflict', text: 'parts.problem.conflictText' }
  return { title: 'parts.problem.title' }
}
