import { CLIENT_APP_TYPES, INSIDER_RISK_LEVELS, PLATFORMS, RISK_LEVELS, TRANSFER_METHODS, USER_ACTIONS } from '@caegis/policy'
import { Group, Radio, Select, SimpleGrid, Stack, TextInput } from '@mantine/core'
import { useContexts } from '../../api/contexts.ts'
import { Pick } from '../../parts/pick.tsx'
import { t } from '../../texts/texts.ts'
import { COUNTRIES } from '../locations/countries.ts'
import { contextLabel } from '../policies/conditions/what.tsx'
import { word } from '../policies/describe.ts'
import type { Question } from './question.ts'

interface QuestionFieldsProps {
  question: Question
  change(part: Partial<Question>): void
  wide: boolean
}

/** Who, to what, and from where. */
export function QuestionFields({ question, change, wide }: QuestionFieldsProps) {
  const isUser = question.who === 'user'
  const one = (name: keyof Question, words: readonly string[], label: string) => (
    <Select
      label={label}
      data={[{ value: '', label: t('whatIf.unknown') }, ...words.map((value) => ({ value, label: word(value) }))]}
      value={question[name]}
      onChange={(value) => change({ [name]: value ?? '' })}
      allowDeselect={false}
    />
  )
  return (
    <Stack gap="md">
      <SimpleGrid cols={{ base: 1, sm: wide ? 2 : 1 }} spacing="md">
        <Stack gap="sm">
          <Radio.Group label={t('whatIf.who')} value={question.who} onChange={(who) => change({ who })}>
            <Group mt={6}>
              <Radio value="user" label={t('whatIf.user')} />
              <Radio value="servicePrincipal" label={t('whatIf.servicePrincipal')} />
            </Group>
          </Radio.Group>
          {isUser ? (
            <Pick kind="users" label={t('whatIf.user')} value={filled(question.user)} onChange={([user = '']) => change({ user })} required />
          ) : (
            <Pick
              kind="servicePrincipals"
              label={t('whatIf.servicePrincipal')}
              value={filled(question.principal)}
              onChange={([principal = '']) => change({ principal })}
              required
            />
          )}
        </Stack>
        <Target question={question} change={change} />
      </SimpleGrid>
      <SimpleGrid cols={{ base: 1, xs: 2, ...(wide ? { md: 3 } : {}) }} spacing="sm">
        <TextInput
          label={t('whatIf.address')}
          placeholder="192.0.2.7"
          value={question.address}
          onChange={({ currentTarget: { value } }) => change({ address: value })}
        />
        <Select
          label={t('whatIf.country')}
          data={COUNTRIES}
          value={question.country || null}
          onChange={(country) => change({ country: country ?? '' })}
          placeholder={t('whatIf.byAddress')}
          searchable
          clearable
          clearButtonProps={{ 'aria-label': t('pick.clear') }}
        />
        {isUser && (
          <>
            {one(
              'platform',
              PLATFORMS.filter((platform) => platform !== 'all'),
              t('whatIf.platform'),
            )}
            {one(
              'client',
              CLIENT_APP_TYPES.filter((type) => type !== 'all'),
              t('whatIf.client'),
            )}
            <Select
              label={t('whatIf.device')}
              data={[
                { value: '', label: t('whatIf.unknown') },
                { value: 'compliant', label: t('whatIf.compliant') },
                { value: 'notCompliant', label: t('whatIf.notCompliant') },
              ]}
              value={question.device}
              onChange={(device) => change({ device: device ?? '' })}
              allowDeselect={false}
            />
            {one('userRisk', RISK_LEVELS, t('whatIf.userRisk'))}
            {one('signInRisk', RISK_LEVELS, t('whatIf.signInRisk'))}
            {one('insiderRisk', ['none', ...INSIDER_RISK_LEVELS], t('whatIf.insiderRisk'))}
            {one('flow', TRANSFER_METHODS, t('whatIf.flow'))}
          </>
        )}
        {!isUser && one('principalRisk', RISK_LEVELS, t('whatIf.principalRisk'))}
      </SimpleGrid>
    </Stack>
  )
}

function Target({ question, change }: Omit<QuestionFieldsProps, 'wide'>) {
  const { data: contexts = [] } = useContexts()
  return (
    <Stack gap="sm">
      <Radio.Group label={t('whatIf.what')} value={question.what} onChange={(what) => change({ what })}>
        <Group mt={6}>
          <Radio value="application" label={t('whatIf.application')} />
          <Radio value="action" label={t('whatIf.action')} />
          <Radio value="context" label={t('whatIf.context')} />
        </Group>
      </Radio.Group>
      {question.what === 'application' && (
        <Pick
          kind="applications"
          label={t('whatIf.application')}
          value={filled(question.application)}
          onChange={([application = '']) => change({ application })}
          required
        />
      )}
      {question.what === 'action' && (
        <Select
          label={t('whatIf.action')}
          data={USER_ACTIONS.map((value) => ({ value: value as string, label: word(value) }))}
          value={question.action || null}
          onChange={(action) => change({ action: action ?? '' })}
          required
        />
      )}
      {question.what === 'context' && (
        <Select
          label={t('whatIf.context')}
          data={contexts.map(({ id }) => ({ value: id, label: contextLabel(id, contexts) }))}
          value={question.context || null}
          onChange={(context) => change({ context: context ?? '' })}
          required
        />
      )}
    </Stack>
  )
}

function filled(id: string): string[] {
  return id === '' ? [] : [id]
}
