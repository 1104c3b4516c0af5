import { createHmac } from 'node:crypto'
import { evidenceText, formatEvidence } from '@caegis/protocol'
import { createSecrets, evidenceKey } from '../packages/server/src/store/secrets.ts'
import { claimsOf, type Loop } from './loop.ts'

/** What the guard of `files-api` says of where it saw the bearer of a token. */
export function evidence(loop: Loop, token: string, address: string, { second = Math.floor(Date.now() / 1000), api = 'files-api' } = {}): string {
  const { sid, azp, jti } = claimsOf(token) as unknown as Record<'sid' | 'azp' | 'jti', string>
  const key = evidenceKey(createSecrets(loop.settings.keySecret.value), loop.tenant, api)
  const mac = createHmac('sha256', key).update(evidenceText({ sid, azp, jti, address, second })).digest('base64url')
  return formatEvidence({ second, jti, mac })
}
