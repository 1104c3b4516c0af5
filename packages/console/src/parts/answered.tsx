import { Skeleton, Stack } from '@mantine/core'
import type { ReactNode } from 'react'
import { t } from '../texts/texts.ts'
import { Problem } from './problem.tsx'

interface Asked<T> {
  data: T | undefined
  error: unknown
  refetch(): unknown
}

/** What was asked for, once it is there; until then that it is on its way, or why it does not come. */
export function Answered<T>({ query, rows = 4, children }: { query: Asked<T>; rows?: number; children(data: T): ReactNode }) {
  if (query.data !== undefined) return children(query.data)
  if (query.error) return <Problem error={query.error} retry={() => query.refetch()} />
  return (
    <Stack gap="xs" aria-busy="true" aria-label={t('shell.loading')} role="status">
      {Array.from({ length: rows }, (_, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: nothing but its place tells one from another
        <Skeleton key={row} height={32} />
      ))}
    </Stack>
  )
}
