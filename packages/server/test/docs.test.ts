import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { ENTRIES, file, parseTenantFile } from '../src/directory/tenant-file.ts'

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')
const page = read('docs/tenant-file.md')

/** Every key of an entry, by its path; lists are none of it. */
const keysOf = (schema: z.core.$ZodType) => valuesOf(schema).map(([key]) => key)

/** The same, each with what it may be. */
function valuesOf(schema: z.core.$ZodType, path: readonly string[] = []): [key: string, schema: z.core.$ZodType][] {
  const entry = ENTRIES.get(schema)
  if (entry) return valuesOf(entry, path)
  const { def } = (schema as z.core.$ZodTypes)._zod
  switch (def.type) {
    case 'optional':
    case 'nullable':
      return valuesOf(def.innerType, path)
    case 'array':
      return valuesOf(def.element, path)
    case 'union':
      return def.options.flatMap((one) => valuesOf(one, path))
    case 'object':
      return Object.entries(def.shape).flatMap(([name, one]) => [
        [[...path, name].join('.'), one] as [string, z.core.$ZodType],
        ...valuesOf(one, [...path, name]),
      ])
    default:
      return []
  }
}

/** The limits of a value, as far as JSON Schema has words for them, and the words that it may be. */
function limitsOf(schema: z.core.$ZodType): string[] {
  const said = z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input' })
  const all = [said, ...(said.anyOf ?? [])] as z.core.JSONSchema.BaseSchema[]
  return all.flatMap(({ minLength, maxLength, maxItems, minimum, maximum, enum: words = [], items, const: only }) => {
    // A name has 1 to 256 characters.
    const length = maxLength === 256 && minLength === 1 ? [] : [minLength, maxLength]
    const inside = (items as z.core.JSONSchema.BaseSchema | undefined)?.enum ?? []
    // A list of some of these words is no longer than they are.
    return [...length, inside.length > 0 ? undefined : maxItems, minimum, maximum, only, ...words, ...inside]
      .filter((one) => one !== undefined && one !== 1)
      .map(String)
  })
}

/** The rows of the tables of a part. */
function rowsOf(part: string): string[] {
  const [, section = ''] = new RegExp(`\\n### ${part}\\n([\\s\\S]*?)(?=\\n### |$)`).exec(page) ?? []
  return section.split('\n').filter((line) => line.startsWith('| `'))
}

/** What the tables of a part name in their first column. */
function namedIn(part: string): string[] {
  return rowsOf(part).flatMap(namesOf)
}

function namesOf(row: string): string[] {
  return [...(row.split(' | ')[0] as string).matchAll(/`([^`]+)`/g)].map(([, name]) => name as string)
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

  it.each(Object.entries(file.shape))('%s: tells every limit', (part, schema) => {
    const rows = new Map(rowsOf(part).flatMap((row) => namesOf(row).map((name) => [name, row.replaceAll(/(?<=\d),(?=\d{3})/g, '')] as const)))
    for (const [key, value] of valuesOf(schema)) for (const limit of limitsOf(value)) expect(rows.get(key), `${key}: ${limit}`).toContain(limit)
  })
})
