/**
 * The claims request with which a client says that it can answer a challenge (`cp1`), and what a challenge asks for beside it. For libraries that know nothing of
 * client capabilities: it goes as the parameter `claims` into every authorization and token request. MSAL has `clientCapabilities` for that.
 */
export function capableClaims(claims = '{}'): string {
  const asked = JSON.parse(claims) as { access_token?: object }
  return JSON.stringify({ ...asked, access_token: { ...asked.access_token, xms_cc: { values: ['cp1'] } } })
}
