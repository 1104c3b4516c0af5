import { randomUUID } from 'node:crypto'
import type { ReceiverUnderTest } from '../config.ts'
import type { Notes } from '../notes.ts'
import type { Reply, Request } from './listener.ts'

export type Scope = 'ssf.read' | 'ssf.manage'

/** Who may call the emulated transmitter: the static token, or those of its own token endpoint (RFC 6749 section 4.4). */
export interface Authorization {
  metadata(issuer: string): Record<string, unknown>
  token(request: Request): Reply
  /** The refusal of a call; undefined when it is allowed. */
  refuse(request: Request, scope: Scope): Reply | undefined
}

const SPEC = 'CAEP Interop section 2.7'
/** Seconds. */
const LIFE = 600

export function createAuthorization(notes: Notes, { credentials }: ReceiverUnderTest): Authorization {
  const scopes = new Map<string, ReadonlySet<string>>()
  if ('accessToken' in credentials) scopes.set(credentials.accessToken, new Set(['ssf.read', 'ssf.manage']))

  return {
    metadata: (issuer) => ({
      issuer,
      token_endpoint: `${issuer}/token`,
      grant_types_supported: ['client_credentials'],
      response_types_supported: [],
      scopes_supported: ['ssf.read', 'ssf.manage'],
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    }),
    token({ method, headers, text }) {
      if ('accessToken' in credentials || method !== 'POST') return { status: 404 }
      const form = new URLSearchParams(text)
      const basic = /^basic ([\w+/=-]+)$/i.exec(headers.authorization ?? '')
      const [id, secret] = basic
        ? Buffer.from(basic[1] as string, 'base64')
            .toString('utf8')
            .split(':')
            .map(decodeForm)
        : [form.get('client_id'), form.get('client_secret')]
      const known = id === credentials.clientId && secret === credentials.clientSecret
      if (!notes.must(known, SPEC, 'the receiver does not authenticate as its client')) return { status: 401, body: { error: 'invalid_client' } }
      if (form.get('grant_type') !== 'client_credentials') return { status: 400, body: { error: 'unsupported_grant_type' } }
      const scope = (form.get('scope') ?? '').split(' ').filter((one) => one === 'ssf.read' || one === 'ssf.manage')
      if (!notes.must(scope.length > 0, SPEC, 'the receiver asks for a token without ssf.read or ssf.manage')) {
        return { status: 400, body: { error: 'invalid_scope' } }
      }
      const token = randomUUID()
      scopes.set(token, new Set(scope))
      return { status: 200, body: { access_token: token, token_type: 'Bearer', expires_in: LIFE, scope: scope.join(' ') } }
    },
    refuse({ headers, query }, scope) {
      notes.must(!query.has('access_token'), 'RFC 6750 section 2.1', 'the receiver puts its token in the query')
      const token = /^bearer (\S+)$/i.exec(headers.authorization ?? '')?.[1]
      const held = token === undefined ? undefined : scopes.get(token)
      if (!held) return { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' } }
      if (held.has(scope)) return undefined
      notes.must(false, SPEC, `the receiver does without ${scope} what needs it`)
      return { status: 403, headers: { 'www-authenticate': `Bearer error="insufficient_scope", scope="${scope}"` } }
    },
  }
}

function decodeForm(text: string): string {
  return new URLSearchParams(`x=${text}`).get('x') ?? ''
}
