import { readFileSync } from 'node:fs'
import { CUTOFF_KINDS } from '@caegis/protocol'
import { describe, expect, it } from 'vitest'
import { createGuard, type Guard } from '../src/guard.ts'
import { readOptions } from '../src/options.ts'
import { createProviders, NAMES, type ProviderName } from './providers.ts'
import { createClocks, outcome, request, START } from './tokens.ts'

const TEXT = readFileSync(new URL('../../../docs/guard.md', import.meta.url), 'utf8')
const SNIPPETS = new Map([...TEXT.matchAll(/```ts\n\/\/ ([^\n]+)\n([\s\S]*?)```/g)].map(([, name, code]) => [name as string, code as string]))

/** Runs a snippet as it stands, against these providers. */
function open(name: string, providers = createProviders()): Guard {
  const { now, monotonic } = createClocks()
  const make = (options: object) => createGuard({ ...options, fetch: providers.fetch, now, monotonic } as never)
  return new Function('createGuard', `${SNIPPETS.get(name)}\nreturn guard`)(make) as Guard
}

describe('docs/guard.md', () => {
  it.each(NAMES.filter((name) => SNIPPETS.has(name)))('%s: the snippet takes its tokens', async (name) => {
    const providers = createProviders()
    const guard = open(name, providers)
    await guard.ready()
    expect(outcome(await guard.check(request(providers.token(name))))).toBe('allowed')
    await guard.close()
  })

  it('has one for each provider, and several at once; what is revoked is refused', async () => {
    expect([...SNIPPETS.keys()]).toEqual(['Entra v2', 'Entra v1', 'Okta', 'Auth0', 'Keycloak', 'several', 'longer tokens', 'revoke'])
    const providers = createProviders()
    const both = open('several', providers)
    for (const name of ['Okta', 'Keycloak'] satisfies ProviderName[])
      expect(outcome(await both.check(request(providers.token(name))))).toBe('allowed')
    await both.close()
    const guard = open('Keycloak', providers)
    const token = request(providers.token('Keycloak'))
    expect(outcome(await guard.check(token))).toBe('allowed')
    const cutoff = new Function('guard', `${SNIPPETS.get('revoke')}\nreturn cutoff`)(guard)
    expect(outcome(await guard.check(token))).toBe('revoked')
    const replica = open('Keycloak', providers)
    replica.revoke(cutoff)
    expect(outcome(await replica.check(token))).toBe('revoked')
    await guard.close()
    await replica.close()
  })

  it('a token that lives beyond the horizon is refused, and taken by a guard with a larger one', async () => {
    const providers = createProviders()
    const token = request(providers.token('Keycloak', { exp: START + 29 * 3600 }))
    for (const [name, wanted] of [
      ['Keycloak', 'token_horizon'],
      ['longer tokens', 'allowed'],
    ] as const) {
      const guard = open(name, providers)
      await guard.ready()
      expect(outcome(await guard.check(token))).toBe(wanted)
      await guard.close()
    }
  })

  it('lists every kind of what can be revoked', () => {
    expect(rowsAfter('| `kind` |').flatMap(([names]) => names)).toEqual(expect.arrayContaining([...CUTOFF_KINDS]))
    expect(rowsAfter('| `kind` |')).toHaveLength(CUTOFF_KINDS.length)
  })

  it('lists every option that there is, with its default where that is a number', () => {
    const source = readFileSync(new URL('../src/options.ts', import.meta.url), 'utf8')
    const [, body = ''] = /export interface GuardOptions \{\n([\s\S]*?)\n\}\n/.exec(source) ?? []
    const options = [...body.matchAll(/^ {2}(\w+)\??:/gm)].map(([, name]) => name as string)
    expect(options.length).toBeGreaterThan(20)
    const rows = rowsAfter('| option |')
    expect(rows.flatMap(([names]) => names).sort()).toEqual([...options, 'issuers'].sort())
    const settings: Record<string, unknown> = readOptions({ issuer: 'https://id.example', audience: 'api://files', events: 'none' })
    const numbers = rows.filter(([[name = '']]) => typeof settings[name] === 'number')
    expect(numbers).toHaveLength(7)
    for (const [[name = ''], cell] of numbers) expect([name, Number(cell.replaceAll(',', ''))]).toEqual([name, settings[name]])
  })
})

/** The rows of the table that begins so: the names in the first column, and the text of the last. */
function rowsAfter(head: string): [names: string[], last: string][] {
  const [table = ''] = TEXT.slice(TEXT.indexOf(`\n${head}`) + 1).split('\n\n')
  const cells = table
    .trim()
    .split('\n')
    .slice(2)
    .map((line) => line.slice(2, -2).split(' | '))
  return cells.map((row) => [[...(row[0] as string).matchAll(/`([\w-]+)`/g)].map(([, name]) => name as string), row.at(-1) as string])
}
