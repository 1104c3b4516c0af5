import type { Timing, TransmitterUnderTest } from '../config.ts'
import { isObject, send } from '../http.ts'
import { Unreachable } from '../notes.ts'

export interface Access {
  token: string
  /** Seconds, as the token endpoint says. */
  life?: number
}

/** A source of access tokens for the management API: the one that was configured, or client credentials (RFC 6749 section 4.4), kept for half their life. */
export function createAccess({ issuer, credentials }: TransmitterUnderTest, { request }: Timing): () => Promise<Access> {
  let kept: { access: Access; until: number } | undefined

  return async () => {
    if ('accessToken' in credentials) return { token: credentials.accessToken }
    if (kept && Date.now() < kept.until) return kept.access
    const access = await ask(credentials)
    kept = { access, until: Date.now() + (access.life ?? 60) * 500 }
    return access
  }

  async function ask(client: Exclude<TransmitterUnderTest['credentials'], { accessToken: string }>): Promise<Access> {
    const { clientId, clientSecret, scope = 'ssf.read ssf.manage', post } = client
    const url = client.tokenEndpoint ?? (await find())
    const form = new URLSearchParams({ grant_type: 'client_credentials', scope, ...(post && { client_id: clientId, client_secret: clientSecret }) })
    const pair = [clientId, clientSecret].map(encodeURIComponent).join(':')
    const { status, json } = await send(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        ...(!post && { authorization: `Basic ${Buffer.from(pair).toString('base64')}` }),
      },
      body: form.toString(),
      timeout: request,
    })
    const token = isObject(json) ? json.access_token : undefined
    if (status !== 200 || typeof token !== 'string') throw new Unreachable(`the token endpoint answered ${status} without an access token`)
    const life = (json as { expires_in?: unknown }).expires_in
    return { token, ...(typeof life === 'number' && { life }) }
  }

  /** RFC 8414, or OpenID Connect Discovery, of the transmitter's issuer. */
  async function find(): Promise<string> {
    const { origin, pathname } = new URL(issuer)
    const path = pathname.replace(/\/$/, '')
    for (const url of [`${origin}/.well-known/oauth-authorization-server${path}`, `${origin}${path}/.well-known/openid-configuration`]) {
      const { status, json } = await send(url, { timeout: request })
      if (status === 200 && isObject(json) && typeof json.token_endpoint === 'string') return json.token_endpoint
    }
    throw new Unreachable('no metadata of an authorization server was found; name credentials.tokenEndpoint')
  }
}
