import { Alert, Anchor, List, Paper, Stack, Text, Title } from '@mantine/core'
import { Link } from 'wouter'
import { Icon, type IconName } from '../../parts/icon.tsx'
import { Status, type Tone } from '../../parts/status.tsx'
import { isText, t, tn } from '../../texts/texts.ts'
import { word } from '../policies/describe.ts'
import type { Answer } from './question.ts'

type One = Answer['value'][number]

const LOOKS: Record<Answer['caegis']['outcome'], { color: string; icon: IconName }> = {
  allow: { color: 'green', icon: 'check' },
  require: { color: 'orange', icon: 'key' },
  block: { color: 'red', icon: 'stop' },
}

/** What would be decided, and what each policy says to it. */
export function Result({ answer: { value, caegis }, draft }: { answer: Answer; draft: Record<string, unknown> | undefined }) {
  const { color, icon } = LOOKS[caegis.outcome]
  const isDraft = ({ id, displayName }: One) =>
    draft !== undefined && (id === draft.id || (draft.id === undefined && displayName === draft.displayName))
  const named = (id: string) => value.find((one) => one.id === id)?.displayName ?? id
  const groups = [
    ['applies', value.filter((one) => one.caegis.applies === true)],
    ['unknown', value.filter((one) => one.caegis.applies === 'unknown')],
    ['not', value.filter((one) => one.caegis.applies === false)],
  ] as const
  return (
    <Stack gap="sm" role="status">
      <Alert color={color} variant="light" icon={<Icon name={icon} />} title={t(`whatIf.outcome.${caegis.outcome}`)}>
        <Text size="sm">
          {caegis.outcome === 'block' && t('whatIf.blockedBy', { names: caegis.blockedBy.map(named).join(', ') })}
          {caegis.outcome === 'require' && caegis.next && t('whatIf.next', { what: word(caegis.next) })}
          {caegis.outcome === 'allow' && t('whatIf.allowText')}
        </Text>
      </Alert>
      {value.length === 0 && (
        <Text size="sm" c="dimmed">
          {t('whatIf.noPolicies')}
        </Text>
      )}
      {groups.map(
        ([group, some]) =>
          some.length > 0 && (
            <Stack key={group} gap="xs">
              <Title order={3} size="h6">
                {tn(`whatIf.groups.${group}`, some.length)}
              </Title>
              {some.map((one) => (
                <PolicyLine key={one.id} one={one} isDraft={isDraft(one)} />
              ))}
            </Stack>
          ),
      )}
    </Stack>
  )
}

const RESULTS: Record<string, Tone> = { success: 'good', failure: 'bad', notApplied: 'quiet' }

function PolicyLine({ one, isDraft }: { one: One; isDraft: boolean }) {
  const { id, displayName, state, caegis } = one
  const { applies, result, unmet, notSatisfied, unknown } = caegis
  const reasons = one.analysisReasons.split(',').filter((reason) => reason !== 'notSet' && reason !== 'notEnoughInformation')
  return (
    <Paper withBorder p="xs">
      <Stack gap={4}>
        <Text size="sm" fw={600} component="div">
          {isDraft ? (
            <>
              {displayName} <Status tone="info">{t('whatIf.thisDraft')}</Status>
            </>
          ) : (
            <Anchor component={Link} href={`/policies/${id}`} size="sm" fw={600}>
              {displayName}
            </Anchor>
          )}{' '}
          {state === 'enabledForReportingButNotEnforced' && <Status tone="quiet">{t('policies.states.enabledForReportingButNotEnforced')}</Status>}
        </Text>
        {applies !== false && (
          <Text size="sm" component="div">
            <Status tone={RESULTS[result] ?? 'warn'}>{unmet.length > 0 ? t('whatIf.asks') : resultText(result)}</Status> {unmet.map(word).join(', ')}
          </Text>
        )}
        {applies === false && (
          <List size="sm">
            {(reasons.length > 0 ? reasons : notSatisfied).map((reason) => (
              <List.Item key={reason}>{reasonText(reason)}</List.Item>
            ))}
          </List>
        )}
        {unknown.length > 0 && (
          <Text size="sm" c="dimmed">
            {t('whatIf.notTold', { what: unknown.map((condition) => conditionText(condition)).join(', ') })}
          </Text>
        )}
      </Stack>
    </Paper>
  )
}

function resultText(result: string): string {
  const key = `whatIf.results.${result}`
  return isText(key) ? t(key) : result
}

function reasonText(reason: string): string {
  const key = `whatIf.reasons.${reason}`
  return isText(key) ? t(key) : reason
}

function conditionText(condition: string): string {
  const key = `whatIf.conditions.${condition}`
  return isText(key) ? t(key) : condition
}
