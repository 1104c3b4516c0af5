import type { Mistake } from '@caegis/policy'
import { Alert, Anchor, List } from '@mantine/core'
import { Icon } from '../../parts/icon.tsx'
import { t, tn } from '../../texts/texts.ts'
import { type SectionName, sectionOf } from './draft.ts'

/** All that is to be mended before it can be saved, each with the way there. */
export function MistakeList({ mistakes, go }: { mistakes: readonly Mistake[]; go(part: SectionName): void }) {
  if (mistakes.length === 0) return null
  return (
    <Alert color="red" variant="light" icon={<Icon name="warning" />} title={tn('policies.toMend', mistakes.length)} role="alert">
      <List size="sm">
        {mistakes.map(({ path, message }) => (
          <List.Item key={`${path} ${message}`}>
            <Anchor component="button" type="button" size="sm" onClick={() => go(sectionOf(path) as SectionName)}>
              {t(`policies.parts.${sectionOf(path)}`)}
            </Anchor>
            : {message} {path !== '' && <code>{path}</code>}
          </List.Item>
        ))}
      </List>
    </Alert>
  )
}
