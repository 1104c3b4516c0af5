import { type AccountInfo, CacheLookupPolicy, InteractionRequiredAuthError, PublicClientApplication } from '@azure/msal-browser'
import { withClaimsChallenge } from '@caegis/client'
import { HOME, rememberGoing } from './tenant.ts'

const CONSOLE_APP = 'caegis-console'

/** Why the console can ask nothing any more: what the issuer said, and what it wants to see next time. */
export interface Ended {
  /** OAuth error, or the issuer's finer word. */
  reason: string
  message: string
  claims?: string
}

/** One administrator in one tenant, in this tab. */
export interface Session {
  tenant: string
  account: AccountInfo
  /** A fetch with the administrator's token, which answers challenges past every cache. */
  fetch: typeof fetch
  ended(): Ended | undefined
  /** Tells when the access has ended; returns how to stop listening. */
  onEnded(listener: () => void): () => void
  /** Leaves the page for the issuer; what it asked for last is brought along. */
  signInAgain(): Promise<void>
  /** The same, for whoever else may sign in. */
  signInAsAnother(): Promise<void>
  signOut(): Promise<void>
}

/** What came of opening: somebody is signed in, the page is being left for the issuer, or the issuer sent an error. */
export type Opened = { session: Session } | { leaving: true } | { failed: { error: string; message: string; retry(): Promise<void> } }

/** Tokens live in this tab only (`sessionStorage`), and no hidden frame asks for them: the issuer is reached by leaving the page. */
async function clientOf(origin: string, tenant: string): Promise<PublicClientApplication> {
  const client = new PublicClientApplication({
    auth: {
      clientId: CONSOLE_APP,
      authority: `${origin}/${tenant}`,
      knownAuthorities: [new URL(origin).host],
      redirectUri: `${origin}${HOME}`,
      postLogoutRedirectUri: `${origin}${HOME}`,
      clientCapabilities: ['cp1'],
    },
    cache: { cacheLocation: 'sessionStorage' },
    system: { protocolMode: 'OIDC' },
  })
  await client.initialize()
  return client
}

export async function openSession(origin: string, tenant: string): Promise<Opened> {
  const client = await clientOf(origin, tenant)
  const scopes = [`${origin}/.default`]
  const leave = async (more: Leaving = {}) => {
    rememberGoing(location.pathname === HOME ? `${HOME}/${tenant}` : `${location.pathname}${location.search}`)
    await client.loginRedirect({ scopes, ...more })
  }
  try {
    const answer = await client.handleRedirectPromise({ navigateToLoginRequestUrl: false })
    if (answer) client.setActiveAccount(answer.account)
  } catch (error) {
    const { errorCode = 'unknown', errorMessage = '' } = error as { errorCode?: string; errorMessage?: string }
    return { failed: { error: errorCode, message: plain(errorMessage), retry: () => leave() } }
  }
  // Whoever has just signed in, before anybody who has done so in this tab earlier.
  const accounts = [client.getActiveAccount(), ...client.getAllAccounts()]
  const account = accounts.find((one) => one?.idTokenClaims?.iss === `${origin}/${tenant}/v2.0`)
  if (!account) {
    await leave()
    return { leaving: true }
  }
  return { session: sessionOf(client, { origin, tenant, account, scopes, leave }) }
}

interface Parts {
  origin: string
  tenant: string
  account: AccountInfo
  scopes: string[]
  leave(more?: Leaving): Promise<void>
}

interface Leaving {
  claims?: string
  loginHint?: string
  prompt?: 'login' | 'select_account'
}

function sessionOf(client: PublicClientApplication, { origin, tenant, account, scopes, leave }: Parts): Session {
  let ended: Ended | undefined
  const listeners = new Set<() => void>()

  const token = async ({ claims }: { claims?: string }) => {
    try {
      const cacheLookupPolicy = CacheLookupPolicy.AccessTokenAndRefreshToken
      return (await client.acquireTokenSilent({ scopes, account, cacheLookupPolicy, ...(claims ? { claims } : {}) })).accessToken
    } catch (error) {
      if (error instanceof InteractionRequiredAuthError || isOver(error)) {
        const { errorCode, subError, errorMessage, claims: wanted = claims } = error as InteractionRequiredAuthError
        ended = { reason: subError || errorCode, message: plain(errorMessage), ...(wanted ? { claims: wanted } : {}) }
        for (const listener of listeners) listener()
      }
      throw error
    }
  }

  return {
    tenant,
    account,
    fetch: withClaimsChallenge((input, init) => fetch(input, init), { origins: [origin], token }),
    ended: () => ended,
    onEnded(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    signInAgain: () => leave({ ...(ended?.claims ? { claims: ended.claims } : {}), loginHint: account.username }),
    signInAsAnother: () => leave({ prompt: 'login' }),
    // Without a hint of who signs out, which would be a token in an address: the issuer asks, and ends it there.
    signOut: () => client.logoutRedirect({ account }),
  }
}

/** What the token endpoint will not take back by itself. */
function isOver(error: unknown): boolean {
  const { errorCode } = error as { errorCode?: string }
  return errorCode === 'invalid_grant' || errorCode === 'access_denied' || errorCode === 'no_tokens_found'
}

/** MSAL puts a trace behind the issuer's words. */
function plain(message: string | undefined): string {
  return (message ?? '').split(/ - Correlation ID| Trace ID|See https:\/\/aka\.ms/i)[0]?.trim() ?? ''
}
