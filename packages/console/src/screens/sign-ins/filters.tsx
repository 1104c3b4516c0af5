import { Box, Button, Group, Select, TextInput } from '@mantine/core'
import { useEffect, useMemo, useState } from 'react'
import { OUTCOMES, type SignInQuery } from '../../api/sign-ins.ts'
import { useFilters } from '../../parts/filters.ts'
import { Pick } from '../../parts/pick.tsx'
import { t } from '../../texts/texts.ts'

const NAMES = ['user', 'app', 'outcome', 'address', 'id', 'since', 'from', 'to'] as const
type Name = (typeof NAMES)[number]
export type Filters = Record<Name, string>
export type SetFilters = (change: Partial<Filters>) => void

/** Minutes back from now. */
const SINCE: Record<string, number> = { '1h': 60, '24h': 1440, '7d': 10_080, '30d': 43_200 }

/** Two beside each other where there is room for no more. */
const HALF = 'calc(50% - var(--mantine-spacing-sm) / 2)'

/** What is looked for stands in the address; a time that is said relative to now is fixed when the page asks. */
export function useSignInFilters(): [Filters, SetFilters, SignInQuery] {
  const [filters, setFilters] = useFilters(NAMES)
  const { user, app, outcome, address, id, since, from, to } = filters
  const query = useMemo(() => {
    const back = SINCE[since]
    const begin = since === 'between' ? instant(from) : back === undefined ? '' : new Date(Date.now() - back * 60_000).toISOString()
    const end = since === 'between' ? instant(to) : ''
    return { user, app, outcome, address: address.trim(), correlation: id.trim(), from: begin, to: end }
  }, [user, app, outcome, address, id, since, from, to])
  return [filters, setFilters, query]
}

export function isFiltered(filters: Filters): boolean {
  return NAMES.some((name) => filters[name] !== '')
}

export function SignInFilters({ filters, setFilters }: { filters: Filters; setFilters: SetFilters }) {
  return (
    <Group gap="sm" align="flex-end" role="search" aria-label={t('signIns.filters')}>
      <Box w={{ base: HALF, xs: 210 }}>
        <Pick
          kind="users"
          label={t('signIns.user')}
          placeholder={t('signIns.any')}
          value={filters.user === '' ? [] : [filters.user]}
          onChange={([user = '']) => setFilters({ user })}
        />
      </Box>
      <Box w={{ base: HALF, xs: 210 }}>
        <Pick
          kind="applications"
          label={t('signIns.application')}
          placeholder={t('signIns.any')}
          value={filters.app === '' ? [] : [filters.app]}
          onChange={([app = '']) => setFilters({ app })}
        />
      </Box>
      <Select
        label={t('signIns.result')}
        placeholder={t('signIns.any')}
        data={OUTCOMES.map((value) => ({ value, label: t(`signIns.outcomes.${value}`) }))}
        value={filters.outcome || null}
        onChange={(outcome) => setFilters({ outcome: outcome ?? '' })}
        clearable
        clearButtonProps={{ 'aria-label': t('signIns.clear') }}
        w={{ base: HALF, xs: 170 }}
      />
      <Text label={t('signIns.address')} value={filters.address} set={(address) => setFilters({ address })} placeholder="203.0.113.7" width={160} />
      <Select
        label={t('signIns.time')}
        placeholder={t('signIns.anyTime')}
        data={['1h', '24h', '7d', '30d', 'between'].map((value) => ({ value, label: t(`signIns.since.${value as '1h'}`) }))}
        value={filters.since || null}
        onChange={(since) => setFilters({ since: since ?? '', ...(since === 'between' ? {} : { from: '', to: '' }) })}
        clearable
        clearButtonProps={{ 'aria-label': t('signIns.clear') }}
        w={{ base: HALF, xs: 170 }}
      />
      {filters.since === 'between' && (
        <>
          <Text type="datetime-local" label={t('signIns.from')} value={filters.from} set={(from) => setFilters({ from })} width={200} />
          <Text type="datetime-local" label={t('signIns.to')} value={filters.to} set={(to) => setFilters({ to })} width={200} />
        </>
      )}
      {filters.id !== '' && <Text label={t('signIns.number')} value={filters.id} set={(id) => setFilters({ id })} width={320} />}
      {isFiltered(filters) && (
        <Button variant="subtle" onClick={() => setFilters(Object.fromEntries(NAMES.map((name) => [name, ''])))}>
          {t('signIns.clearAll')}
        </Button>
      )}
    </Group>
  )
}

interface TextProps {
  label: string
  value: string
  set(value: string): void
  placeholder?: string
  width?: number
  type?: string
}

/** A text that counts when somebody has stopped writing it. */
function Text({ label, value, set, placeholder, width = 200, type = 'text' }: TextProps) {
  const [text, setText] = useState(value)
  useEffect(() => setText(value), [value])
  // biome-ignore lint/correctness/useExhaustiveDependencies: only what is written starts the wait
  useEffect(() => {
    if (text === value) return
    const timer = setTimeout(() => set(text), 350)
    return () => clearTimeout(timer)
  }, [text])
  return (
    <TextInput
      type={type}
      label={label}
      {...(placeholder === undefined ? {} : { placeholder })}
      value={text}
      onChange={(event) => setText(event.currentTarget.value)}
      autoComplete="off"
      spellCheck={false}
      w={{ base: HALF, xs: width }}
    />
  )
}

/** Of what a date field says, in the place's own time. */
function instant(text: string): string {
  const date = new Date(text)
  return text === '' || Number.isNaN(date.getTime()) ? '' : date.toISOString()
}
