import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createBrowser } from '../../packages/cli/src/demo/browser.ts'
import { BACK, PASSWORD, SCOPE, SECRET, type World } from './world.ts'

/** An answer; `undefined` stands for none, and for one that says nothing about what has happened. */
export interface Answer {
  status: number
  body: Record<string, any>
  txn: string | undefined
}

export interface Tokens {
  access: string
  refresh: string
}

/** Milliseconds: longer than anything waits in a server, so that what was given up does not happen later. */
const PATIENCE = 60_000

export type Client = ReturnType<typeof createClient>

/** Calls the servers as clients and administrators do, without ever trying again by itself. */
export function createClient({ origin, authority }: Pick<World, 'origin' | 'authority'>) {
  let admin: string | undefined
  const client = { token, signIn, daemon, change, late: 0 }
  return client

  async function ask(url: string, init: RequestInit): Promise<Answer | undefined> {
    const from = performance.now()
    try {
      const response = await fetch(url, { ...init, signal: AbortSignal.timeout(PATIENCE) })
      const text = await response.text()
      if (response.status >= 500 || response.status === 429) return await nothing()
      return { status: response.status, body: text === '' ? {} : JSON.parse(text), txn: response.headers.get('caegis-txn') ?? undefined }
    } catch {
      if (performance.now() - from >= PATIENCE) client.late++
      return await nothing()
    }
  }

  /** Whoever asks again at once only keeps the machine from starting what is missing. */
  function nothing(): Promise<undefined> {
    return sleep(100, undefined)
  }

  function token(form: Record<string, string>): Promise<Answer | undefined> {
    return ask(`${authority}/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams(form) })
  }

  async function daemon(scope: string): Promise<string | undefined> {
    const answer = await token({ grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope })
    return answer?.status === 200 ? String(answer.body.access_token) : undefined
  }

  /** With the password, by the pages and the code that a browser gets. */
  async function signIn(username: string): Promise<Tokens | undefined> {
    const verifier = randomBytes(32).toString('base64url')
    const asked = new URLSearchParams({
      ...{ client_id: 'files-native', response_type: 'code', redirect_uri: BACK, scope: `${SCOPE} openid offline_access` },
      ...{ code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256' },
    })
    const browser = createBrowser((url, init) => fetch(url, { ...init, signal: AbortSignal.timeout(PATIENCE) }))
    const end = await browser.signIn(`${authority}/oauth2/v2.0/authorize?${asked}`, BACK, { username, password: PASSWORD }).catch(() => undefined)
    const code = end?.searchParams.get('code')
    if (!code) return nothing()
    const form = { grant_type: 'authorization_code', client_id: 'files-native', redirect_uri: BACK, code, code_verifier: verifier }
    const answer = await token(form)
    return answer?.status === 200 ? { access: String(answer.body.access_token), refresh: String(answer.body.refresh_token) } : undefined
  }

  /** A request to the admin API. */
  async function change(method: string, path: string, body?: object): Promise<Answer | undefined> {
    admin ??= await daemon(`${origin}/.default`)
    if (admin === undefined) return undefined
    const answer = await ask(`${origin}/v1.0${path}`, {
      method,
      headers: { authorization: `Bearer ${admin}`, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    })
    if (answer?.status === 401) admin = undefined
    return answer
  }
}
