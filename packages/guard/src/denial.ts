import { type ChallengeClaims, formatChallenge, formatRefusal, type RefusalParameters } from '@caegis/protocol'
import { type DenialText, VERDICT_CODES, type VerdictCode } from './errors.ts'
import { ALGORITHMS } from './token.ts'
import type { Denied } from './verdict.ts'

export interface DenialOptions {
  /** Where clients sign in again, when it is known. */
  authorizationUri: () => string | undefined
  issuer: string
  clientId: string | undefined
  /** Where the API describes itself. */
  resourceMetadata: string | undefined
}

/** Overrides for one denial. */
export interface DenialDetail {
  status?: 400
  /** For a client that can answer a challenge: everything that the next token must be. */
  challenge?: ChallengeClaims
  /** For one that cannot: what is needed, in the words of RFC 6750 and RFC 9470. */
  needs?: Pick<RefusalParameters, 'scope' | 'acrValues' | 'maxAge'>
  /** The token is bound to a key: the refusal speaks of that scheme, which says what proofs may be signed with (RFC 9449 section 7.1). */
  dpop?: boolean
  /** For the next proof. */
  nonce?: string | undefined
}

/** What a page of another origin may read of a refusal only if it is told so (`Access-Control-Expose-Headers`): the challenge, and the nonce of the next proof. */
export function exposedOf(headers: Denied['headers']): string {
  return 'DPoP-Nonce' in headers ? 'WWW-Authenticate, DPoP-Nonce' : 'WWW-Authenticate'
}

/** From the reason to what goes on the wire (RFC 6750 section 3). Never a `Retry-After`: clients would lock themselves out for that long. */
export function createDenials({
  authorizationUri,
  issuer,
  clientId,
  resourceMetadata,
}: DenialOptions): (code: VerdictCode, detail?: DenialDetail) => Denied {
  const described = resourceMetadata === undefined ? {} : { resourceMetadata }
  return (code, { status: override, challenge, needs, dpop, nonce } = {}) => {
    const text: DenialText = VERDICT_CODES[code]
    const status = override ?? text.status
    const claims = status === 401 ? challenge : undefined
    const error = claims ? 'insufficient_claims' : override === 400 ? 'invalid_request' : text.error
    const headers: Record<string, string> = { 'Cache-Control': 'no-store' }
    const proof = dpop ? { proofAlgorithms: ALGORITHMS } : {}
    if (status !== 503) {
      const uri = authorizationUri()
      headers['WWW-Authenticate'] = claims
        ? formatChallenge({ authorizationUri: uri ?? issuer, ...(clientId === undefined ? {} : { clientId }), claims, ...described, ...proof })
        : formatRefusal({
            ...(uri === undefined ? {} : { authorizationUri: uri }),
            ...(error === undefined ? {} : { error }),
            ...needs,
            ...described,
            ...proof,
          })
    }
    if (nonce !== undefined) headers['DPoP-Nonce'] = nonce
    return { allowed: false, status, code, headers, body: { error: error ?? 'unauthorized', code, message: text.message } }
  }
}
