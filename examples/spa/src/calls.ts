import {
  type AccountInfo,
  type AuthenticationResult,
  CacheLookupPolicy,
  type IPublicClientApplication,
  type SilentRequest,
} from '@azure/msal-browser'
import { msalToken, withClaimsChallenge } from '@caegis/client'
import type { Config } from './config.ts'
import type { Journal } from './journal.ts'
import { readFacts, type TokenFacts } from './token.ts'

export interface CallState {
  busy: boolean
  auto: boolean
  /** The last answer in two words, such as `200 allowed`. */
  outcome?: string
  token?: TokenFacts
}

export type Calls = ReturnType<typeof createCalls>

const PENDING = 'pending'
const AUTO = 'auto'
const PATH = '/controlplane/manage'

/** The calls to the API, and every hop of theirs as a line in the journal. */
export function createCalls(msal: IPublicClientApplication, account: AccountInfo, config: Config, journal: Journal) {
  let state: CallState = { busy: false, auto: sessionStorage.getItem(AUTO) === 'on' }
  const listeners = new Set<() => void>()
  const set = (more: Partial<CallState>) => {
    state = { ...state, ...more }
    for (const listener of listeners) listener()
  }
  let timer: ReturnType<typeof setInterval> | undefined

  // A hidden frame would load this very page; the refresh token, and then the person, are enough.
  const request: SilentRequest = { scopes: config.scopes, account, cacheLookupPolicy: CacheLookupPolicy.AccessTokenAndRefreshToken }

  /** MSAL as it is, with what it does written down. */
  const silent = {
    async acquireTokenSilent(asked: SilentRequest): Promise<AuthenticationResult> {
      if (asked.claims) journal.add('plain', 'Asking the issuer for a new token, past the cache')
      const started = performance.now()
      try {
        const result = await msal.acquireTokenSilent(asked)
        if (!result.fromCache) journal.add('good', 'New token received, nobody was asked', performance.now() - started)
        const token = readFacts(result.accessToken)
        if (token) set({ token })
        return result
      } catch (error) {
        const required = error instanceof Error && error.name === 'InteractionRequiredAuthError'
        journal.add('bad', required ? 'The issuer says: sign in again' : 'The issuer gave no token', performance.now() - started)
        throw error
      }
    },
  }

  /**
   * By redirect, not by popup: the call may come from the timer, without a click, and browsers then block popups; a page that needs no second
   * window needs no bridge page for it either.
   */
  async function signInAgain(asked: SilentRequest): Promise<void> {
    sessionStorage.setItem(PENDING, 'yes')
    journal.add('wait', 'Signing in again ...')
    await msal.acquireTokenRedirect({ scopes: config.scopes, account, ...(asked.claims ? { claims: asked.claims } : {}) })
  }

  /** `fetch` as it is, with each answer written down. */
  const watched: typeof fetch = async (input, init) => {
    const started = performance.now()
    const response = await fetch(input, init)
    const challenged = response.status === 401 && (response.headers.get('WWW-Authenticate') ?? '').includes('claims=')
    const outcome = `${response.status} ${response.ok ? 'allowed' : challenged ? 'challenged' : 'refused'}`
    journal.add(
      response.ok ? 'good' : 'bad',
      `Request sent: ${outcome}${challenged ? ', the API wants a newer token' : ''}`,
      performance.now() - started,
    )
    set({ outcome })
    return response
  }

  const options = {
    origins: [config.api],
    issuer: config.authority,
    log: { debug: () => journal.add('wait', 'Waiting for the second that the API named') },
  }
  const api = withClaimsChallenge(watched, { ...options, token: msalToken(silent, request, { interactive: signInAgain }) })
  // After a sign-in that did not help, a second one would not either: no loop.
  const calmApi = withClaimsChallenge(watched, { ...options, token: msalToken(silent, request) })

  /** Whether the issuer let the call be made. */
  async function call(fetchApi = api): Promise<boolean> {
    if (state.busy) return true
    set({ busy: true })
    try {
      await (await fetchApi(config.api + PATH)).body?.cancel()
      return true
    } catch (error) {
      const name = error instanceof Error ? error.name : 'Error'
      if (name === 'TypeError') {
        set({ outcome: 'no answer' })
        journal.add('bad', 'Request sent: no answer')
        return true
      }
      if (name !== 'InteractionRequiredAuthError') journal.add('bad', `Stopped: ${name}`)
      return false
    } finally {
      set({ busy: false })
    }
  }

  function setAuto(auto: boolean): void {
    sessionStorage.setItem(AUTO, auto ? 'on' : 'off')
    clearInterval(timer)
    if (auto) timer = setInterval(call, 1000)
    set({ auto })
  }

  return {
    state: () => state,
    subscribe(listener: () => void) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    call: () => void call(),
    setAuto,
    /**
     * Goes on where the page was left.
     * @param returned whether a sign-in has just ended well
     */
    async resume(returned: boolean): Promise<void> {
      const pending = sessionStorage.getItem(PENDING) !== null
      sessionStorage.removeItem(PENDING)
      let auto = state.auto
      if (pending && returned) {
        journal.add('plain', 'Signed in again, the call is repeated')
        if (!(await call(calmApi))) auto = false
      }
      setAuto(auto)
    },
    async signOut(): Promise<void> {
      setAuto(false)
      journal.add('plain', 'Signed out')
      // By its client id the issuer knows where the page may be returned to; an ID token in the address would say too much.
      await msal.logoutRedirect({ account, extraQueryParameters: { client_id: config.clientId } })
    },
  }
}
