import { generateKeyPairSync } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { createDiscovery, metadataUrls } from '../src/discovery.ts'
import { createGuard, type Guard } from '../src/guard.ts'
import { createProviders, guardFor, NAMES, optionsOf, PROVIDERS, type Provider, type ProviderName } from './providers.ts'
import { jwkOf, outcome, request, START } from './tokens.ts'

const open: Guard[] = []
afterEach(async () => {
  for (const guard of open.splice(0)) await guard.close()
})
async function start(name: ProviderName, ...rest: Parameters<typeof guardFor> extends [unknown, ...infer Rest] ? Rest : never) {
  const made = await guardFor(name, ...rest)
  open.push(made.guard)
  return { ...made, code: async (token: string) => outcome(await made.guard.check(request(token))) }
}

describe.each(NAMES)('%s', (name) => {
  const provider: Provider = PROVIDERS[name]

  it('is found by its issuer, and its tokens are taken as they are', async () => {
    const providers = createProviders()
    const { guard, code } = await start(name, providers)
    expect(await code(providers.token(name))).toBe('allowed')
    expect(guard.status()).toMatchObject({ proof: 'none', stale: false, hydrated: true })
    // What it was told, or what the issuer's name says; never anybody else.
    expect(new Set(providers.asked)).toEqual(
      new Set(
        [...(provider.metadataUrl ? [] : metadataUrls(provider.issuer)), provider.metadataAt, provider.jwksUri].filter((url) =>
          providers.asked.includes(url),
        ),
      ),
    )
    expect(providers.asked).toContain(provider.metadataAt)
  })

  it('byte for byte: a slash more or less at the end of the issuer is another issuer', async () => {
    const providers = createProviders()
    const { code } = await start(name, providers)
    const other = provider.issuer.endsWith('/') ? provider.issuer.slice(0, -1) : `${provider.issuer}/`
    expect(await code(providers.token(name, { iss: other }))).toBe('token_issuer')
    // And metadata that names it so is not read.
    const url = provider.metadataUrl
    const discovery = createDiscovery({ issuer: other, fetch: providers.fetch, ...(url === undefined ? {} : { metadataUrl: url }) })
    await expect(discovery.read()).rejects.toMatchObject({ code: 'discovery_failed', detail: 'names another issuer' })
  })

  it.each(Object.entries(provider.ids).flatMap(([kind, ids]) => ids.map((id) => [kind, id] as const)))(
    'a token of it can be revoked by its %s %s, and a later one is good',
    async (kind, id) => {
      const providers = createProviders()
      const { guard, code } = await start(name, providers)
      const token = providers.token(name)
      expect(await code(token)).toBe('allowed')
      guard.revoke({ kind: kind as 'user', id, t: START - 60 })
      expect(await code(token)).toBe('revoked')
      expect(await code(providers.token(name, { iat: START - 59 }))).toBe('allowed')
    },
  )

  it('RFC 8725: its keys verify what they are for and nothing else', async () => {
    const providers = createProviders()
    const { code } = await start(name, providers)
    const forged = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    expect(await code(providers.token(name, {}, { alg: 'ES256' }, forged))).toBe(
      provider.algorithm === 'ES256' ? 'token_signature' : 'token_algorithm',
    )
    expect(await code(providers.token(name, { aud: 'api://other' }))).toBe('token_audience')
    const both = { RS256: 'PS256', PS256: 'RS256' } as const
    if (!(provider.algorithm in both)) return
    // Without `alg` in the JWK a key of RSA may be used either way; with it, one way only (RFC 7517 section 4.4).
    const alg = both[provider.algorithm as 'RS256']
    expect(await code(providers.token(name, {}, { alg }))).toBe('alg' in provider.jwk ? 'token_algorithm' : 'allowed')
  })
})

describe('where metadata is looked for', () => {
  it('OpenID Connect Discovery section 4 and RFC 8414 section 3.1, with and without a slash', () => {
    for (const slash of ['', '/']) {
      expect(metadataUrls(`https://id.example${slash}`)).toEqual([
        'https://id.example/.well-known/openid-configuration',
        'https://id.example/.well-known/oauth-authorization-server',
      ])
      expect(metadataUrls(`https://id.example/a/b${slash}`)).toEqual([
        'https://id.example/a/b/.well-known/openid-configuration',
        'https://id.example/.well-known/oauth-authorization-server/a/b',
      ])
    }
  })

  it('an issuer that is down is not looked for elsewhere', async () => {
    const providers = createProviders()
    providers.down.add('Okta')
    const { issuer } = PROVIDERS.Okta
    await expect(createDiscovery({ issuer, fetch: providers.fetch }).read()).rejects.toMatchObject({ code: 'discovery_failed' })
    expect(providers.asked).toEqual([PROVIDERS.Okta.metadataAt])
  })

  it('metadata of many tenants is not that of one: its issuer is a template', async () => {
    const providers = createProviders()
    providers.changed['Entra v2'] = { issuer: 'https://login.microsoftonline.com/{tenantid}/v2.0' }
    const discovery = createDiscovery({ issuer: PROVIDERS['Entra v2'].issuer, fetch: providers.fetch })
    await expect(discovery.read()).rejects.toMatchObject({ detail: 'names another issuer' })
  })

  it('what is configured wrongly throws at once', () => {
    const options = optionsOf('Okta')
    const make = (more: object) => () => createGuard({ ...options, ...more })
    expect(make({ metadataUrl: 'http://contoso.okta.example/x' })).toThrow(TypeError)
    expect(make({ metadataUrl: 'x' })).toThrow(TypeError)
    expect(make({ events: 'all' })).toThrow(TypeError)
    expect(make({ events: { transmitter: 'http://them.example' } })).toThrow(TypeError)
    expect(make({ events: {} })).toThrow(TypeError)
    expect(make({ events: undefined })).toThrow(TypeError)
  })
})

describe('A5: keys that a key set calls somebody else’s', () => {
  it.each([
    ['any tenant of this cloud', 'https://login.microsoftonline.com/{tenantid}/v2.0', 'allowed'],
    ['this tenant', PROVIDERS['Entra v2'].issuer, 'allowed'],
    ['personal accounts', 'https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0', 'token_key'],
    ['another cloud', 'https://login.partner.microsoftonline.example/{tenantid}/v2.0', 'token_key'],
    ['a template that would match more than a tenant', 'https://login.microsoftonline.com/{tenantid}', 'token_key'],
    ['two templates', 'https://{tenantid}/{tenantid}/v2.0', 'token_key'],
    ['no text', 7, 'token_key'],
  ])('%s', async (_, issuer, code) => {
    const providers = createProviders()
    const pair = generateKeyPairSync('rsa', { modulusLength: 2048 })
    providers.jwks['Entra v2']?.push(jwkOf(pair, 'theirs', { use: 'sig', issuer }))
    const guard = await start('Entra v2', providers)
    expect(await guard.code(providers.token('Entra v2', {}, { kid: 'theirs' }, pair))).toBe(code)
    expect(await guard.code(providers.token('Entra v2'))).toBe('allowed')
  })
})
