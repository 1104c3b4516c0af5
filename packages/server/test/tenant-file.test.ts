import type { CaegisError } from '@caegis/protocol'
import { describe, expect, it } from 'vitest'
import { parseTenantFile, readTenantFile } from '../src/directory/tenant-file.ts'

type Told = { path: string; message: string }[]
const mistakes = (more: object): Told => {
  try {
    readTenantFile({ tenant: { name: 'contoso' }, ...more })
  } catch (error) {
    expect(error).toMatchObject({ code: 'invalid_tenant_file' })
    return (error as CaegisError).detail as Told
  }
  throw new Error('no mistake was found')
}
const many = <T>(length: number, make: (at: number) => T) => Array.from({ length }, (_, at) => make(at))
const nested = (levels: number) => JSON.parse('['.repeat(levels) + ']'.repeat(levels))

/** What somebody sends who may change anything at all: each mistake is an object, of which 32 MiB hold millions. */
describe('a tenant file of nothing but mistakes', () => {
  const numbers = many(1000, () => 1)
  const files: [string, object, Told[number]][] = [
    [
      'in lists within a list',
      { users: many(100, (at) => ({ userPrincipalName: `u${at}@contoso.test`, groups: numbers })) },
      { path: '/users/0/groups/0', message: 'Invalid input: expected string, received number' },
    ],
    [
      'two lists deep',
      { applications: many(10, (at) => ({ appId: `a${at}`, appRoles: many(10, () => ({ value: 'R', users: numbers })) })) },
      { path: '/applications/0/appRoles/0/users/0', message: 'Invalid input: expected string, received number' },
    ],
    [
      'in names that nothing has',
      { users: many(100, (at) => ({ userPrincipalName: `u${at}@contoso.test`, groups: many(100, String) })) },
      { path: '/users/0/groups/0', message: 'no group of that name in the file' },
    ],
    [
      'in names that stand there twice',
      { groups: many(1000, () => ({ displayName: 'staff' })) },
      { path: '/groups/1/displayName', message: 'the same displayName twice' },
    ],
    [
      'in policies',
      { conditionalAccessPolicies: many(1000, () => Object.fromEntries(many(50, (at) => [`k${at}`, 1]))) },
      { path: '/conditionalAccessPolicies/0/k0', message: 'is not known here' },
    ],
  ]
  it.each(files)('is read no further once enough of it is wrong: %s', (_where, more, first) => {
    const told = mistakes(more)
    expect(told[0]).toEqual(first)
    expect(told.length).toBeGreaterThan(90)
    expect(told.length).toBeLessThanOrEqual(200)
  })

  it('is refused where it is nested deeper than anything that can be written down again', () => {
    const location = { '@odata.type': '#microsoft.graph.ipNamedLocation', displayName: 'office', ipRanges: ['198.51.100.0/24'] }
    expect(mistakes({ namedLocations: [{ ...location, '@odata.note': nested(100_000) }] })).toEqual([
      { path: '/namedLocations/0', message: 'must be an object, of at most 64 members and not nested too deeply' },
    ])
    expect(readTenantFile({ tenant: { name: 'contoso' }, namedLocations: [location] }).namedLocations).toEqual([location])
  })

  it('knows each credential of an application by its name, and no two by one', () => {
    const secrets = ['first', 'other'].map((one) => ({ name: 'same', value: `${one} secret that is long enough` }))
    expect(mistakes({ applications: [{ appId: 'a', secrets }] })).toEqual([{ path: '/applications/0/secrets', message: 'the same name twice' }])
  })

  it('still names the line of each mistake that it tells', () => {
    const text = 'tenant: { name: contoso }\nusers:\n  - userPrincipalName: a@b.c\n    groups:\n      - staff\n      - 7\n    colour: red\n'
    expect(() => parseTenantFile(text)).toThrow(/line 6: users\.0\.groups\.1: [\s\S]*line 7: users\.0\.colour: unknown key/)
  })
})
