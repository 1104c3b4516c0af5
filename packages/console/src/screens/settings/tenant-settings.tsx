import { Button, Group, NumberInput, SimpleGrid, Stack, Text, TextInput } from '@mantine/core'
import { useId, useState } from 'react'
import { type Organization, type Range, type TokenLifetimes, useOrganization } from '../../api/organization.ts'
import { Answered } from '../../parts/answered.tsx'
import { CopyId } from '../../parts/copy.tsx'
import { Problem } from '../../parts/problem.tsx'
import { Facts, Section } from '../../parts/section.tsx'
import { submitting, useWork } from '../../parts/work.ts'
import { useWrite } from '../../parts/write.ts'
import { t, tn } from '../../texts/texts.ts'

/** What the tenant is called, how long its tokens live and for how long its logs are kept. */
export function TenantSettings() {
  const organization = useOrganization()
  return (
    <Answered query={organization} rows={6}>
      {(found) => (
        <Stack gap="md">
          <Naming organization={found} />
          <Lifetimes key={JSON.stringify(found.tokenLifetimes)} organization={found} />
          <Retention key={found.logRetentionDays} organization={found} />
        </Stack>
      )}
    </Answered>
  )
}

/** Saves a part of the settings, and shows why where that fails. */
function useSave() {
  const write = useWrite()
  const { busy, error, work } = useWork()
  const save = (body: object) =>
    work(async () => {
      await write('PATCH', '/caegis/organization', { body, done: t('settings.saved'), changes: ['organization'] })
    })
  return { save, busy, problem: error ? <Problem error={error} /> : null }
}

function Naming({ organization: { id, name, displayName } }: { organization: Organization }) {
  const { save, busy, problem } = useSave()
  const [given, setGiven] = useState(displayName)
  return (
    <Section title={t('settings.tenant.title')}>
      <Facts
        entries={[
          [t('settings.tenant.name'), <b key="name">{name}</b>],
          [t('settings.tenant.id'), <CopyId key="id" value={id} label={t('settings.tenant.id')} />],
        ]}
      />
      <form onSubmit={submitting(() => save({ displayName: given.trim() }))}>
        <Group align="flex-end" gap="sm">
          <TextInput
            label={t('settings.tenant.displayName')}
            description={t('settings.tenant.displayNameHint')}
            value={given}
            onChange={(event) => setGiven(event.currentTarget.value)}
            maxLength={256}
            style={{ flex: '1 1 16rem', maxWidth: '28rem' }}
          />
          <Button type="submit" loading={busy} disabled={given.trim() === '' || given.trim() === displayName}>
            {t('settings.tenant.rename')}
          </Button>
        </Group>
      </form>
      {problem}
    </Section>
  )
}

const KINDS = [
  { name: 'ordinaryMinutes', least: 5, most: 1440 },
  { name: 'longLivedHours', least: 1, most: 28 },
] as const

type Draft = Record<'ordinaryMinutes' | 'longLivedHours', { from: number | string; to: number | string }> & { exceptionMinutes: number | string }

