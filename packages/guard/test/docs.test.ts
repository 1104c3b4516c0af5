import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { createGuard, type Guard } from '../src/guard.ts'
import { createProviders, NAMES, type ProviderName } from './providers.ts'
import { createClocks, outcome, request } from './tokens.ts'

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
    expect([...SNIPPETS.keys()]).toEqual(['Entra v2', 'Entra v1', 'Okta', 'Auth0', 'Keycloak', 'several', 'revoke'])
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
})
