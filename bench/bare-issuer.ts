/**
 * Why: the peer of the issuer's figures. oidc-provider as it comes, with its own store in memory, behind TLS in a process of its own: one user, whom every
 * sign-in finds, one API, the same kinds of tokens and the same signatures as ours.
 */
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import Provider, { type Configuration, interactionPolicy } from 'oidc-provider'

const [port, tls, secret] = process.argv.slice(2) as [string, string, string]
const origin = `https://localhost:${port}`
const jwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })
const SCOPES = 'Files.Read'
// Nobody is asked what an application may do.
const policy = interactionPolicy.base()
policy.remove('consent')

const configuration: Configuration = {
  jwks: { keys: [{ ...jwk, alg: 'ES256', use: 'sig', kid: 'bench' }] } as never,
  clients: [
    {
      ...{ client_id: 'files-native', application_type: 'native', token_endpoint_auth_method: 'none', redirect_uris: ['http://localhost'] },
      ...{ grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], id_token_signed_response_alg: 'ES256' },
    },
    {
      ...{ client_id: 'nightly', client_secret: secret, token_endpoint_auth_method: 'client_secret_post', redirect_uris: [] },
      ...{ grant_types: ['client_credentials'], response_types: [], id_token_signed_response_alg: 'ES256' },
    },
  ],
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: async () => true,
  findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'api://files',
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: SCOPES, audience: 'api://files', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }),
    },
  },
  async loadExistingGrant(ctx) {
    const grant = new ctx.oidc.provider.Grant({ accountId: 'alice', clientId: ctx.oidc.client?.clientId as string })
    grant.addOIDCScope('openid offline_access')
    grant.addResourceScope('api://files', SCOPES)
    await grant.save()
    return grant
  },
  interactions: { policy, url: (_ctx, { uid }) => `/sign-in/${uid}` },
  cookies: { keys: ['bench'] },
}

const provider = new Provider(origin, configuration)
provider.on('server_error', (_ctx, error) => process.stderr.write(`${error.stack}\n`))
provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/sign-in/')) return next()
  // Everybody is alice: what is measured are tokens, not passwords.
  await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: 'alice' } })
})
const server = createServer({ cert: readFileSync(`${tls}/cert.pem`), key: readFileSync(`${tls}/key.pem`) }, provider.callback())
server.listen(Number(port), 'localhost', () => process.send?.('ready'))
process.once('disconnect', () => process.exit(0))
