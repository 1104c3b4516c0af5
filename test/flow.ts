import { randomBytes } from 'node:crypto'
import { type Browser, createBrowser } from '../packages/cli/src/demo/browser.ts'
import { s256 } from './forge.ts'
import { type Callers, PASSWORD, SCOPE } from './loop.ts'

export interface FlowOptions {
  clientId?: string
  redirectUri?: string
  scope?: string
  username?: string
  /** The client says cp1: it can answer a claims challenge. */
  capable?: boolean
  browser?: Browser
  /** More parameters of the authorization request; `undefined` removes one. */
  more?: Record<string, string | undefined>
}

/** A sign-in without a client library: every parameter is the test's own. */
export function createFlow(loop: Pick<Callers, 'authority' | 'token'>, options: FlowOptions = {}) {
  const { clientId = 'files-native', redirectUri = 'http://localhost', username = 'alice@contoso.test', capable = false, more = {} } = options
  const said: Record<string, string> = capable ? { claims: '{"access_token":{"xms_cc":{"values":["cp1"]}}}' } : {}
  const scope = options.scope ?? `${SCOPE} openid profile offline_access`
  const browser = options.browser ?? createBrowser()
  const verifier = randomBytes(32).toString('base64url')
  const parameters: Record<string, string | undefined> = {
    ...{
      client_id: clientId,
      response_type: 'code',
      redirect_uri: redirectUri,
      scope,
      code_challenge: s256(verifier),
      code_challenge_method: 'S256',
    },
    state: 'a-state',
    ...more,
  }
  const given = Object.entries(parameters).filter((pair): pair is [string, string] => pair[1] !== undefined)
  const url = `${loop.authority}/oauth2/v2.0/authorize?${new URLSearchParams(given)}`
  return {
    url,
    browser,
    verifier,
    scope,
    /** Follows the redirects to the application; the code or the error stands in the URL. */
    signIn: () => browser.signIn(url, redirectUri, { username, password: PASSWORD }),
    async code(): Promise<string> {
      const end = await browser.signIn(url, redirectUri, { username, password: PASSWORD })
      const code = end.searchParams.get('code')
      if (!code) throw new Error(`no code: ${end.searchParams.get('error')} ${end.searchParams.get('error_description')}`)
      return code
    },
    redeem: (code: string, form: Record<string, string> = {}) =>
      loop.token({
        grant_type: 'authorization_code',
        client_id: clientId,
        code,
        code_verifier: verifier,
        redirect_uri: redirectUri,
        ...said,
        ...form,
      }),
    async tokens(form: Record<string, string> = {}): Promise<{ accessToken: string; refreshToken: string; idToken: string; code: string }> {
      const code = await this.code()
      const { status, body } = await this.redeem(code, form)
      if (status !== 200) throw new Error(`no tokens: ${JSON.stringify(body)}`)
      return { accessToken: String(body.access_token), refreshToken: String(body.refresh_token), idToken: String(body.id_token), code }
    },
    refresh: (refreshToken: string, form: Record<string, string> = {}) =>
      loop.token({ grant_type: 'refresh_token', client_id: clientId, refresh_token: refreshToken, ...said, ...form }),
  }
}

/** Where an authorization request ends without anybody signing in: a page, or the redirect back. */
export async function authorize(loop: Callers, more: Record<string, string | undefined>) {
  const response = await fetch(createFlow(loop, { more }).url, { redirect: 'manual', headers: { accept: 'text/html' } })
  return { status: response.status, location: response.headers.get('location') ?? '', text: await response.text(), headers: response.headers }
}
