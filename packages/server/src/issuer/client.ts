import type { AdapterPayload } from 'oidc-provider'
import type { Application } from '../directory/application.ts'

const CODE = 'authorization_code'
const REFRESH = 'refresh_token'
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code'
const DAEMON = 'client_credentials'

/** What oidc-provider needs to know of an application. */
export function toClient(app: Application): AdapterPayload {
  const secret = app.secret !== null
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
      ...(secret ? [DAEMON] : []),
    ],
    token_endpoint_auth_method: secret ? 'client_secret_post' : 'none',
    // Never compared: the provider's comparison is replaced by one with the stored digest. It only has to be there.
    ...(secret ? { client_secret: app.secret as string } : {}),
    ...(app.backchannelLogout
      ? { backchannel_logout_uri: app.backchannelLogout.uri, backchannel_logout_session_required: app.backchannelLogout.sessionRequired }
      : {}),
    id_token_signed_response_alg: 'ES256',
  } as AdapterPayload
}
