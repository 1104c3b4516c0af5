import type { JsonObject } from '@caegis/protocol'
import type { TokenRequirement } from './routes.ts'

/** What a good token lacks for a route, as an answer. */
export interface Lack {
  status: 401 | 403
  challenge: string
  error: 'insufficient_scope' | 'insufficient_user_authentication'
}

/** RFC 6750 section 3.1 for what the user may, RFC 9470 section 3 for how and when the user signed in. */
export function lackOf(
  claims: Readonly<JsonObject>,
  { scope = [], roles = [], acrs = [], maxAge }: TokenRequirement,
  seconds: number,
): Lack | undefined {
  const scopes = typeof scope === 'string' ? scope.split(' ') : scope
  const held = typeof claims.scp === 'string' ? claims.scp.split(' ') : []
  if (!scopes.every((one) => held.includes(one)) || (roles.length > 0 && !roles.some((one) => listOf(claims.roles).includes(one)))) {
    const wanted = scopes.length > 0 ? `, scope="${scopes.join(' ')}"` : ''
    return { status: 403, error: 'insufficient_scope', challenge: `Bearer error="insufficient_scope"${wanted}` }
  }
  const missing = acrs.filter((one) => !listOf(claims.acrs).includes(one))
  const tooOld = maxAge !== undefined && !(typeof claims.auth_time === 'number' && claims.auth_time + maxAge >= seconds)
  if (missing.length === 0 && !tooOld) return undefined
  const more = [...(missing.length > 0 ? [`acr_values="${missing.join(' ')}"`] : []), ...(tooOld ? [`max_age="${maxAge}"`] : [])]
  const error = 'insufficient_user_authentication'
  return { status: 401, error, challenge: `Bearer error="${error}", ${more.join(', ')}` }
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : value === undefined ? [] : [value]
}
