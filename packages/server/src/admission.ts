import type { Guard } from '@caegis/guard'
import type { Caller } from '@caegis/ssf/transmitter'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Admitted } from './graph/caller.ts'
import type { LdapStatus } from './graph/provisioning.ts'
import type { Store } from './store/store.ts'
import type { Tenants } from './tenants.ts'
import { whenOver } from './when-over.ts'

/** Who may come in at the doors that the server's own guards keep. Each answers the request itself, and returns `undefined`, where it lets nobody in. */
export interface Admission {
  /** Of the admin API: the tenant is the one of the token. */
  caller(request: FastifyRequest, reply: FastifyReply): Promise<Admitted | undefined>
  /** Of a tenant's stream endpoints. */
  receiver(tenant: string, request: FastifyRequest, reply: FastifyReply): Promise<Caller | undefined>
}

export interface AdmissionOptions {
  origin: string
  store: Pick<Store, 'position'>
  find: Tenants['find']
  addressOf(request: FastifyRequest): string
  /** How the LDAP directory of this tenant is doing, if it has one. */
  ldapOf(tenant: string): Promise<LdapStatus | undefined>
}

export function createAdmission({ origin, store, find, addressOf, ldapOf }: AdmissionOptions): Admission {
  /** A verdict for a request, from the tenant that its token names. */
  const admit = async (guard: Guard, audience: string, request: FastifyRequest, reply: FastifyReply) => {
    const verdict = await guard.check({
      method: request.method,
      url: request.url,
      headers: request.headers,
      rawHeaders: request.raw.rawHeaders,
      // Who asks is found out once, by the proxies that are trusted now; the guard trusts none of its own.
      socket: { remoteAddress: addressOf(request), encrypted: (request.socket as { encrypted?: boolean }).encrypted },
    })
    if (!verdict.allowed) {
      void reply
        .code(verdict.status)
        .headers({ ...verdict.headers, 'access-control-expose-headers': 'WWW-Authenticate' })
        .send(verdict.body)
      return undefined
    }
    // What lasts may ask for the end of its access until then.
    whenOver(reply, () => verdict.release())
    const { aud } = verdict.claims
    if (aud === audience) return verdict
    return refuseToken(reply, 'token_audience', 'The token is for another part of this server.')
  }

  return {
    async caller(request, reply) {
      const found = await find(issuerName(request.headers.authorization, origin) ?? '-')
      if (!found) {
        void reply
          .code(401)
          .header('www-authenticate', 'Bearer')
          .send({ error: { code: 'InvalidAuthenticationToken', message: 'Access token is missing, malformed or of another issuer.' } })
        return undefined
      }
      /** Resolves when the guard has applied what was committed by now, or is late: whatever it lets in next, it knows of it. */
      const settled = async () => {
        const { seq } = await store.position(found.tenant.id)
        for (let tries = 0; tries < 200 && (found.guard.status().head?.seq ?? 0) < seq; tries++)
          await new Promise((resolve) => setTimeout(resolve, 5))
      }
      // Whoever was answered that something is revoked, by whichever server, sees it refused by the next request.
      await settled()
      const verdict = await admit(found.guard, origin, request, reply)
      const { tenant, signals, upstreams, renamed } = found
      const its = { tenant, signals, upstreams, renamed, settled, ldap: () => ldapOf(tenant.id) }
      return verdict && { ...its, claims: verdict.claims, address: addressOf(request), signal: () => verdict.signal }
    },
    async receiver(name, request, reply) {
      const found = await find(name)
      if (!found) return undefined
      const verdict = await admit(found.streamGuard, `${found.tenant.base}/ssf`, request, reply)
      if (!verdict) return undefined
      const { claims } = verdict
      const appId = String(claims.azp)
      const receiver = await found.tenant.application(appId)
      if (!receiver?.enabled) return refuseToken(reply, 'revoked', 'The application is disabled.')
      // The audience of SETs comes from the registered application, never from the request.
      return { receiver: appId, audience: receiver.identifierUris[0] ?? appId, scopes: new Set(String(claims.scp ?? '').split(' ')) }
    },
  }
}

function refuseToken(reply: FastifyReply, code: string, message: string): undefined {
  void reply.code(401).header('www-authenticate', 'Bearer error="invalid_token"').send({ error: 'invalid_token', code, message })
}

/** Which tenant an unverified token claims to be of: only to choose the guard that verifies it. */
function issuerName(authorization: string | undefined, origin: string): string | undefined {
  const payload = authorization?.slice(0, 16_384).split('.')[1]
  if (!payload) return undefined
  try {
    const { iss } = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as { iss?: unknown }
    if (typeof iss !== 'string' || !iss.startsWith(`${origin}/`)) return undefined
    return iss.slice(origin.length + 1).split('/')[0]
  } catch {
    return undefined
  }
}