function Lifetimes({ organization: { tokenLifetimes, serverDefaults } }: { organization: Organization }) {
  const { save, busy, problem } = useSave()
  const [draft, setDraft] = useState<Draft>(tokenLifetimes)
  const isWhole = (value: number | string, least: number, most: number) => Number.isInteger(value) && Number(value) >= least && Number(value) <= most
  const wrongOf = ({ from, to }: { from: number | string; to: number | string }, least: number, most: number) =>
    !isWhole(from, least, most) || !isWhole(to, least, most)
      ? t('settings.lifetimes.bounds', { least, most })
      : Number(from) > Number(to)
        ? t('settings.lifetimes.order')
        : undefined
  const exceptionWrong = isWhole(draft.exceptionMinutes, 5, 1440) ? undefined : t('settings.lifetimes.bounds', { least: 5, most: 1440 })
  const isWrong = KINDS.some(({ name, least, most }) => wrongOf(draft[name], least, most)) || exceptionWrong !== undefined
  const isSame = same(draft as TokenLifetimes, tokenLifetimes)
  return (
    <Section title={t('settings.lifetimes.title')} text={t('settings.lifetimes.text')}>
      <form onSubmit={submitting(() => save({ tokenLifetimes: draft }))}>
        <Stack gap="md">
          <SimpleGrid cols={{ base: 1, md: 3 }} spacing="lg">
            {KINDS.map(({ name, least, most }) => (
              <RangeInput
                key={name}
                title={t(`settings.lifetimes.${name}`)}
                hint={t(`settings.lifetimes.${name}Hint`)}
                least={least}
                most={most}
                value={draft[name]}
                error={wrongOf(draft[name], least, most)}
                onChange={(range) => setDraft({ ...draft, [name]: range })}
              />
            ))}
            <Stack gap={4}>
              <Text size="sm" fw={600} id="exception">
                {t('settings.lifetimes.exceptionMinutes')}
              </Text>
              <Text size="xs" c="dimmed">
                {t('settings.lifetimes.exceptionMinutesHint')}
              </Text>
              <NumberInput
                label={t('settings.lifetimes.minutes')}
                aria-labelledby="exception"
                value={draft.exceptionMinutes}
                onChange={(value) => setDraft({ ...draft, exceptionMinutes: value })}
                hideControls
                error={exceptionWrong}
              />
            </Stack>
          </SimpleGrid>
          <Text size="sm">{t('settings.lifetimes.note')}</Text>
          {problem}
          <Group gap="xs">
            <Button type="submit" loading={busy} disabled={isSame || isWrong}>
              {t('settings.lifetimes.save')}
            </Button>
            {!same(tokenLifetimes, serverDefaults.tokenLifetimes) && (
              <Button variant="default" disabled={busy} onClick={() => void save({ tokenLifetimes: null })}>
                {t('settings.lifetimes.reset')}
              </Button>
            )}
          </Group>
        </Stack>
      </form>
    </Section>
  )
}

interface RangeInputProps {
  title: string
  hint: string
  least: number
  most: number
  value: { from: number | string; to: number | string }
  error: string | undefined
  onChange(range: { from: number | string; to: number | string }): void
}

function RangeInput({ title, hint, least, most, value, error, onChange }: RangeInputProps) {
  const id = useId()
  return (
    <Stack gap={4} role="group" aria-labelledby={id}>
      <Text size="sm" fw={600} id={id}>
        {title}
      </Text>
      <Text size="xs" c="dimmed">
        {hint}
      </Text>
      <Group gap="xs" wrap="nowrap" align="flex-start">
        {(['from', 'to'] as const).map((end) => (
          <NumberInput
            key={end}
            label={t(`settings.lifetimes.${end}`)}
            value={value[end]}
            min={least}
            max={most}
            clampBehavior="none"
            allowDecimal={false}
            hideControls
            onChange={(next) => onChange({ ...value, [end]: next })}
            {...(error && end === 'from' ? { error } : {})}
            style={{ flex: 1 }}
          />
        ))}
      </Group>
    </Stack>
  )
}

function Retention({ organization: { logRetentionDays, serverDefaults } }: { organization: Organization }) {
  const { save, busy, problem } = useSave()
  const [days, setDays] = useState<number | string>(logRetentionDays)
  const most = serverDefaults.logRetentionDays
  const isWrong = !(Number.isInteger(days) && Number(days) >= 7 && Number(days) <= most)
  return (
    <Section title={t('settings.retention.title')} text={t('settings.retention.text', { most: tn('settings.retention.days', most) })}>
      <form onSubmit={submitting(() => save({ logRetentionDays: days === most ? null : days }))}>
        <Group align="flex-end" gap="sm">
          <NumberInput
            label={t('settings.retention.label')}
            value={days}
            onChange={setDays}
            allowDecimal={false}
            hideControls
            error={isWrong && days !== logRetentionDays && t('settings.lifetimes.bounds', { least: 7, most })}
            w={160}
          />
          <Button type="submit" loading={busy} disabled={isWrong || days === logRetentionDays}>
            {t('settings.retention.save')}
          </Button>
        </Group>
      </form>
      {problem}
    </Section>
  )
}

function same(one: TokenLifetimes, other: TokenLifetimes): boolean {
  const text = ({ ordinaryMinutes, longLivedHours, exceptionMinutes }: TokenLifetimes) => {
    const ends = (range: Range) => [range.from, range.to]
    return JSON.stringify([ends(ordinaryMinutes), ends(longLivedHours), exceptionMinutes])
  }
  return text(one) === text(other)
}
