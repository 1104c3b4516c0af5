import { type CutoffDepth, type CutoffKind, EVENT, type EventPayload, type Subject } from '../../src/index.ts'

export const OWN = 'https://id.example/contoso/v2.0'
export const OTHER = 'https://other.example/v2.0'
/** `iat` of every SET below; its event time, where one is given, is told from it. */
export const IAT = 1_753_000_010
const T = 1_753_000_000

const alice = { format: 'iss_sub', iss: OWN, sub: 'alice' } as const
const strange = { format: 'iss_sub', iss: OTHER, sub: 'alice' } as const
const id = (value: string) => ({ format: 'opaque', id: value }) as const
const email = { format: 'email', email: 'alice@contoso.test' } as const
const complex = (members: object) => ({ format: 'complex', ...members }) as Subject

export interface CutoffVector {
  description: string
  spec: string
  type: string
  subject: Subject
  payload?: EventPayload
  /** Default: the issuer of the tokens itself. */
  trust?: 'own' | 'foreign'
  iss?: string
  want: 'none' | 'unmappable' | 'refused' | { kind: CutoffKind; id: string; issuer?: string; t?: number; depth: CutoffDepth }
}

const at = { event_timestamp: T }

/** Our own mapping from change to event, row by row. */
const table: CutoffVector[] = [
  {
    description: 'user disabled',
    type: EVENT.accountDisabled,
    subject: alice,
    payload: at,
    want: { kind: 'user', id: 'alice', t: T, depth: 'sign-in' },
  },
  {
    description: 'user deleted',
    type: EVENT.accountPurged,
    subject: alice,
    payload: at,
    want: { kind: 'user', id: 'alice', t: T, depth: 'sign-in' },
  },
  { description: 'user enabled', type: EVENT.accountEnabled, subject: alice, payload: at, want: 'none' },
  ...['update', 'revoke', 'delete'].map((change_type) => ({
    description: `password: ${change_type}`,
    type: EVENT.credentialChange,
    subject: alice,
    payload: { ...at, credential_type: 'password', change_type },
    want: { kind: 'user', id: 'alice', t: T, depth: 'sign-in' },
  })),
  ...['create', 'delete'].map((change_type) => ({
    description: `A10: MFA method, ${change_type}`,
    type: EVENT.credentialChange,
    subject: alice,
    payload: { ...at, credential_type: 'fido2-roaming', change_type },
    want: { kind: 'user', id: 'alice', t: T, depth: 'access' },
  })),
  {
    description: 'all sessions revoked',
    type: EVENT.sessionRevoked,
    subject: alice,
    payload: at,
    want: { kind: 'user', id: 'alice', t: T, depth: 'sign-in' },
  },
  {
    description: 'all sessions revoked, complex form',
    type: EVENT.sessionRevoked,
    subject: complex({ user: alice, tenant: id('contoso') }),
    payload: at,
    want: { kind: 'user', id: 'alice', t: T, depth: 'sign-in' },
  },
  {
    description: 'one session revoked',
    type: EVENT.sessionRevoked,
    subject: complex({ user: alice, session: id('s1') }),
    payload: at,
    want: { kind: 'session', id: 's1', t: T, depth: 'sign-in' },
  },
  {
    description: 'consent withdrawn',
    type: EVENT.sessionRevoked,
    subject: complex({ user: alice, application: id('spa') }),
    payload: at,
    want: { kind: 'grant', id: 'alice\nspa', t: T, depth: 'sign-in' },
  },
  {
    description: 'one token revoked',
    type: EVENT.sessionRevoked,
    subject: { format: 'jwt_id', iss: OWN, jti: 'j1' },
    payload: at,
    want: { kind: 'token', id: 'j1', t: T, depth: 'access' },
  },
  {
    description: 'user risk becomes high',
    type: EVENT.riskLevelChange,
    subject: alice,
    payload: { ...at, principal: 'USER', current_level: 'HIGH', previous_level: 'LOW' },
    want: { kind: 'user', id: 'alice', t: T, depth: 'access' },
  },
  {
    description: 'device not compliant',
    type: EVENT.deviceComplianceChange,
    subject: complex({ device: id('d1') }),
    payload: { ...at, previous_status: 'compliant', current_status: 'not-compliant' },
    want: { kind: 'device', id: 'd1', t: T, depth: 'access' },
  },
  {
    description: 'device lost: the transmitter names the depth',
    type: EVENT.deviceComplianceChange,
    subject: complex({ device: id('d1') }),
    payload: { ...at, current_status: 'not-compliant', caegis_depth: 'sign-in' },
    want: { kind: 'device', id: 'd1', t: T, depth: 'sign-in' },
  },
  {
    description: 'A1: a group changed',
    type: EVENT.tokenClaimsChange,
    subject: alice,
    payload: { ...at, claims: { groups: [] } },
    want: { kind: 'user', id: 'alice', t: T, depth: 'access' },
  },
  {
    description: 'service principal disabled',
    type: EVENT.accountDisabled,
    subject: complex({ application: id('nightly') }),
    payload: at,
    want: { kind: 'app', id: 'nightly', t: T, depth: 'sign-in' },
  },
  {
    description: 'a policy edit that blocks a live session: the transmitter names the depth',
    type: EVENT.sessionRevoked,
    subject: complex({ user: alice, session: id('s1') }),
    payload: { ...at, caegis_depth: 'access' },
    want: { kind: 'session', id: 's1', t: T, depth: 'access' },
  },
  {
    description: 'a policy edit that still allows a live session',
    type: EVENT.tokenClaimsChange,
    subject: complex({ user: alice, session: id('s1') }),
    payload: at,
    want: { kind: 'session', id: 's1', t: T, depth: 'access' },
  },
  {
    description: 'A9: groups changed, and the transmitter says that a new token would be allowed',
    type: EVENT.tokenClaimsChange,
    subject: alice,
    payload: { ...at, caegis_depth: 'claims' },
    want: { kind: 'user', id: 'alice', t: T, depth: 'claims' },
  },
  {
    description: 'A9: many sessions of an application, by a type that alone says more',
    type: EVENT.sessionRevoked,
    subject: complex({ application: id('spa') }),
    payload: { ...at, caegis_depth: 'claims' },
    want: { kind: 'app', id: 'spa', t: T, depth: 'claims' },
  },
  {
    description: 'A9: one token is never spared',
    type: EVENT.sessionRevoked,
    subject: { format: 'jwt_id', iss: OWN, jti: 'j1' },
    payload: { ...at, caegis_depth: 'claims' },
    want: { kind: 'token', id: 'j1', t: T, depth: 'access' },
  },
  {
    description: 'emergency stop',
    type: EVENT.sessionRevoked,
    subject: complex({ tenant: id('contoso') }),
    payload: at,
    want: { kind: 'tenant', id: 'contoso', t: T, depth: 'sign-in' },
  },
  { description: 'location rules changed', type: EVENT.locationRulesChanged, subject: complex({ tenant: id('contoso') }), want: 'none' },
  { description: 'signing key removed', type: EVENT.keysChanged, subject: complex({ tenant: id('contoso') }), want: 'none' },
].map((vector) => ({ ...vector, spec: 'ARCHITECTURE.md, words' }) as CutoffVector)

