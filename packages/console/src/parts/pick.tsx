import { type ComboboxItem, MultiSelect, Select, Text } from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { useApi } from '../api/context.ts'
import { t } from '../texts/texts.ts'
import { find, type Kind, type Named, useNames } from './names.ts'

interface PickProps {
  kind: Kind
  label: string
  /** Ids; of applications, client ids. Without `multiple` there is one, or none. */
  value: readonly string[]
  onChange(ids: string[]): void
  multiple?: boolean
  description?: string
  placeholder?: string
  error?: string | undefined
  disabled?: boolean
  required?: boolean
  /** Ids that are not offered. */
  without?: readonly string[]
}

/** Users, groups or applications, found by name and kept by id. What was chosen and is there no more stays, by its id, until somebody takes it out. */
export function Pick({ kind, value, onChange, multiple = false, without = [], placeholder, ...input }: PickProps) {
  const api = useApi()
  const [text, setText] = useState('')
  const [wanted] = useDebouncedValue(text.trim(), 200)
  const [known, setKnown] = useState<ReadonlyMap<string, Named>>(new Map())
  const names = useNames(
    kind,
    value.filter((id) => !known.has(id)),
  )
  const label = (id: string) => known.get(id)?.name ?? names.get(id)?.name ?? id
  // The one that is chosen stands in the field and is not looked for.
  const asked = !multiple && value[0] !== undefined && wanted === label(value[0]) ? '' : wanted
  const {
    data = [],
    isFetching,
    error,
  } = useQuery({
    queryKey: [kind, 'find', asked],
    queryFn: ({ signal }) => find(api, kind, asked, signal),
    placeholderData: keepPreviousData,
  })

  const offered = data.filter(({ id }) => !value.includes(id) && !without.includes(id))
  const options = [...value.map((id) => ({ value: id, label: label(id) })), ...offered.map(({ id, name }) => ({ value: id, label: name }))]
  const details = new Map(data.map(({ id, detail }) => [id, detail]))
  const choose = (ids: string[]) => {
    setKnown((before) => new Map([...before, ...data.filter(({ id }) => ids.includes(id)).map((one) => [one.id, one] as const)]))
    onChange(ids)
  }
  const shared = {
    ...input,
    data: options,
    placeholder: placeholder ?? t(`pick.${kind}`),
    searchable: true,
    clearable: true,
    clearButtonProps: { 'aria-label': t('pick.clear') },
    searchValue: text,
    onSearchChange: setText,
    // The server has looked already.
    filter: ({ options: all }: { options: unknown[] }) => (all as ComboboxItem[]).filter(({ value: id }) => !value.includes(id)),
    renderOption: ({ option }: { option: ComboboxItem }) => <Option name={option.label} detail={details.get(option.value)} />,
    nothingFoundMessage: error ? error.message : isFetching ? t('pick.looking') : t('pick.nothing'),
    maxDropdownHeight: 280,
    comboboxProps: { withinPortal: true, zIndex: 350 },
  }
  return multiple ? (
    <MultiSelect {...shared} value={[...value]} onChange={choose} hidePickedOptions />
  ) : (
    <Select {...shared} value={value[0] ?? null} onChange={(id) => choose(id === null ? [] : [id])} />
  )
}

function Option({ name, detail }: { name: string; detail: string | undefined }) {
  return (
    <div style={{ minWidth: 0 }}>
      <Text size="sm" truncate>
        {name}
      </Text>
      {detail && detail !== name && (
        <Text size="xs" c="dimmed" truncate>
          {detail}
        </Text>
      )}
    </div>
  )
}
