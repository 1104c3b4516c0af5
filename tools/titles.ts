/** Why: pages name the tests that show what they claim, and are checked for it; a title counts where something is called with it, or where vectors hold it. */
import { existsSync, readFileSync } from 'node:fs'

/** @returns the source of a file, ready to be asked by `stands`; nothing where there is none */
export function sourceOf(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8').replaceAll("\\'", "'").replace(/\(\s+/g, '(') : ''
}

/** Whether a test of that title stands in the source; a title holds no quotes of its own kind. */
export function stands(file: string, source: string, title: string): boolean {
  if (file.endsWith('.json')) return source.includes(`"${title}"`)
  return ["'", '"', '`'].some((quote) => source.includes(`(${quote}${title}${quote}`))
}
