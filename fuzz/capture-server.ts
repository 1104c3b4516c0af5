/**
 * `node --conditions=caegis-source fuzz/capture-server.ts`: writes server-captures.json, what browsers, clients, guards and other systems send a server, for the fuzzer to
 * mutate. What could be presented is taken out of it, and put in again by whoever sends it.
 */
import diagnostics from 'node:diagnostics_channel'
import { writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { createAuthenticator } from '../test/authenticator.ts'
import { SECRET, startLoop } from '../test/loop.ts'

const origin = 'https://id.example'
const challenge = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8'
const key = createAuthenticator({ origin, rpId: 'id.example' })
const passkeys = [key.create({ challenge, user: { id: 'YWxpY2U' } }), key.get({ challenge })]

interface Captured {
  method: string
  path: string
  headers: Record<string, string>
  body: string
}
const captured: Captured[] = []
const KEPT = ['authorization', 'content-type', 'cookie', 'origin', 'if-match', 'consistencylevel', 'prefer', 'dpop', 'last-event-id', 'accept']

diagnostics.subscribe('http.server.request.start', (message) => {
  const { request } = message as { request: IncomingMessage }
  const chunks: Buffer[] = []
  const push = request.push.bind(request)
  request.push = (chunk: Buffer | null) => {
    if (chunk) chunks.push(chunk)
    else {
      const headers = Object.fromEntries(KEPT.flatMap((name) => (request.headers[name] === undefined ? [] : [[name, String(request.headers[name])]])))
      captured.push({ method: request.method ?? '', path: request.url ?? '', headers, body: Buffer.concat(chunks).toString() })
    }
    return push(chunk)
  }
})

const loop = await startLoop()
const alice = loop.person('alice')
await alice.signIn()
const guard = await loop.guard()
const { id } = (await (await loop.graph('GET', '/users/alice@contoso.test')).json()) as { id: string }
await loop.graph('GET', `/users?$filter=startswith(displayName,'Al')&$top=1&$select=id,displayName`)
await loop.graph('POST', '/users', {
  userPrincipalName: 'carol@contoso.test',
  displayName: 'Carol',
  passwordProfile: { password: 'a good password 1' },
})
await loop.graph('PATCH', `/users/${id}`, { displayName: 'Alice Low' })
await loop.graph('POST', '/groups', { displayName: 'finance' })
await loop.graph('GET', '/users/delta?$select=displayName')
await loop.graph('GET', '/caegis/events?$top=2')
await loop.graph('GET', '/auditLogs/signIns?$top=1')
await loop.graph('POST', '/$batch', {
  requests: [
    { id: '1', method: 'GET', url: '/users?$top=1' },
    { id: '2', method: 'GET', url: `/users/${id}`, dependsOn: ['1'] },
  ],
})
await loop.graph('POST', '/identity/conditionalAccess/evaluate', {
  signInIdentity: { userId: id },
  signInContext: { includeApplications: ['files-api'] },
  signInConditions: {},
})
const scim = async (method: string, path: string, body?: unknown) =>
  fetch(`${loop.authority}/scim/v2${path}`, {
    method,
    headers: {
      authorization: `Bearer ${await loop.daemonToken('nightly', `${loop.origin}/.default`)}`,
      ...(body === undefined ? {} : { 'content-type': 'application/scim+json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
await scim('GET', '/Users?filter=userName%20eq%20%22alice%40contoso.test%22')
await scim('POST', '/Users', {
  schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'],
  userName: 'erin@contoso.test',
  displayName: 'Erin',
  active: true,
})
await scim('PATCH', `/Users/${id}`, {
  schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
  Operations: [{ op: 'replace', path: 'displayName', value: 'Alice' }],
})
const form = (path: string, body: Record<string, string>) => fetch(`${loop.authority}${path}`, { method: 'POST', body: new URLSearchParams(body) })
await loop.token({
  grant_type: 'refresh_token',
  client_id: 'files-native',
  refresh_token: 'none',
  claims: '{"access_token":{"nbf":{"essential":true,"value":"1"}}}',
})
await form('/oauth2/v2.0/devicecode', { client_id: 'files-native', scope: 'api://files/Files.Read openid' })
await loop.token({ grant_type: 'device_code', client_id: 'files-native', device_code: 'none' })
await form('/oauth2/v2.0/introspect', { token: 'none', client_id: 'files-api', client_secret: SECRET })
await form('/oauth2/v2.0/revoke', { token: 'none', client_id: 'files-native' })
await fetch(`${loop.authority}/global-token-revocation`, {
  method: 'POST',
  headers: { authorization: `Bearer ${await loop.daemonToken('nightly', `${loop.origin}/.default`)}`, 'content-type': 'application/json' },
  body: JSON.stringify({ sub_id: { format: 'iss_sub', iss: loop.issuer, sub: 'nobody' } }),
})
await guard.close()
await loop.close()

const PORT = new RegExp(loop.origin.replaceAll('.', '\\.'), 'g')
const VALUES = /\b(refresh_token|code|code_verifier|device_code|client_assertion|csrf|state|nonce|code_challenge|client_info)=[^&"]{12,}/g
function without(text: string): string {
  return text
    .replace(PORT, '{{origin}}')
    .replaceAll(encodeURIComponent(loop.origin), '{{origin-form}}')
    .replaceAll(encodeURIComponent(SECRET), '{{secret}}')
    .replaceAll(SECRET, '{{secret}}')
    .replace(/eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+/g, (token) => {
      const { aud } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { aud: string }
      return aud === loop.origin ? '{{admin}}' : String(aud).startsWith('api:') ? '{{user}}' : '{{stream}}'
    })
    .replace(VALUES, '$1={{$1}}')
    .replaceAll(id, '{{alice}}')
}
const seen = new Set<string>()
const requests = captured.flatMap(({ method, path, headers, body }) => {
  const one = JSON.parse(without(JSON.stringify({ method, path, headers, body }))) as Captured
  if (one.headers.cookie) one.headers.cookie = one.headers.cookie.replace(/=[^;]*/g, '=x')
  const place = `${method} ${one.path.replace(/\?.*/, '').replace(/[\w-]{20,}/g, '*')} ${one.body.slice(0, 30)}`
  if (seen.has(place)) return []
  seen.add(place)
  return [one]
})
writeFileSync(new URL('server-captures.json', import.meta.url), `${JSON.stringify({ origin, challenge, passkeys, requests }, null, 2)}\n`)
process.exit(0)
