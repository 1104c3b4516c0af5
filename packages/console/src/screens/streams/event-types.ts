const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/'
const RISC = 'https://schemas.openid.net/secevent/risc/event-type/'

/** What the log holds, as far as somebody would look for it. */
export const EVENT_TYPES: readonly string[] = [
  ...['session-revoked', 'credential-change', 'token-claims-change', 'device-compliance-change', 'risk-level-change', 'assurance-level-change'].map(
    (name) => CAEP + name,
  ),
  ...['account-disabled', 'account-enabled', 'account-purged', 'account-credential-change-required'].map((name) => RISC + name),
  ...['cutoffs', 'location-rules-changed', 'keys-changed'].map((name) => `urn:caegis:event:${name}`),
]
