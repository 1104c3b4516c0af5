import { type Mistake, policyToGraph } from '@caegis/policy'
import { Alert, Button, CopyButton, Group, List, Stack, Textarea } from '@mantine/core'
import { useState } from 'react'
import { download } from '../../parts/download.ts'
import { Icon } from '../../parts/icon.tsx'
import { t, tn } from '../../texts/texts.ts'
import { type Draft, draftFrom, NEW_ID, readMistakes } from './draft.ts'

/** The policy as Microsoft Graph writes it: to be copied, or to be pasted over. What cannot be read stays here and changes nothing. */
export function JsonView({ draft, replace }: { draft: Draft; replace(draft: Draft): void }) {
  const [text, setText] = useState(() => textOf(draft))
  const [mistakes, setMistakes] = useState<Mistake[]>([])
  const type = (next: string) => {
    setText(next)
    try {
      const json = JSON.parse(next) as Record<string, unknown>
      const wrong = readMistakes(() => draftFrom(json))
      setMistakes(wrong)
      if (wrong.length === 0) replace(draftFrom(json))
    } catch (error) {
      setMistakes([{ path: '', message: (error as Error).message }])
    }
  }
  return (
    <Stack gap="sm">
      <Textarea
        label={t('policies.json.label')}
        description={t('policies.json.hint')}
        value={text}
        onChange={({ currentTarget: { value } }) => type(value)}
        rows={20}
        spellCheck={false}
        error={mistakes.length > 0 && t('policies.json.notTaken')}
        styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)', fontSize: 'var(--mantine-font-size-xs)', whiteSpace: 'pre' } }}
      />
      {mistakes.length > 0 && (
        <Alert color="red" variant="light" icon={<Icon name="warning" />} title={tn('policies.toMend', mistakes.length)}>
          <List size="sm">
            {mistakes.map(({ path, message }) => (
              <List.Item key={`${path} ${message}`}>
                <code>{path || '/'}</code>: {message}
              </List.Item>
            ))}
          </List>
        </Alert>
      )}
      <Group gap="xs">
        <CopyButton value={text}>
          {({ copied, copy }) => (
            <Button variant="default" onClick={copy} leftSection={<Icon name={copied ? 'check' : 'copy'} size={16} />}>
              {t(copied ? 'parts.copied' : 'policies.json.copy')}
            </Button>
          )}
        </CopyButton>
        <Button
          variant="default"
          leftSection={<Icon name="download" size={16} />}
          onClick={() => download(`${draft.displayName.replaceAll(/[^\w-]+/g, '-') || 'policy'}.json`, graphOf(draft))}
        >
          {t('policies.json.download')}
        </Button>
      </Group>
    </Stack>
  )
}

function graphOf(draft: Draft): Record<string, unknown> {
  const { id, ...rest } = policyToGraph(draft)
  return id === NEW_ID ? rest : { id, ...rest }
}

function textOf(draft: Draft): string {
  return JSON.stringify(graphOf(draft), null, 2)
}
