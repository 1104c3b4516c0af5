import { Anchor, Group, Paper, Stack, Text, Title } from '@mantine/core'
import { Link } from 'wouter'
import type { AppliedPolicy } from '../../api/sign-ins.ts'
import { Icon, type IconName } from '../../parts/icon.tsx'
import { Status, type Tone } from '../../parts/status.tsx'
import { isText, t } from '../../texts/texts.ts'

const TONES: Record<string, Tone> = {
  ...{ success: 'good', failure: 'bad', notApplied: 'quiet' },
  ...{ reportOnlySuccess: 'info', reportOnlyFailure: 'warn', reportOnlyInterrupted: 'warn', reportOnlyNotApplied: 'quiet' },
}
/** What decided comes first. */
const ORDER = ['failure', 'success', 'reportOnlyFailure', 'reportOnlyInterrupted', 'reportOnlySuccess', 'notApplied', 'reportOnlyNotApplied']

/** What every policy said, with each of its conditions: what was so, and what was not. */
export function Policies({ policies }: { policies: readonly AppliedPolicy[] }) {
  const sorted = [...policies].sort((a, b) => ORDER.indexOf(a.result) - ORDER.indexOf(b.result))
  return (
    <Stack component="section" gap="xs" aria-labelledby="policies-title">
      <Title order={2} size="h4" id="policies-title">
        {t('signIns.policies.title')}
      </Title>
      {sorted.length === 0 ? (
        <Text size="sm" c="dimmed">
          {t('signIns.policies.none')}
        </Text>
      ) : (
        <Stack component="ul" gap="xs" m={0} p={0} style={{ listStyle: 'none' }}>
          {sorted.map((policy) => (
            <li key={policy.id}>
              <Policy policy={policy} />
            </li>
          ))}
        </Stack>
      )}
    </Stack>
  )
}

function Policy({ policy }: { policy: AppliedPolicy }) {
  const { id, displayName, result, enforcedGrantControls, enforcedSessionControls, conditionsSatisfied, conditionsNotSatisfied } = policy
  const names = (text: string) => text.split(',').filter((one) => one !== '')
  return (
    <Paper withBorder radius="md" p="md">
      <Stack gap="xs">
        <Group justify="space-between" gap="xs">
          <Title order={3} size="h5">
            <Anchor component={Link} href={`/policies/${id}`} inherit>
              {displayName}
            </Anchor>
          </Title>
          <Status tone={TONES[result] ?? 'quiet'}>{word('signIns.policies.results', result)}</Status>
        </Group>
        <Text size="sm">{word('signIns.policies.why', result)}</Text>
        <Stack component="ul" gap={2} m={0} p={0} style={{ listStyle: 'none' }} aria-label={t('signIns.policies.conditions')}>
          {names(conditionsSatisfied).map((one) => (
            <Condition key={one} name={one} icon="check" said={t('signIns.policies.met')} />
          ))}
          {names(conditionsNotSatisfied).map((one) => (
            <Condition key={one} name={one} icon="cross" said={t('signIns.policies.unmet')} />
          ))}
        </Stack>
        {enforcedGrantControls.includes('Block') ? (
          <Text size="sm" fw={600}>
            {t('signIns.policies.blocks')}
          </Text>
        ) : (
          enforcedGrantControls.length > 0 && (
            <Text size="sm">
              <b>{t('signIns.policies.asked')}</b> {enforcedGrantControls.map((one) => word('signIns.policies.controls', one)).join(', ')}
            </Text>
          )
        )}
        {enforcedSessionControls.length > 0 && (
          <Text size="sm">
            <b>{t('signIns.policies.session')}</b> {enforcedSessionControls.map((one) => word('signIns.policies.controls', one)).join(', ')}
          </Text>
        )}
      </Stack>
    </Paper>
  )
}

function Condition({ name, icon, said }: { name: string; icon: IconName; said: string }) {
  return (
    <Group component="li" gap="xs" wrap="nowrap">
      <Icon name={icon} size={14} />
      <Text size="sm">
        {word('signIns.policies.names', name)}: {said}
      </Text>
    </Group>
  )
}

/** The text for a word of the server's; the word itself where there is none. */
function word(under: string, name: string): string {
  const key = `${under}.${name}`
  return isText(key) ? t(key) : name
}
