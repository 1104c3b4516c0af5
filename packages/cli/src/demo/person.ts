import { type AccountInfo, CryptoProvider, PublicClientApplication } from '@azure/msal-node'
import { createBrowser } from './browser.ts'

export interface PersonOptions {
  /** `https://host/{tenant}` */
  authority: string
  clientId: string
  scopes: string[]
  username: string
  password: string
  /** Default: the client says `cp1`. */
  capabilities?: string[]
}

/** Somebody with an unmodified msal-node client and a browser: signs in as a person would, and keeps MSAL's cache. */
export interface Person {
  msal: PublicClientApplication
  /** Signs in on the page; claims of a challenge go along. */
  signIn(claims?: string): Promise<string>
  /** From the cache, or past it when claims are given. */
  silent(claims?: string): Promise<string>
  account(): AccountInfo
  setPassword(password: string): void
}

const REDIRECT = 'http://localhost'

export function createPerson({ authority, clientId, scopes, username, password, capabilities = ['cp1'] }: PersonOptions): Person {
  const msal = new PublicClientApplication({
    auth: { clientId, authority, knownAuthorities: [new URL(authority).host], clientCapabilities: capabilities },
    system: { protocolMode: 'OIDC' },
  } as ConstructorParameters<typeof PublicClientApplication>[0])
  const browser = createBrowser()
  const codes = new CryptoProvider()
  let account: AccountInfo | null = null
  let secret = password
  const who = () => {
    if (!account) throw new Error('nobody has signed in yet')
    return account
  }
  return {
    msal,
    account: who,
    setPassword(given) {
      secret = given
    },
    async signIn(claims) {
      const { verifier, challenge } = await codes.generatePkceCodes()
      const asked = { scopes, redirectUri: REDIRECT, ...(claims === undefined ? {} : { claims }) }
      const url = await msal.getAuthCodeUrl({ ...asked, codeChallenge: challenge, codeChallengeMethod: 'S256' })
      const end = await browser.signIn(url, REDIRECT, { username, password: secret })
      const code = end.searchParams.get('code')
      if (!code) throw new Error(`the issuer answered ${end.searchParams.get('error')}: ${end.searchParams.get('error_description')}`)
      const result = await msal.acquireTokenByCode({ ...asked, code, codeVerifier: verifier })
      account = result.account
      return result.accessToken
    },
    async silent(claims) {
      const result = await msal.acquireTokenSilent({ account: who(), scopes, ...(claims === undefined ? {} : { claims }) })
      return result.accessToken
    },
  }
}
