import { accessTokenOf } from './errors.ts'
import { claimsOf } from './refusal.ts'
import { createSignIn } from './sign-in.ts'

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
   * Lets the person sign in when the issuer asks for it: `acquireTokenPopup`, or `acquireTokenRedirect`, with which the page goes away. Never called twice at once, and
   * once for all who want the same. Without it MSAL's error comes out of the fetch.
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
  const asked = (claims: string | undefined) => ({ ...request, ...(claims ? { claims } : {}) })
  return createSignIn({
    silently: async (claims) => accessTokenOf((await client.acquireTokenSilent(asked(claims))).accessToken),
    async interactively(claims, error) {
      const answer = await options.interactive?.(asked(claimsOf(error, claims ?? '')))
      return answer ? accessTokenOf(answer.accessToken) : undefined
    },
    // By name: an application may hold two copies of MSAL, and `instanceof` would miss the other one's errors.
    isRequired: (error) => options.interactive !== undefined && (error as Error).name === 'InteractionRequiredAuthError',
  })
}
