import type { FastifyRequest } from 'fastify'
import type { Issuer } from '../issuer/issuer.ts'
import type { Throttle } from '../issuer/throttle.ts'
import type { Log } from '../log.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'

/** What the pages of this room need of the rest of the server. */
export interface SignInOptions {
  store: Store
  secrets: Secrets
  throttle: Throttle
  log: Log
  /** By name or id. */
  findIssuer(tenant: string): Promise<Issuer | undefined>
  addressOf(request: FastifyRequest): string
}