const times: CutoffVector[] = [
  {
    description: 'milliseconds are taken for a fault: the SET`s own second counts',
    payload: { event_timestamp: T * 1000 },
    want: { kind: 'user', id: 'alice', t: IAT, depth: 'sign-in' },
  },
  { description: 'the year 2099 too', payload: { event_timestamp: 4_070_908_800 }, want: { kind: 'user', id: 'alice', t: IAT, depth: 'sign-in' } },
  {
    description: 'five seconds ahead are skew',
    payload: { event_timestamp: IAT + 5 },
    want: { kind: 'user', id: 'alice', t: IAT + 5, depth: 'sign-in' },
  },
  { description: 'more are not', payload: { event_timestamp: IAT + 5.1 }, want: { kind: 'user', id: 'alice', t: IAT, depth: 'sign-in' } },
  { description: 'a fraction is floored', payload: { event_timestamp: T + 0.9 }, want: { kind: 'user', id: 'alice', t: T, depth: 'sign-in' } },
  { description: 'missing', payload: {}, want: { kind: 'user', id: 'alice', t: IAT, depth: 'sign-in' } },
  { description: 'text', payload: { event_timestamp: '1753000000' as never }, want: { kind: 'user', id: 'alice', t: IAT, depth: 'sign-in' } },
  { description: 'negative', payload: { event_timestamp: -1 }, want: { kind: 'user', id: 'alice', t: IAT, depth: 'sign-in' } },
  {
    description: 'not finite',
    payload: { event_timestamp: Number.POSITIVE_INFINITY },
    want: { kind: 'user', id: 'alice', t: IAT, depth: 'sign-in' },
  },
].map((vector) => ({ ...vector, spec: 'A6', type: EVENT.sessionRevoked, subject: alice }) as CutoffVector)

