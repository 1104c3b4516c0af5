/** Rows with their columns aligned. What others have written is shown without what could steer a terminal. */
export function columns(rows: string[][]): string[] {
  const plain = rows.map((row) => row.map((cell) => cell.replace(/\p{C}/gu, '?')))
  const widths = (plain[0] as string[]).map((_, at) => Math.max(...plain.map((row) => (row[at] as string).length)))
  return plain.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] as number))
      .join('  ')
      .trimEnd(),
  )
}
