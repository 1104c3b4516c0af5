import type { TokenQuestion } from './claims-challenge.ts'
import { accessTokenOf } from './errors.ts'
import { claimsOf } from './refusal.ts'

/** What is used of MSAL's answer. */
export interface MsalToken {
  accessToken: string
}

/** What is used of a `PublicClientApplication`, of msal-browser or msal-node. */
export interface MsalClient<Request> {
  acquireTokenSilent(request: Request): Promise<MsalToken>
}

export interface MsalOptions<Request> {
  /**
   * Lets the person sign in when the issuer asks for it: `acquireTokenPopup`, or `acquireTokenRedirect`, with which the page goes away.
   * Without it MSAL's error comes out of the fetch.
   */
  interactive?: (request: Request) => Promise<MsalToken | undefined> | Promise<void>
}

/**
 * The token function of {@link withClaimsChallenge} for MSAL, which goes past its cache when it is given claims.
 * `clientCapabilities: ['cp1']` must stand in MSAL's configuration, or no API will send a challenge.
 */
export function msalToken<Request extends object>(
  client: MsalClient<Request & { claims?: string }>,
  request: Request,
  options: MsalOptions<Request & { claims?: string }> = {},
) {
  return async ({ claims }: TokenQuestion): Promise<string> => {
    const asked = (more: string | undefined) => ({ ...request, ...(more ? { claims: more } : {}) })
    try {
      return accessTokenOf((await client.acquireTokenSilent(asked(claims))).accessToken)
    } catch (error) {
      if (!options.interactive || !isInteractionRequired(error)) throw error
      const answer = await options.interactive(asked(claimsOf(error, claims ?? '')))
      // After a redirect there is no answer: the page is being left.
      if (!answer) throw error
      return accessTokenOf(answer.accessToken)
    }
  }
}

/** By name: an application may hold two copies of MSAL, and `instanceof` would miss the other one's errors. */
function isInteractionRequired(error: unknown): boolean {
  return error instanceof Error && error.name === 'InteractionRequiredAuthError'
}