const subjects: CutoffVector[] = [
  {
    description: 'user and device are one principal, not two',
    subject: complex({ user: alice, device: id('d1') }),
    want: { kind: 'user-device', id: 'alice\nd1', depth: 'sign-in' },
  },
  {
    description: 'user, device and session: the session',
    subject: complex({ user: alice, device: id('d1'), session: id('s1') }),
    want: { kind: 'session', id: 's1', depth: 'sign-in' },
  },
  {
    description: 'user in a tenant never cuts the tenant',
    subject: complex({ tenant: id('contoso'), user: alice }),
    want: { kind: 'user', id: 'alice', depth: 'sign-in' },
  },
  {
    description: 'user in a group: the user',
    subject: complex({ group: id('finance'), user: alice }),
    want: { kind: 'user', id: 'alice', depth: 'sign-in' },
  },
  {
    description: 'device in a tenant: the device',
    subject: complex({ tenant: id('contoso'), device: id('d1') }),
    want: { kind: 'device', id: 'd1', depth: 'sign-in' },
  },
  {
    description: 'user, device and application: the grant',
    subject: complex({ user: alice, device: id('d1'), application: id('spa') }),
    want: { kind: 'grant', id: 'alice\nspa', depth: 'sign-in' },
  },
  { description: 'an organisational unit alone is no token`s', subject: complex({ org_unit: id('x') }), want: 'unmappable' },
  { description: 'a group alone is no token`s', subject: complex({ group: id('finance') }), want: 'unmappable' },
  {
    description: 'a group of a tenant must not cut the tenant',
    subject: complex({ tenant: id('contoso'), group: id('finance') }),
    want: 'unmappable',
  },
  { description: 'an organisational unit of a tenant neither', subject: complex({ tenant: id('contoso'), org_unit: id('x') }), want: 'unmappable' },
  {
    description: 'a member of another name beside the tenant neither',
    subject: complex({ tenant: id('contoso'), 'x-site': id('x') }),
    want: 'unmappable',
  },
  { description: 'e-mail', subject: email, want: 'unmappable' },
  { description: 'phone', subject: { format: 'phone_number', phone_number: '+1' }, want: 'unmappable' },
  { description: 'account', subject: { format: 'account', uri: 'acct:alice@contoso.test' }, want: 'unmappable' },
  { description: 'opaque alone', subject: id('x'), want: 'unmappable' },
  { description: 'user by e-mail', subject: complex({ user: email }), want: 'unmappable' },
  { description: 'user by e-mail on a device: not everybody on the device', subject: complex({ user: email, device: id('d1') }), want: 'unmappable' },
  {
    description: 'user by e-mail with a session: the session',
    subject: complex({ user: email, session: id('s1') }),
    want: { kind: 'session', id: 's1', depth: 'sign-in' },
  },
  {
    description: 'aliases: the one that tokens name',
    subject: { format: 'aliases', identifiers: [email, alice] },
    want: { kind: 'user', id: 'alice', depth: 'sign-in' },
  },
  { description: 'aliases that no token names', subject: { format: 'aliases', identifiers: [email] }, want: 'unmappable' },
  { description: 'a session by e-mail would widen to the user', subject: complex({ user: alice, session: email }), want: 'unmappable' },
  { description: 'a device by e-mail would widen to the user', subject: complex({ user: alice, device: email }), want: 'unmappable' },
  {
    description: 'user and application of different issuers',
    subject: complex({ user: alice, application: { format: 'iss_sub', iss: OTHER, sub: 'spa' } }),
    want: 'unmappable',
  },
].map((vector) => ({ ...vector, spec: 'A7', type: EVENT.sessionRevoked }) as CutoffVector)

