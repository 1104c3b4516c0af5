import { Anchor, Button, Center, Loader, Paper, Skeleton, Stack, Table } from '@mantine/core'
import type { ReactNode } from 'react'
import { Link } from 'wouter'
import { t } from '../texts/texts.ts'
import { Problem } from './problem.tsx'

export interface Column<T> {
  header: string
  /** The first column names the row, and leads to it. */
  cell(row: T): ReactNode
  /** Left out on narrow screens. */
  wide?: true
}

interface ListTableProps<T> {
  /** What the table lists, for who cannot see it. */
  label: string
  columns: Column<T>[]
  /** As `useList` gives it. */
  list: {
    rows: T[] | undefined
    error: unknown
    hasNextPage: boolean
    isFetchingNextPage: boolean
    fetchNextPage(): unknown
    refetch(): unknown
  }
  rowKey(row: T): string
  /** Where a row leads, under the tenant's base. */
  href?(row: T): string
  /** What stands here when there is nothing. */
  empty: ReactNode
  minWidth?: number
}

/** A list as a table, page after page; it scrolls inside itself where the screen is narrow. */
export function ListTable<T>({ label, columns, list, rowKey, href, empty, minWidth = 500 }: ListTableProps<T>) {
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
      <Paper withBorder radius="md" style={{ overflow: 'hidden' }}>
        <Table.ScrollContainer
          minWidth={minWidth}
          type="native"
          // What nothing leads out of is scrolled by keyboard only if it can be reached.
          {...(href ? {} : { tabIndex: 0, role: 'group', 'aria-label': label })}
        >
          <Table highlightOnHover verticalSpacing="xs" horizontalSpacing="md" aria-label={label}>
            <Table.Thead>
              <Table.Tr>
                {columns.map(({ header, wide }) => (
                  <Table.Th key={header} {...(wide ? { visibleFrom: 'sm' } : {})} style={{ whiteSpace: 'nowrap' }}>
                    {header}
                  </Table.Th>
                ))}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {list.rows.map((row) => (
                <Table.Tr key={rowKey(row)}>
                  {columns.map(({ header, cell, wide }, at) => (
                    <Table.Td key={header} {...(wide ? { visibleFrom: 'sm' } : {})}>
                      {at === 0 && href ? (
                        <Anchor component={Link} href={href(row)} fw={600} size="sm">
                          {cell(row)}
                        </Anchor>
                      ) : (
                        cell(row)
                      )}
                    </Table.Td>
                  ))}
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      </Paper>
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
