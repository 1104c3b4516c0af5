import { formatChallenge, formatRefusal } from '@caegis/protocol'
import { type DenialText, VERDICT_CODES, type VerdictCode } from './errors.ts'
import type { Denied } from './verdict.ts'

export interface DenialOptions {
  /** Where clients sign in again, when it is known. */
  authorizationUri: () => string | undefined
  issuer: string
  clientId: string | undefined
}

/** Overrides for one denial. */
export interface DenialDetail {
  status?: 400
  /** For a client that can answer a challenge: seconds, the earliest `iat` of a token that would be good. */
  nbf?: number
  /** Where the guard saw it, if that is what is wrong, and what proves it. */
  rpAddress?: string
  evidence?: string | undefined
}

/** From the reason to what goes on the wire (RFC 6750 section 3). Never a `Retry-After`: clients would lock themselves out for that long. */
export function createDenials({ authorizationUri, issuer, clientId }: DenialOptions): (code: VerdictCode, detail?: DenialDetail) => Denied {
  return (code, { status: override, nbf, rpAddress, evidence } = {}) => {
    const text: DenialText = VERDICT_CODES[code]
    const status = override ?? text.status
    const challenged = status === 401 && nbf !== undefined
    const error = challenged ? 'insufficient_claims' : override === 400 ? 'invalid_request' : text.error
    const headers: Record<string, string> = { 'Cache-Control': 'no-store' }
    if (status !== 503) {
      const uri = authorizationUri()
      headers['WWW-Authenticate'] = challenged
        ? formatChallenge({
            authorizationUri: uri ?? issuer,
            ...(clientId === undefined ? {} : { clientId }),
            claims: { nbf, ...(rpAddress === undefined ? {} : { rpAddress }), ...(evidence === undefined ? {} : { evidence }) },
          })
        : formatRefusal({ ...(uri === undefined ? {} : { authorizationUri: uri }), ...(error === undefined ? {} : { error }) })
    }
    return { allowed: false, status, code, headers, body: { error: error ?? 'unauthorized', code, message: text.message } }
  }
}
