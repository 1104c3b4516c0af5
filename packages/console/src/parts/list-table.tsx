import { Button, Center, Loader, Skeleton, Stack } from '@mantine/core'
import type { ReactNode } from 'react'
import { t } from '../texts/texts.ts'
import { Grid, type GridProps } from './grid.tsx'
import { Problem } from './problem.tsx'

interface ListTableProps<T> extends Omit<GridProps<T>, 'rows'> {
  /** As `useList` gives it. */
  list: {
    rows: T[] | undefined
    error: unknown
    hasNextPage: boolean
    isFetchingNextPage: boolean
    fetchNextPage(): unknown
    refetch(): unknown
  }
  /** What stands here when there is nothing. */
  empty: ReactNode
}

/** A list as a table, page after page; it scrolls inside itself where the screen is narrow. */
export function ListTable<T>({ list, empty, ...grid }: ListTableProps<T>) {
  if (list.error && !list.rows) return <Problem error={list.error} retry={() => list.refetch()} />
  if (!list.rows)
    return (
      <Stack gap="xs" aria-busy="true" aria-label={t('shell.loading')} role="status">
        {[0, 1, 2, 3, 4].map((row) => (
          <Skeleton key={row} height={36} />
        ))}
      </Stack>
    )
  if (list.rows.length === 0 && !list.hasNextPage) return empty
  return (
    <Stack gap="sm">
      <Grid {...grid} rows={list.rows} />
      {Boolean(list.error) && <Problem error={list.error} retry={() => list.fetchNextPage()} />}
      {list.hasNextPage && (
        <Center>
          <Button
            variant="default"
            onClick={() => list.fetchNextPage()}
            disabled={list.isFetchingNextPage}
            leftSection={list.isFetchingNextPage && <Loader size={14} />}
          >
            {list.isFetchingNextPage ? t('parts.loadingMore') : t('parts.more')}
          </Button>
        </Center>
      )}
    </Stack>
  )
}
