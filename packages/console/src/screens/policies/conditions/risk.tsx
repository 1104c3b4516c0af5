import { INSIDER_RISK_LEVELS, type RISK_LEVELS, TRANSFER_METHODS } from '@caegis/policy'
import { Stack, Text } from '@mantine/core'
import { t } from '../../../texts/texts.ts'
import { Choices } from '../choices.tsx'
import { useEditor } from '../editor-context.ts'

const LEVELS = ['high', 'medium', 'low', 'none', 'hidden'] as const satisfies readonly (typeof RISK_LEVELS)[number][]

/** At what risk. */
export function Risk() {
  const { draft, setConditions, mistakeAt } = useEditor()
  const { conditions } = draft
  if (conditions.clientApplications)
    return (
      <Choices
        label={t('policies.risk.servicePrincipal')}
        words={LEVELS}
        value={conditions.servicePrincipalRiskLevels}
        onChange={(servicePrincipalRiskLevels) => setConditions({ servicePrincipalRiskLevels })}
        error={mistakeAt('/conditions/servicePrincipalRiskLevels')}
      />
    )
  return (
    <Stack gap="md">
      <Text size="sm" c="dimmed">
        {t('policies.risk.hint')}
      </Text>
      <Choices
        label={t('policies.risk.user')}
        words={LEVELS}
        value={conditions.userRiskLevels}
        onChange={(userRiskLevels) => setConditions({ userRiskLevels })}
        error={mistakeAt('/conditions/userRiskLevels')}
      />
      <Choices
        label={t('policies.risk.signIn')}
        words={LEVELS}
        value={conditions.signInRiskLevels}
        onChange={(signInRiskLevels) => setConditions({ signInRiskLevels })}
        error={mistakeAt('/conditions/signInRiskLevels')}
      />
      <Choices
        label={t('policies.risk.insider')}
        words={INSIDER_RISK_LEVELS}
        value={conditions.insiderRiskLevels}
        onChange={(insiderRiskLevels) => setConditions({ insiderRiskLevels })}
        error={mistakeAt('/conditions/insiderRiskLevels')}
      />
    </Stack>
  )
}

/** By which flow. */
export function Flows() {
  const { draft, setConditions, mistakeAt } = useEditor()
  return (
    <Choices
      label={t('policies.flows.methods')}
      description={t('policies.flows.hint')}
      words={TRANSFER_METHODS}
      value={draft.conditions.authenticationFlows?.transferMethods ?? []}
      onChange={(transferMethods) => setConditions({ authenticationFlows: transferMethods.length === 0 ? null : { transferMethods } })}
      error={mistakeAt('/conditions/authenticationFlows')}
    />
  )
}
