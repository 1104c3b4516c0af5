import { createHmac, timingSafeEqual } from 'node:crypto'
import { evidenceText, isFreshEvidence } from '@caegis/protocol'
import type { Brought } from '../access/signals.ts'
import { evidenceKey, type Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'
import { currentAttempt } from './attempt.ts'
import type { Resource } from './resources.ts'
import type { Tenant } from './tenant.ts'

/**
 * The address that the API saw, if the claims of the request hold its guard's evidence of it: for this session, client and API, and of the last five minutes. What a
 * client merely says is no more than that, and some repeat their last challenge for ever: it is ignored (threat D2).
 */
export function readProved(
  tenant: Tenant,
  store: Store,
  secrets: Secrets,
  { sid, azp, resource }: { sid: string; azp: string; resource: Resource },
): Brought['seen'] {
  const { claims, trace } = currentAttempt()
  const { rpAddress: address, evidence } = claims
  if (address === undefined || !evidence || !isFreshEvidence(evidence, store.clock())) return undefined
  const { second, jti, mac } = evidence
  const right = createHmac('sha256', evidenceKey(secrets, tenant.id, resource.appId ?? resource.audience))
    .update(evidenceText({ sid, azp, jti, address, second }))
    .digest()
  const given = Buffer.from(mac, 'base64url')
  if (given.length !== right.length || !timingSafeEqual(given, right)) return undefined
  trace.rpAddress = address
  const country = tenant.countryOf(address)
  return { address, ...(country === undefined ? {} : { country }) }
}
