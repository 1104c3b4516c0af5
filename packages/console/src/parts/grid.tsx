import { Anchor, Paper, Table } from '@mantine/core'
import type { ReactNode } from 'react'
import { Link } from 'wouter'

export interface Column<T> {
  header: string
  /** The first column names the row, and leads to it. */
  cell(row: T): ReactNode
  /** Left out on narrow screens. */
  wide?: true
  /** At the right edge: what can be done to the row, numbers. */
  right?: true
}

export interface GridProps<T> {
  /** What the table lists, for who cannot see it. */
  label: string
  columns: readonly Column<T>[]
  rows: readonly T[]
  rowKey(row: T): string
  /** Where a row leads, under the tenant's base. */
  href?: ((row: T) => string) | undefined
  minWidth?: number
}

/** A table with a frame, which scrolls inside itself where the screen is narrow. */
export function Grid<T>({ label, columns, rows, rowKey, href, minWidth = 500 }: GridProps<T>) {
  const place = ({ wide, right }: Column<T>) => ({ ...(wide ? { visibleFrom: 'sm' } : {}), ...(right ? ({ ta: 'right' } as const) : {}) })
  return (
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
              {columns.map((column) => (
                <Table.Th key={column.header} {...place(column)} style={{ whiteSpace: 'nowrap' }}>
                  {column.header}
                </Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {rows.map((row) => (
              <Table.Tr key={rowKey(row)}>
                {columns.map((column, at) => (
                  <Table.Td key={column.header} {...place(column)}>
                    {at === 0 && href ? (
                      <Anchor component={Link} href={href(row)} fw={600} size="sm">
                        {column.cell(row)}
                      </Anchor>
                    ) : (
                      column.cell(row)
                    )}
                  </Table.Td>
                ))}
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </Paper>
  )
}
