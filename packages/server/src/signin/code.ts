import { randomInt } from 'node:crypto'
import { Secret, TOTP } from 'otpauth'
import type { Factor, Factors } from '../directory/factors.ts'
import { createAdapter } from '../issuer/adapter.ts'
import type { Tenant } from '../issuer/tenant.ts'
import type { Store } from '../store/store.ts'

const PERIOD = 30
/** Seconds for which a code that was used is remembered: longer than it could be good. */
const SPENT_TTL = 4 * PERIOD
const TEN_YEARS = 10 * 365 * 24 * 3600
/** No letters or digits that look alike. */
const LETTERS = 'ABCDEFGHJKLMNPQRSTUVWXYZ23456789'

/** The step whose code this is, now or one step off (RFC 6238 section 5.2). */
export function stepOf(secret: string, code: string, clock: number): number | undefined {
  const totp = new TOTP({ secret: Secret.fromBase32(secret), digits: 6, period: PERIOD, algorithm: 'SHA1' })
  const delta = totp.validate({ token: code, timestamp: clock * 1000, window: 1 })
  return delta === null ? undefined : Math.floor(clock / PERIOD) + delta
}

/** Ten codes of fifty bits, as they are shown. */
export function makeCodes(): string[] {
  const part = () => Array.from({ length: 5 }, () => LETTERS[randomInt(LETTERS.length)]).join('')
  return Array.from({ length: 10 }, () => `${part()}-${part()}`)
}

export const normalize = (code: string) => code.replace(/[\s-]/g, '').toUpperCase().slice(0, 32)

/**
 * Proves a second factor inside an attempt: a code of the authenticator app, or a recovery code. Each is good once: that it was used is written with the rest of the
 * attempt, so of two that come at once one passes the fence and the other is decided again.
 * @returns the factor, and how it was proved, as RFC 8176 names it
 */
export async function proveCode(
  store: Store,
  tenant: Tenant,
  factors: Factors,
  user: string,
  given: string,
): Promise<{ id: string; amr: string[] } | undefined> {
  const spent = createAdapter(store, tenant.id, tenant.artifacts)('SpentCode')
  const code = normalize(given)
  const spend = async (id: string, ttl: number): Promise<boolean> => {
    if (await spent.find(id)) return false
    await spent.upsert(id, {}, ttl)
    return true
  }
  for (const factor of await factors.list(user)) {
    if (factor.kind === 'totp' && /^\d{6}$/.test(code)) {
      const step = stepOf(factor.secret, code, store.clock())
      if (step !== undefined && step > factor.from && (await spend(`${user} ${factor.id} ${step}`, SPENT_TTL)))
        return { id: factor.id, amr: ['pwd', 'otp', 'mfa'] }
    }
    if (factor.kind === 'recovery') {
      const index = factors.indexOf(user, factor, code)
      if (index >= 0 && (await spend(`${user} ${factor.id} code ${index}`, TEN_YEARS))) return { id: factor.id, amr: ['pwd', 'rcv', 'mfa'] }
    }
  }
  return undefined
}

/** Whether a password alone signs nobody in. */
export const asksForMore = (factors: readonly Factor[]) => factors.some(({ kind }) => kind !== 'recovery')
