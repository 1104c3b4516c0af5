import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parseChallenges, readClaimsChallenge } from '@caegis/protocol'
import express from 'express'
import { describe, expect, it } from 'vitest'
import { metadata as metadataExpress } from '../src/adapters/express.ts'
import { metadata as metadataNode, protect } from '../src/adapters/node.ts'
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

  it.each<[string, (guard: ReturnType<typeof startGuard>['guard']) => Parameters<typeof createServer>[1]]>([
    [
      'node',
      (guard) => {
        const [describing, secured] = [metadataNode(guard), protect(guard)]
        return (req, res) => describing(req, res, () => secured(req, res, () => res.end('in')))
      },
    ],
    [
      'express',
      (guard) => {
        const app = express()
        app.use(metadataExpress(guard), protect(guard), (_req, res) => {
          res.end('in')
        })
        return app
      },
    ],
  ])('is served to everybody by the adapter for %s, and nothing else is', async (_, make) => {
    const server = createServer(make(startGuard({ resource: RESOURCE }).guard) as never).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const at = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, init)
    const path = new URL(WHERE).pathname
    const answer = await at(`${path}?x=1`)
    expect([answer.status, answer.headers.get('content-type'), answer.headers.get('access-control-allow-origin')]).toEqual([
      200,
      'application/json',
      '*',
    ])
    expect(await answer.json()).toMatchObject({ resource: RESOURCE })
    expect(await (await at(path, { method: 'HEAD' })).text()).toBe('')
    for (const [other, method] of [
      [path, 'POST'],
      [`${path}/x`, 'GET'],
      ['/files', 'GET'],
      ['/.well-known/oauth-protected-resource', 'GET'],
    ] as const) {
      expect((await at(other, { method })).status).toBe(401)
    }
    server.closeAllConnections()
    server.close()
  })

  it('a guard without a resource, or with one that is none, is a mistake', () => {
    expect(() => startGuard().guard.metadata()).toThrow(TypeError)
    expect(() => metadataNode(startGuard().guard)).toThrow(TypeError)
    for (const resource of ['api://files', 'http://api.example', 'https://api.example/?a', 'https://api.example/#a', ''])
      expect(() => startGuard({ resource })).toThrow(TypeError)
  })
})