const improvements: CutoffVector[] = [
  { description: 'risk low', type: EVENT.riskLevelChange, payload: { current_level: 'LOW', previous_level: 'HIGH' }, want: 'none' },
  {
    description: 'risk from high to medium',
    type: EVENT.riskLevelChange,
    payload: { current_level: 'MEDIUM', previous_level: 'HIGH' },
    want: 'none',
  },
  {
    description: 'risk from low to medium is none',
    type: EVENT.riskLevelChange,
    payload: { current_level: 'MEDIUM', previous_level: 'LOW' },
    want: { kind: 'user', id: 'alice', depth: 'access' },
  },
  {
    description: 'risk of unknown level counts as worse',
    type: EVENT.riskLevelChange,
    payload: {},
    want: { kind: 'user', id: 'alice', depth: 'access' },
  },
  {
    description: 'compliant again',
    type: EVENT.deviceComplianceChange,
    payload: { previous_status: 'not-compliant', current_status: 'compliant' },
    want: 'none',
  },
  { description: 'assurance up', type: EVENT.assuranceLevelChange, payload: { change_direction: 'increase' }, want: 'none' },
  {
    description: 'assurance down',
    type: EVENT.assuranceLevelChange,
    payload: { change_direction: 'decrease' },
    want: { kind: 'user', id: 'alice', depth: 'access' },
  },
  { description: 'account enabled', type: EVENT.accountEnabled, want: 'none' },
  { description: 'session established', type: EVENT.sessionEstablished, want: 'none' },
  { description: 'session presented', type: EVENT.sessionPresented, want: 'none' },
  {
    description: 'an improvement stays one, whatever depth is named',
    type: EVENT.accountEnabled,
    payload: { caegis_depth: 'sign-in' },
    want: 'none',
  },
  {
    description: 'a depth of another name is ignored',
    type: EVENT.accountDisabled,
    payload: { caegis_depth: 'none' },
    want: { kind: 'user', id: 'alice', depth: 'sign-in' },
  },
  { description: 'deprecated RISC sessions-revoked', type: EVENT.sessionsRevoked, want: { kind: 'user', id: 'alice', depth: 'sign-in' } },
  {
    description: 'credential compromise',
    type: EVENT.credentialCompromise,
    payload: { credential_type: 'password' },
    want: { kind: 'user', id: 'alice', depth: 'sign-in' },
  },
  { description: 'credential change required', type: EVENT.accountCredentialChangeRequired, want: { kind: 'user', id: 'alice', depth: 'access' } },
  {
    description: 'a first password',
    type: EVENT.credentialChange,
    payload: { credential_type: 'password', change_type: 'create' },
    want: { kind: 'user', id: 'alice', depth: 'access' },
  },
  { description: 'verification', type: EVENT.verification, want: 'none' },
  { description: 'stream updated', type: EVENT.streamUpdated, want: 'none' },
  { description: 'an event of another vocabulary', type: 'urn:ietf:params:scim:event:prov:delete', want: 'unmappable' },
  { description: 'an event named like an object member', type: 'constructor', want: 'unmappable' },
].map((vector) => ({ ...vector, spec: 'A7', subject: alice }) as CutoffVector)

const foreignDisabled: CutoffVector[] = [
  { description: 'foreign account-disabled: a user of ours', subject: alice, want: 'refused' },
  { description: 'foreign account-disabled: its own user', subject: strange, want: { issuer: OTHER, kind: 'user', id: 'alice', depth: 'sign-in' } },
  { description: 'foreign account-disabled: by e-mail', subject: email, want: 'unmappable' },
].map((vector) => ({ ...vector, spec: 'A7', type: EVENT.accountDisabled, trust: 'foreign', iss: OTHER }) as CutoffVector)

const facts: CutoffVector[] = [
  { description: 'another issuer`s user', subject: strange, want: 'refused' },
  { description: 'another issuer`s token', subject: { format: 'jwt_id', iss: OTHER, jti: 'j' }, want: 'refused' },
  {
    description: 'another issuer`s session of our user',
    subject: complex({ user: alice, session: { format: 'iss_sub', iss: OTHER, sub: 's' } }),
    want: 'refused',
  },
  {
    description: 'foreign: its own user',
    trust: 'foreign',
    iss: OTHER,
    subject: strange,
    want: { issuer: OTHER, kind: 'user', id: 'alice', depth: 'sign-in' },
  },
  {
    description: 'A9: foreign: spares nobody',
    trust: 'foreign',
    iss: OTHER,
    subject: strange,
    payload: { caegis_depth: 'claims' },
    want: { issuer: OTHER, kind: 'user', id: 'alice', depth: 'sign-in' },
  },
  { description: 'foreign: our break-glass admin', trust: 'foreign', iss: OTHER, subject: alice, want: 'refused' },
  {
    description: 'foreign: opaque members are its own',
    trust: 'foreign',
    iss: OTHER,
    subject: complex({ session: id('s1') }),
    want: { issuer: OTHER, kind: 'session', id: 's1', depth: 'sign-in' },
  },
  { description: 'foreign: a tenant', trust: 'foreign', iss: OTHER, subject: complex({ tenant: id('contoso') }), want: 'refused' },
  { description: 'foreign: an application', trust: 'foreign', iss: OTHER, subject: complex({ application: id('spa') }), want: 'refused' },
  {
    description: 'foreign: a tenant of ours',
    trust: 'foreign',
    iss: OTHER,
    subject: complex({ tenant: { format: 'iss_sub', iss: OWN, sub: 'contoso' } }),
    want: 'refused',
  },
].map((vector) => ({ ...vector, spec: 'A5', type: EVENT.sessionRevoked }) as CutoffVector)

export const cutoffVectors: CutoffVector[] = [...table, ...times, ...subjects, ...improvements, ...foreignDisabled, ...facts]
