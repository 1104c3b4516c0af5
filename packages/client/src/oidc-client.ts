import { capableClaims } from './capability.ts'
import type { TokenQuestion } from './claims-challenge.ts'
import { accessTokenOf } from './errors.ts'
import { createLine } from './flight.ts'
import { claimsOf, refusalOf, wantsSignIn } from './refusal.ts'

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
   * `extraQueryParams` and `extraTokenParams`. Without it a `ClaimsChallengeError` comes out of the fetch.
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
  return async ({ claims }: TokenQuestion): Promise<string> => {
    const user = claims ? null : await manager.getUser()
    if (user && !user.expired) return accessTokenOf(user.access_token)
    const asked = capableClaims(claims)
    try {
      return await renew(asked)
    } catch (error) {
      const answer = options.interactive && wantsSignIn(error) ? await options.interactive(capableClaims(claimsOf(error, asked))) : undefined
      // After a redirect there is no answer: the page is being left.
      if (!answer) throw refusalOf(error, claims)
      return accessTokenOf(answer.access_token)
    }
  }
}
