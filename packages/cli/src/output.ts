import { type Table, tableLines } from './table.ts'
import { terminalOf } from './terminal.ts'

/** A line for people. */
export function line(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** One line for programs. */
export function writeJson(value: unknown): void {
  line(JSON.stringify(value))
}

export function table(given: Table): void {
  for (const one of tableLines(given, terminalOf(process.stdout, process.env))) line(one)
}

/** `1 event`, `2 events`. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

/** What is no part of the result. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`)
}
