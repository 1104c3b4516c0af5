import type { AdapterPayload } from 'oidc-provider'
import type { Application } from '../directory/application.ts'
import { type CertificateKey, isGood } from '../directory/credentials.ts'

const CODE = 'authorization_code'
const REFRESH = 'refresh_token'
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code'
const DAEMON = 'client_credentials'
/** RFC 7523 section 2.1; see obo.ts. */
export const ON_BEHALF_OF = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
/** RFC 8693 section 2.1; see exchange.ts. */
export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'

/**
 * What oidc-provider needs to know of an application.
 * @param assertion the request proves the client by a signed assertion: an application may have certificates beside secrets
 */
export function toClient(app: Application, assertion: boolean, now: number): AdapterPayload {
  const { confidential } = app
  const keys = app.credentials.flatMap((one): CertificateKey[] => (one.kind === 'certificate' && isGood(one, now) ? [JSON.parse(one.value)] : []))
  const interactive = app.redirectUris.length > 0
  const device = app.type === 'native'
  return {
    client_id: app.appId,
    client_name: app.displayName,
    // A native app may come back on any port of the loopback address (RFC 8252 section 7.3).
    application_type: app.type === 'native' ? 'native' : 'web',
    redirect_uris: app.redirectUris,
    post_logout_redirect_uris: app.redirectUris,
    response_types: interactive ? ['code'] : [],
    grant_types: [
      ...(interactive ? [CODE] : []),
      ...(interactive || device ? [REFRESH] : []),
      ...(device ? [DEVICE] : []),
      ...(confidential ? [DAEMON] : []),
      // Only what is called with tokens has any to trade.
      ...(confidential && app.identifierUris.length > 0 ? [ON_BEHALF_OF, TOKEN_EXCHANGE] : []),
    ],
    token_endpoint_auth_method: !confidential ? 'none' : assertion ? 'private_key_jwt' : 'client_secret_post',
    // Never compared: the provider's comparison is replaced by one with the stored digests. It only has to be there.
    ...(confidential && !assertion ? { client_secret: app.id } : {}),
    ...(confidential && assertion ? { jwks: { keys: keys.map(({ jwk, thumbprint }) => ({ ...jwk, kid: thumbprint, use: 'sig' })) } } : {}),
    ...(app.backchannelLogout
      ? { backchannel_logout_uri: app.backchannelLogout.uri, backchannel_logout_session_required: app.backchannelLogout.sessionRequired }
      : {}),
    dpop_bound_access_tokens: app.dpopBound,
    id_token_signed_response_alg: 'ES256',
  } as AdapterPayload
}
