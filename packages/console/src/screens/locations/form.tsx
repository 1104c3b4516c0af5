import { Button, Checkbox, Group, MultiSelect, Paper, Radio, Stack, TextInput } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { type FormEvent, useRef, useState } from 'react'
import { useLocation } from 'wouter'
import { ApiError } from '../../api/client.ts'
import { useApi } from '../../api/context.ts'
import { LOCATIONS, type LocationJson } from '../../api/locations.ts'
import { useKept } from '../../parts/kept.ts'
import { useNotify } from '../../parts/notices.tsx'
import { Problem } from '../../parts/problem.tsx'
import { Restored } from '../../parts/restored.tsx'
import { t } from '../../texts/texts.ts'
import { Consequences } from './consequences.tsx'
import { COUNTRIES } from './countries.ts'
import { RangeField } from './range-field.tsx'
import { useRanges } from './use-ranges.ts'
import type { useUsedBy } from './used-by.ts'

export interface LocationDraft {
  kind: 'ip' | 'country'
  displayName: string
  isTrusted: boolean
  /** As it was typed. */
  ranges: string
  countries: string[]
  includeUnknown: boolean
}

interface LocationFormProps {
  initial: LocationDraft
  stored?: LocationJson
  uses: ReturnType<ReturnType<typeof useUsedBy>>
}

/** Mistakes by the field that they belong to. */
type Mistakes = Partial<Record<'displayName' | 'ipRanges' | 'countriesAndRegions', string>>

