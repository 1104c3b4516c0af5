import { readFileSync } from 'node:fs'
import { LineCounter, parseDocument } from 'yaml'

/** A YAML file of somebody who will want to know where a mistake is. */
export interface YamlFile {
  value: unknown
  /** The line of what a path leads to, or of the nearest thing that is there. */
  lineOf(path: readonly PropertyKey[]): number
}

export interface YamlOptions {
  /** Characters. */
  most: number
  /** Makes an error of lines that say what is wrong. */
  fail(mistakes: string[]): Error
}

/** @throws what `fail` makes of the mistakes, each with its line */
export function readYamlFile(file: string, { most, fail }: YamlOptions): YamlFile {
  const text = readFileSync(file, 'utf8')
  if (text.length > most) throw fail([`the file is larger than ${Math.round(most / 1_048_576)} MiB`])
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, version: '1.2' })
  if (document.errors.length > 0)
    throw fail(document.errors.map((error) => `line ${lines.linePos(error.pos[0]).line}: ${error.code.toLowerCase().replaceAll('_', ' ')}`))
  // An alias that refers to aliases can grow without bound; the reader throws.
  const value: unknown = document.toJS({ maxAliasCount: 1000 })
  if (value === null) throw fail(['line 1: the file is empty'])
  return {
    value,
    lineOf(path) {
      for (let length = path.length; length > 0; length--) {
        const node = document.getIn(path.slice(0, length), true) as { range?: [number, number, number] } | undefined
        if (node?.range) return lines.linePos(node.range[0]).line
      }
      return 1
    },
  }
}

/** The path that a JSON pointer (RFC 6901) says. */
export function pathOf(pointer: string): (string | number)[] {
  const steps = pointer.split('/').slice(1)
  return steps.map((step) => (/^\d+$/.test(step) ? Number(step) : step.replaceAll('~1', '/').replaceAll('~0', '~')))
}
