import { parseChallenges, readClaimsChallenge } from '@caegis/protocol'
import { describe, expect, it } from 'vitest'
import { metadata as metadataNode } from '../src/adapters/node.ts'
import { createGuard } from '../src/guard.ts'
import { createStaticKeys } from '../src/keys.ts'
import { metadataUrlOf } from '../src/metadata.ts'
import { AUDIENCE, cutoff, ISSUER, mint, request, START, startGuard, verdictOf } from './tokens.ts'

const RESOURCE = 'https://api.example/files'
const WHERE = 'https://api.example/.well-known/oauth-protected-resource/files'

describe('what an API says of itself (RFC 9728)', () => {
  it('names the resource, who gives tokens for it, and how they are shown', () => {
    const { guard } = startGuard({ resource: RESOURCE, scopes: ['Files.Read', 'Files.Write'] })
    expect(guard.metadata()).toEqual({
      resource: RESOURCE,
      authorization_servers: [ISSUER],
      bearer_methods_supported: ['header'],
      scopes_supported: ['Files.Read', 'Files.Write'],
      dpop_signing_alg_values_supported: ['ES256', 'RS256', 'PS256', 'EdDSA'],
    })
    expect(startGuard({ resource: RESOURCE }).guard.metadata()).not.toHaveProperty('scopes_supported')
  })

  it('names every issuer whose tokens are taken', async () => {
    const source = { start() {}, async close() {} }
    const keys = createStaticKeys({})
    const issuers = [ISSUER, 'https://id.example/fabrikam/v2.0'].map((issuer) => ({ issuer, source, keys }))
    const guard = createGuard({ audience: AUDIENCE, resource: RESOURCE, issuers })
    expect(guard.metadata().authorization_servers).toEqual(issuers.map(({ issuer }) => issuer))
    const verdict = verdictOf(guard.check({ headers: {} }))
    expect(verdict.allowed ? '' : verdict.headers['WWW-Authenticate']).toContain(`resource_metadata="${WHERE}"`)
    await guard.close()
  })

  it.each([
    [RESOURCE, WHERE],
    ['https://api.example', 'https://api.example/.well-known/oauth-protected-resource'],
    ['https://api.example/', 'https://api.example/.well-known/oauth-protected-resource'],
    ['https://api.example:8443/a/b/', 'https://api.example:8443/.well-known/oauth-protected-resource/a/b/'],
  ])('%s is described at %s', (resource, where) => expect(metadataUrlOf(resource)).toBe(where))

  it('every refusal says where, and none where nothing is said', () => {
    const about = (options: object, token: string, cut = false) => {
      const { guard, sink } = startGuard(options)
      if (cut) sink.merge([cutoff('user', 'alice', START)])
      const verdict = verdictOf(guard.check(request(token)))
      if (verdict.allowed) throw new Error('allowed')
      const header = verdict.headers['WWW-Authenticate'] ?? ''
      return [parseChallenges(header)[0]?.parameters.get('resource_metadata'), readClaimsChallenge(header)?.nbf]
    }
    expect(about({ resource: RESOURCE }, 'x')).toEqual([WHERE, undefined])
    expect(about({ resource: RESOURCE }, mint({ xms_cc: ['cp1'] }), true)).toEqual([WHERE, START + 1])
    expect(about({}, mint({ xms_cc: ['cp1'] }), true)).toEqual([undefined, START + 1])
    expect(about({}, 'x')).toEqual([undefined, undefined])
  })

  it('a guard without a resource, or with one that is none, is a mistake', () => {
    expect(() => startGuard().guard.metadata()).toThrow(TypeError)
    expect(() => metadataNode(startGuard().guard)).toThrow(TypeError)
    for (const resource of ['api://files', 'http://api.example', 'https://api.example/?a', 'https://api.example/#a', ''])
      expect(() => startGuard({ resource })).toThrow(TypeError)
  })
})
