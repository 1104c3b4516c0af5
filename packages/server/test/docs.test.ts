import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { z } from 'zod'
import { ENTRIES, file, parseTenantFile } from '../src/directory/tenant-file.ts'

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')
const page = read('docs/tenant-file.md')

/** Every key of an entry, by its path; lists are none of it. */
function keysOf(schema: z.core.$ZodType, path: readonly string[] = []): string[] {
  const entry = ENTRIES.get(schema)
  if (entry) return keysOf(entry, path)
  const { def } = (schema as z.core.$ZodTypes)._zod
  switch (def.type) {
    case 'optional':
    case 'nullable':
      return keysOf(def.innerType, path)
    case 'array':
      return keysOf(def.element, path)
    case 'union':
      return def.options.flatMap((one) => keysOf(one, path))
    case 'object':
      return Object.entries(def.shape).flatMap(([name, one]) => [[...path, name].join('.'), ...keysOf(one, [...path, name])])
    default:
      return []
  }
}

/** What the tables of a part name in their first column. */
function namedIn(part: string): string[] {
  const [, section = ''] = new RegExp(`\\n### ${part}\\n([\\s\\S]*?)(?=\\n### |$)`).exec(page) ?? []
  const cells = section.split('\n').flatMap((line) => (line.startsWith('| `') ? [line.split(' | ')[0] as string] : []))
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name as string))
}

describe('docs/tenant-file.md', () => {
  it('shows the file of the examples, which has every part, and no mistake', () => {
    const shown = page.match(/```yaml\n([\s\S]*?)```/)?.[1]
    expect(shown).toBe(read('examples/tenant.yaml'))
    expect(Object.keys(parseTenantFile(shown as string)).sort()).toEqual(Object.keys(file.shape).sort())
  })

  it.each(Object.entries(file.shape))('%s: names every key that there is, and no other', (part, schema) => {
    const keys = [...new Set(keysOf(schema))]
    // Graph's JSON has a page of its own.
    const isGraph = part === 'namedLocations' || part === 'conditionalAccessPolicies'
    expect(keys.length === 0).toBe(isGraph)
    expect(namedIn(part).sort()).toEqual(keys.sort())
    expect(page).toMatch(new RegExp(`^### (\\w+, )?${part}\\b`, 'm'))
  })
})