export function LocationForm({ initial, stored, uses }: LocationFormProps) {
  const api = useApi()
  const notify = useNotify()
  const queries = useQueryClient()
  const [, go] = useLocation()
  const [changed, setChanged] = useState<LocationDraft | undefined>()
  const kept = useKept(`location.${stored?.id ?? 'new'}`, changed)
  const [begun, setBegun] = useState(kept.found)
  const draft = changed ?? begun ?? initial
  // What is typed stays in the browser's own field; here is what it said when it was read last.
  const text = useRef((begun ?? initial).ranges)
  const [round, setRound] = useState(0)
  const ranges = useRanges(text.current, (typed) => {
    if (typed === text.current) return
    text.current = typed
    change({ ranges: typed })
  })
  const [mistakes, setMistakes] = useState<Mistakes>({})
  const [error, setError] = useState<unknown>()
  const [busy, setBusy] = useState(false)

  const change = (part: Partial<LocationDraft>) => setChanged({ ...draft, ...part })
  const discard = () => {
    kept.forget()
    setBegun(undefined)
    setChanged(undefined)
    text.current = initial.ranges
    ranges.tell(() => initial.ranges)
    setRound(round + 1)
  }

  async function save(event: FormEvent): Promise<void> {
    event.preventDefault()
    setBusy(true)
    setError(undefined)
    try {
      const body = await bodyOf()
      if (!body) return
      const { displayName } = draft
      const done = stored
        ? await api.send('PATCH', `${LOCATIONS}/${stored.id}`, body, { 'if-match': stored['@odata.etag'] ?? '*' })
        : await api.send<LocationJson>('POST', LOCATIONS, body)
      kept.forget()
      setChanged(undefined)
      setBegun(undefined)
      notify({ text: t('locations.saved', { name: displayName }), txn: done.txn })
      const id = stored?.id ?? (done.body as LocationJson).id
      go(`/locations/${id}${done.txn ? `?txn=${done.txn}` : ''}`, { replace: stored !== undefined })
      await queries.invalidateQueries({ queryKey: ['locations'] })
    } catch (reason) {
      if (reason instanceof ApiError && reason.details.length > 0) setMistakes(mistakesOf(reason, ranges.read?.ranges ?? []))
      setError(reason)
    } finally {
      setBusy(false)
    }
  }

  /** What is sent; nothing while the fields have mistakes. Ranges that stayed as they were are not sent again. */
  async function bodyOf(): Promise<object | undefined> {
    const { kind, isTrusted, countries, includeUnknown } = draft
    const displayName = draft.displayName.trim()
    const found: Mistakes = displayName === '' ? { displayName: t('locations.mistakes.name') } : {}
    if (kind === 'country') {
      if (countries.length === 0 && !includeUnknown) found.countriesAndRegions = t('locations.mistakes.countries')
      setMistakes(found)
      const body = { displayName, countriesAndRegions: countries, includeUnknownCountriesAndRegions: includeUnknown }
      return Object.keys(found).length > 0 ? undefined : { '@odata.type': '#microsoft.graph.countryNamedLocation', ...body }
    }
    const read = await ranges.settled()
    if (read.mistaken > 0) found.ipRanges = t('locations.mistakes.lines')
    else if (read.ranges.length === 0) found.ipRanges = t('locations.mistakes.ranges')
    setMistakes(found)
    const ipRanges = text.current === initial.ranges && stored ? {} : { ipRanges: read.ranges }
    return Object.keys(found).length > 0 ? undefined : { '@odata.type': '#microsoft.graph.ipNamedLocation', displayName, isTrusted, ...ipRanges }
  }

  const dirty = changed !== undefined || begun !== undefined
  return (
    <form onSubmit={(event) => void save(event)} noValidate>
      <Stack gap="md">
        {begun && !changed && <Restored discard={discard} />}
        <Paper withBorder p="md">
          <Stack gap="md" maw={720}>
            <TextInput
              label={t('locations.name')}
              withAsterisk
              maxLength={256}
              value={draft.displayName}
              error={mistakes.displayName}
              onChange={({ currentTarget: { value } }) => change({ displayName: value })}
            />
            {!stored && (
              <Radio.Group label={t('locations.kind')} value={draft.kind} onChange={(kind) => change({ kind: kind as LocationDraft['kind'] })}>
                <Group mt={6}>
                  <Radio value="ip" label={t('locations.kinds.ip')} />
                  <Radio value="country" label={t('locations.kinds.country')} />
                </Group>
              </Radio.Group>
            )}
            {draft.kind === 'ip' ? (
              <>
                <RangeField
                  key={round}
                  initial={text.current}
                  {...{ read: ranges.read, busy: ranges.busy, error: mistakes.ipRanges }}
                  tell={ranges.tell}
                />
                <Checkbox
                  label={t('locations.trust')}
                  description={t('locations.trustHint')}
                  checked={draft.isTrusted}
                  onChange={({ currentTarget: { checked } }) => change({ isTrusted: checked })}
                />
              </>
            ) : (
              <>
                <MultiSelect
                  label={t('locations.countries')}
                  description={t('locations.countriesHint')}
                  data={COUNTRIES}
                  value={draft.countries}
                  onChange={(countries) => change({ countries })}
                  error={mistakes.countriesAndRegions}
                  searchable
                  clearable
                  hidePickedOptions
                  nothingFoundMessage={t('locations.noCountry')}
                  clearButtonProps={{ 'aria-label': t('locations.clearCountries') }}
                />
                <Checkbox
                  label={t('locations.includeUnknown')}
                  description={t('locations.includeUnknownHint')}
                  checked={draft.includeUnknown}
                  onChange={({ currentTarget: { checked } }) => change({ includeUnknown: checked })}
                />
              </>
            )}
          </Stack>
        </Paper>
        {stored && <Consequences uses={uses} />}
        {Boolean(error) && <Problem error={error} />}
        <Group gap="xs">
          <Button type="submit" loading={busy} disabled={stored !== undefined && !dirty}>
            {t('locations.save')}
          </Button>
          {dirty && (
            <Button variant="default" onClick={discard}>
              {t('locations.discard')}
            </Button>
          )}
        </Group>
      </Stack>
    </form>
  )
}

/** The server's mistakes at the fields that they belong to; of a range, what it says. */
function mistakesOf({ details }: ApiError, sent: readonly string[]): Mistakes {
  const found: Mistakes = {}
  for (const { target, message } of details) {
    const [, name = '', at] = target.split('/')
    const said = at === undefined ? message : `${sent[Number(at)] ?? `${Number(at) + 1}`}: ${message}`
    if (name === 'displayName' || name === 'ipRanges' || name === 'countriesAndRegions') found[name] ??= said
  }
  return found
}
