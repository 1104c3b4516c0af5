/**
 * Why: a threat that nothing tries is a hope. SECURITY.md has a row for each of the six letters of STRIDE at every hop of the loop; each names the tests that try it, or says
 * why there is none. docs/threats.md has a line for every number that a test is named by, and every line has a test.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sourceOf, stands } from './titles.ts'

export interface Pages {
  /** SECURITY.md */
  security: string
  /** docs/threats.md */
  threats: string
  /** Of a test file, as `sourceOf` gives it. */
  sourceOf(file: string): string
  /** All test files together. */
  tests: string
}

const LETTERS = ['S', 'T', 'R', 'I', 'D', 'E']
const TEST = /^\[([^\]]+)\]\(([^)]+)\): (.+)$/s
/** What may stand in the place of a test. */
const INSTEAD = /^\*\*(accepted|nothing to try)\*\*: \S.{20,}$/s
const NUMBER = /\b([A-E]\d{1,2})\b/g

/** @returns what does not hold, a line each */
export function mistakesIn({ security, threats, sourceOf, tests }: Pages): string[] {
  const wrong: string[] = []
  const hops = security.split(/^### /m).slice(1)
  if (hops.length === 0) wrong.push('SECURITY.md has no hop')
  for (const hop of hops) {
    const name = hop.slice(0, hop.indexOf('\n'))
    const rows = hop.split('\n').filter((line) => /^\| [A-Z]\b/.test(line))
    const seen = new Set<string>()
    for (const row of rows) {
      const cells = row.split(/(?<!\\)\|/).map((cell) => cell.trim())
      const [, letter = '', threat = '', answer = '', shown = ''] = cells
      const where = `SECURITY.md, ${name}, ${letter}: ${threat.slice(0, 40)}`
      seen.add(letter)
      if (cells.length !== 6 || !LETTERS.includes(letter) || threat === '' || answer === '') {
        wrong.push(`${where}: is no row of four cells`)
        continue
      }
      if (INSTEAD.test(shown)) continue
      for (const one of shown.split('<br>')) {
        const [, label = '', file = '', title = ''] = TEST.exec(one) ?? []
        if (file === '') wrong.push(`${where}: names no test, and no reason`)
        else if (!file.endsWith(`/${label}`)) wrong.push(`${where}: calls ${file} ${label}`)
        else if (!stands(file, sourceOf(file), title.replaceAll('\\|', '|').replaceAll('&lt;', '<')))
          wrong.push(`${where}: ${file} has no test '${title}'`)
      }
    }
    for (const letter of LETTERS) if (!seen.has(letter)) wrong.push(`SECURITY.md, ${name}: has no row for ${letter}`)
  }
  const listed = new Set(threats.split('\n').flatMap((line) => /^\| ([A-E]\d{1,2})\b/.exec(line)?.[1] ?? []))
  const titles = tests.split('\n').flatMap((line) => /\(\s*['"`](.*)$|^\s*['"`](.*)$/.exec(line)?.slice(1).join('') ?? [])
  const tried = new Set(
    titles.flatMap((title) =>
      [...(/^((?:[A-E]\d{1,2}[ (a-z)]*,? ?)+):/.exec(title)?.[1] ?? '').matchAll(NUMBER)].map(([, number]) => number as string),
    ),
  )
  for (const number of listed) if (!tried.has(number)) wrong.push(`docs/threats.md: no test is named by ${number}`)
  for (const number of tried) if (!listed.has(number)) wrong.push(`docs/threats.md: tests are named by ${number}, which is not in it`)
  return wrong
}

export function readPages(): Pages {
  const folders = ['test', ...readdirSync('packages').map((name) => join('packages', name, 'test'))]
  const files = folders.flatMap((folder) => readdirSync(folder).flatMap((name) => (/\.ts$/.test(name) ? [join(folder, name)] : [])))
  return {
    security: readFileSync('SECURITY.md', 'utf8'),
    threats: readFileSync('docs/threats.md', 'utf8'),
    sourceOf,
    tests: files.map(sourceOf).join('\n'),
  }
}

if (import.meta.main) {
  const wrong = mistakesIn(readPages())
  if (wrong.length > 0) {
    process.stderr.write(`The threat model does not hold:\n${wrong.map((line) => `  ${line}\n`).join('')}`)
    process.exitCode = 1
  }
}
