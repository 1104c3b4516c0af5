import { type Colour, paint, plain, shorten, type Terminal, widthOf } from './terminal.ts'

/** A text of others, or one with a colour. */
export type Cell = string | { text: string; colour: Colour }

export interface Table {
  /** Without them, the first column is what each row is called. */
  headings?: readonly string[]
  rows: readonly (readonly Cell[])[]
}

const GAP = '  '
/** A column is not made narrower than this, whatever the terminal. */
const LEAST = 8
/** Ids are for copying: they are shortened only when nothing else is left to shorten. */
const WHOLE = new Set(['ID', 'TXN', 'KEY'])

/** Lines with their columns aligned, no longer than the terminal is wide. */
export function tableLines({ headings, rows }: Table, terminal: Terminal): string[] {
  const all = [...(headings ? [headings.map((text) => ({ text, colour: 'bold' as const }))] : []), ...rows].map((row) =>
    row.map((cell) => (typeof cell === 'string' ? { text: plain(cell), colour: undefined } : { ...cell, text: plain(cell.text) })),
  )
  const count = Math.max(0, ...all.map((row) => row.length))
  const widths = Array.from({ length: count }, (_, at) => Math.max(0, ...all.map((row) => widthOf(row[at]?.text ?? ''))))
  if (terminal.width !== undefined) fit(widths, terminal.width - GAP.length * (count - 1), headings)
  return all.map((row) =>
    row
      .map(({ text, colour }, at) => {
        const shown = shorten(text, widths[at] as number)
        const rest = at === row.length - 1 ? '' : ' '.repeat((widths[at] as number) - widthOf(shown))
        return `${colour && shown !== '' ? paint(shown, colour, terminal) : shown}${rest}`
      })
      .join(GAP)
      .trimEnd(),
  )
}

/** Takes from the widest column until all of them fit, or none can be narrower. */
function fit(widths: number[], room: number, headings: readonly string[] = []): void {
  for (const mayShorten of [(at: number) => !WHOLE.has(headings[at] ?? ''), () => true]) {
    for (let over = widths.reduce((sum, one) => sum + one, 0) - room; over > 0; over--) {
      let widest = -1
      for (const [at, width] of widths.entries()) if (mayShorten(at) && width > LEAST && width > (widths[widest] ?? 0)) widest = at
      if (widest < 0) break
      widths[widest] = (widths[widest] as number) - 1
    }
  }
}
