import { capableClaims } from './capability.ts'
import { accessTokenOf, ClaimsChallengeError } from './errors.ts'
import { createLine } from './flight.ts'
import { claimsOf, refusalOf, wantsSignIn } from './refusal.ts'
import { createSignIn } from './sign-in.ts'

/** What is used of a `User` of oidc-client-ts. */
export interface OidcUser {
  access_token: string
  expired?: boolean | undefined
}

/** What is used of a `UserManager` of oidc-client-ts. */
export interface OidcManager {
  getUser(): Promise<OidcUser | null>
  signinSilent(request: { extraQueryParams: { claims: string }; extraTokenParams: { claims: string } }): Promise<OidcUser | null>
}

export interface OidcOptions {
  /**
   * Lets the person sign in when the issuer asks for it: `signinPopup`, or `signinRedirect`, with which the page goes away. `claims` belongs into its
   * `extraQueryParams` and `extraTokenParams`. Never called twice at once, and once for all who want the same. Without it a `ClaimsChallengeError` comes out of the fetch.
   */
  interactive?: (claims: string) => Promise<OidcUser | undefined | null> | Promise<void>
}

/**
 * The token function of {@link withClaimsChallenge} for oidc-client-ts. It renews by `signinSilent`, with the claims, and one renewal after the other. The manager's own
 * renewal does not say what the client is capable of: set `automaticSilentRenew: false`, and {@link capableClaims} in its `extraQueryParams` and `extraTokenParams`.
 */
export function oidcToken(manager: OidcManager, options: OidcOptions = {}) {
  const renew = createLine(async (asked) => {
    const extra = { claims: asked }
    return accessTokenOf((await manager.signinSilent({ extraQueryParams: extra, extraTokenParams: extra }))?.access_token)
  })
  const { interactive } = options
  return createSignIn({
    async silently(claims) {
      try {
        const user = claims ? null : await manager.getUser()
        return user && !user.expired ? accessTokenOf(user.access_token) : await renew(capableClaims(claims))
      } catch (error) {
        throw refusalOf(error, claims)
      }
    },
    async interactively(claims, error) {
      const answer = await interactive?.(capableClaims(claimsOf(error, capableClaims(claims))))
      return answer ? accessTokenOf(answer.access_token) : undefined
    },
    isRequired: (error) => interactive !== undefined && wantsSignIn(error instanceof ClaimsChallengeError ? error.cause : error),
  })
}
