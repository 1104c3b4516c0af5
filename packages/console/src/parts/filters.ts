import { useSearchParams } from 'wouter'

/** Filters in the address, so that what is on the screen can be sent to somebody else. What is empty is left out. */
export function useFilters<K extends string>(names: readonly K[]): [Record<K, string>, (change: Partial<Record<K, string>>) => void] {
  const [search, setSearch] = useSearchParams()
  const values = Object.fromEntries(names.map((name) => [name, search.get(name) ?? ''])) as Record<K, string>
  const change = (next: Partial<Record<K, string>>) =>
    setSearch(
      (before) => {
        const after = new URLSearchParams(before)
        for (const [name, value] of Object.entries(next) as [K, string][]) {
          if (value === '') after.delete(name)
          else after.set(name, value)
        }
        return after
      },
      { replace: true },
    )
  return [values, change]
}

/** A text inside an OData literal or search phrase. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
