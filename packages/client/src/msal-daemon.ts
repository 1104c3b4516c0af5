import type { TokenQuestion } from './claims-challenge.ts'
import { accessTokenOf } from './errors.ts'
import type { MsalToken } from './msal.ts'
import { refusalOf } from './refusal.ts'

/** What is used of msal-node's `ConfidentialClientApplication`. */
export interface MsalDaemon<Request> {
  acquireTokenByClientCredential(request: Request): Promise<MsalToken | null>
}

/**
 * The token function of {@link withClaimsChallenge} for a daemon. Nobody is there to sign in: where the issuer gives no token for a challenge, a
 * `ClaimsChallengeError` (`challenge_refused`) comes out of the fetch, with MSAL's error as its cause.
 */
export function msalDaemonToken<Request extends object>(client: MsalDaemon<Request & { claims?: string }>, request: Request) {
  return async ({ claims }: TokenQuestion): Promise<string> => {
    let answer: MsalToken | null
    try {
      answer = await client.acquireTokenByClientCredential({ ...request, ...(claims ? { claims } : {}) })
    } catch (error) {
      throw refusalOf(error, claims)
    }
    return accessTokenOf(answer?.accessToken)
  }
}
