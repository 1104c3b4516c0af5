import type { CutoffDepth } from '@caegis/protocol'
import type { Generated, Selectable } from 'kysely'

/** A row that decides something: `version` moves with every edit, so that a decision can be seen to be old. */
interface Decisive {
  version: Generated<number>
  /** Second of the last `sign-in` cutoff: what was proved or issued at or before it is dead for good. 0 = never. */
  valid_from: Generated<number>
  /** Second of the last `access` cutoff: access tokens of it or earlier are dead. */
  access_from: Generated<number>
  /** Second of the last `claims` cutoff: access tokens of it or earlier are dead, but for those without cp1. */
  claims_from: Generated<number>
  /** The greatest `iat` minted under this row; a cutoff is never placed below it. */
  last_iat: Generated<number>
  /** The greatest `exp` minted under this row: the last instant at which a cutoff can hit a token. */
  tokens_until: Generated<number>
}

export interface TenantTable extends Decisive {
  id: string
  name: string
  display_name: string
  /** Renewed when the log may have lost rows. */
  epoch: string
  /** The last committed position of the log. */
  seq: Generated<number>
  /** The last position of a change of an object; see {@link ChangeRow}. */
  changes: Generated<number>
  /** Second of the emergency stop; `null` while the tenant runs. */
  stopped_at: Generated<number | null>
  /** The issuer as it was last served: for who changes the directory without the server (`caegis recover`). */
  issuer: Generated<string | null>
  /** Moves with every edit of a policy, a named location or a context: what was decided at an older one may be decided otherwise now. */
  policies_version: Generated<number>
  created_at: number
}

/** A Conditional Access policy. The row stays when it is deleted: tokens name it until they expire. */
export interface PolicyRow {
  tenant: string
  id: string
  name: string
  state: string
  /** JSON in Graph's shape. */
  body: string
  /** `policies_version` of its last edit. */
  version: number
  created_at: number
  changed_at: number | null
  deleted_at: number | null
}

/** A named location. */
export interface LocationRow {
  tenant: string
  id: string
  name: string
  kind: 'ip' | 'country'
  trusted: number
  /** JSON in Graph's shape, without the ranges. */
  body: string
  /** Ranges in CIDR notation, one a line: there may be a million. */
  ranges: Generated<string>
  /** As of a policy. */
  version: number
  created_at: number
  changed_at: number | null
  deleted_at: number | null
}

/** An authentication context: `c1` to `c99`. */
export interface ContextRow {
  tenant: string
  id: string
  display_name: string
  description: string | null
  available: number
}

/** What was decided last for one session (or daemon), client and API, and by which facts: looked at again when an edit may change it. */
export interface DecisionRow {
  tenant: string
  /** Digest of session, client and API. */
  id: string
  user_id: string | null
  sid: string | null
  app_id: string
  resource: string
  device_id: string | null
  /** 1 = its client can answer a challenge. */
  capable: number
  /** `policies_version` that it was decided at. */
  version: number
  /** The greatest `exp` that was given out by it. */
  tokens_until: number
  outcome: string
  /** Equal ones mean the same to clients and guards. */
  fingerprint: string
  /** JSON. */
  signals: string
  /** The first edit since it was decided that may change it although no policy was edited; `null` = none. A decision that takes its place knows of that edit. */
  job: Generated<string | null>
  /** How many edits have named it: who looks at it again sees that there was one more meanwhile. */
  marks: Generated<number>
}

/** An edit whose consequences for the living are being worked out. */
export interface ReevaluationRow {
  tenant: string
  /** The edit's txn. */
  id: string
  reason: string
  /** Second of the edit: its cutoffs are placed there, however late they are found. */
  t: number
  version: number
  /** JSON of whom it can concern, as far as there is room; `null` = everybody. */
  scope: string | null
  state: 'running' | 'done'
  /** Decisions: how many there are to look at, were looked at, and are others now. */
  total: Generated<number>
  done: Generated<number>
  changed: Generated<number>
  /** Those of the changed that are no permission any more. */
  lost: Generated<number>
  created_at: number
  ended_at: number | null
}

export interface UserTable extends Decisive {
  tenant: string
  id: string
  upn: string
  /** `upn` in lower case: unique among the living of a tenant. */
  upn_key: string
  display_name: string
  enabled: number
  password: string | null
  password_at: number | null
  /** JSON array of directory roles. */
  roles: string
  created_at: number
  deleted_at: number | null
  /** 1 = the emergency account; made and renewed on the host only. */
  break_glass: Generated<number>
  type: Generated<'member' | 'guest'>
  /** JSON of a guest's own account: `issuer` and `id`. */
  home: Generated<string | null>
  /** 1 = the password must be changed at the next sign-in. */
  password_expired: Generated<number>
  mail: Generated<string | null>
  given_name: Generated<string | null>
  surname: Generated<string | null>
  /** Who keeps this user: `` for this directory itself, otherwise the name of the system that it comes from. */
  source: Generated<string>
  /** What that system calls the user; unique within it, among the living. */
  external_id: Generated<string | null>
  /** Graph's words: `none`, `low`, `medium`, `high`. */
  risk_level: Generated<string>
  /** `none`, `atRisk`, `confirmedCompromised`, `dismissed`, `remediated`, `confirmedSafe`. */
  risk_state: Generated<string>
  risk_detail: Generated<string | null>
  /** Second of the last change of it. */
  risk_at: Generated<number | null>
}

export interface GroupRow {
  tenant: string
  id: string
  display_name: string
  description: Generated<string | null>
  /** As of a user. */
  source: Generated<string>
  external_id: Generated<string | null>
  created_at: Generated<number>
}

export interface MemberRow {
  tenant: string
  group_id: string
  user_id: string
}

/** When an object, or a membership, last changed: written by triggers. The row stays when the object goes. */
export interface ChangeRow {
  tenant: string
  kind: string
  id: string
  /** Of a membership: the member; empty for an object itself. */
  member: string
  position: number
  removed: number
  /** JSON: the positions at which its properties last changed; of a membership: what the member is. */
  parts: string
}

export interface ApplicationTable extends Decisive {
  tenant: string
  /** Object id. */
  id: string
  /** Client id. */
  app_id: string
  display_name: string
  type: 'spa' | 'web' | 'native' | 'daemon' | 'api'
  enabled: number
  cae: number
  /** It has, or once had, a credential: without a good one it is nobody, and never again a public client. */
  confidential: Generated<number>
  /** JSON arrays. */
  redirect_uris: string
  identifier_uris: string
  scopes: string
  permissions: string
  /** Where logout tokens go (OpenID Connect Back-Channel Logout 1.0). */
  logout_uri: Generated<string | null>
  /** 1 = they name the session, and so do its ID tokens. */
  logout_session: Generated<number>
  /** 1 = a user is asked before the application gets anything. */
  consent: Generated<number>
  /** 1 = no token for it without a proof of the key that it is bound to. */
  dpop_bound: Generated<number>
  optional_claims: Generated<string>
  /** Seconds. The row stays: what was given out before must not live on, and nobody else may take the client id. */
  deleted_at: Generated<number | null>
  /** As of a user, for a daemon. */
  risk_level: Generated<string>
}

/** What an application proves itself with. */
export interface CredentialRow {
  tenant: string
  app_id: string
  id: string
  kind: 'secret' | 'certificate'
  /** Keyed digest of a secret; JSON of a certificate's public JWK and SHA-256 thumbprint. */
  value: string
  display_name: string
  not_before: number
  expires_at: number | null
}

/** A group that is a member of another. */
export interface NestedRow {
  tenant: string
  group_id: string
  member_id: string
}

/** A role of an application, held by a user or a group. */
export interface AssignmentRow {
  tenant: string
  app_id: string
  role: string
  principal_id: string
}

export interface SessionTable extends Decisive {
  tenant: string
  id: string
  user_id: string
  /** Second at which the first factor was proved. */
  auth_time: number
  created_at: number
}

/** What an application holds of a user: made with its first token, and judged like the user's own row. */
export interface GrantTable extends Decisive {
  tenant: string
  user_id: string
  app_id: string
  /** JSON array of full scope names: what it got. */
  scopes: string
  /** JSON array of full scope names: what the user agreed to on a page. */
  consented: Generated<string>
  created_at: number
}

/** Something that somebody signs in from, known by a key of its own. The row stays when it is deleted: its instants hold for ever. */
export interface DeviceTable extends Decisive {
  tenant: string
  id: string
  display_name: string
  /** Its owner, for people to read; whoever holds its key may sign in from it. */
  user_id: string | null
  enabled: number
  /** `null` = nobody has looked. */
  compliant: number | null
  trust_type: string
  /** JSON of its public JWK. */
  public: string
  created_at: number
  deleted_at: number | null
}

/** Who has had a token on which device: made with the first one, and judged like the device's own row. */
export interface DeviceUserTable extends Decisive {
  tenant: string
  user_id: string
  device_id: string
  created_at: number
}

/** An access token that was revoked alone: counted against its owner until it would have expired. */
export interface RevokedTokenRow {
  tenant: string
  jti: string
  /** `user …`, `app …`: who is made to ask again for all tokens when too many are revoked one by one. */
  owner: string
  sid: string | null
  until: number
}

export interface KeyRow {
  tenant: string
  kid: string
  alg: string
  /** Sealed private JWK. */
  sealed: Uint8Array
  /** Public JWK as JSON. */
  public: string
  created_at: number
  /** Second from which it signs; until then it is only published. */
  active_from: number
}

/** What the OpenID provider keeps between requests, sealed: the row id is a keyed digest, so the table holds nothing that can be presented. */
export interface ArtifactRow {
  tenant: string
  model: string
  id: string
  sealed: Uint8Array
  grant_id: string | null
  uid: string | null
  user_code: string | null
  expires_at: number
  version: number
}

export interface EventRecord {
  tenant: string
  seq: number
  id: string
  txn: string
  type: string
  at: number
  /** JSON `{ simple?, complex }`, both forms as they were at commit. */
  subject: string
  /** JSON event payload. */
  payload: string
  /** The application to whose streams it does not go: it was learnt from there. */
  origin: string | null
}

export interface CutoffRecord {
  tenant: string
  kind: string
  /** 1 = of depth `claims`, which lies beside the others of the same key. */
  spares: Generated<0 | 1>
  id: string
  t: number
  depth: CutoffDepth
  until: number
}

export interface StreamRow {
  tenant: string
  id: string
  receiver: string
  /** JSON of the stream record's configuration. */
  config: string
  /** JSON of what moves: acknowledgements, what the receiver applied, when it was seen. */
  progress: string
}

export interface ControlRow {
  tenant: string
  stream: string
  id: string
  /** JSON of the control event. */
  event: string
}

export interface DeadLetterRow {
  tenant: string
  stream: string
  id: string
  /** JSON of the dead letter. */
  letter: string
  seq: number
}

/** What became of one event on one stream: the proof of a revocation is made of these. */
export interface DeliveryRow {
  tenant: string
  stream: string
  seq: number
  state: string
  jti: string
  txn: string | null
  at: number
  attempt: number
  reason: string | null
}

/** How often somebody guessed wrong, and until when the next guess waits; the key is a keyed digest of an account, a browser or an address. */
export interface ThrottleRow {
  tenant: string
  key: string
  failures: number
  /** Seconds: the last failure. */
  at: number
  until: number
}

export interface FactorRow {
  tenant: string
  user_id: string
  id: string
  kind: 'totp' | 'recovery' | 'passkey'
  sealed: Uint8Array
  name: string
  created_at: number
  last_used_at: number | null
}

/** How far the changes of an LDAP directory have been read. */
export interface LdapSourceRow {
  tenant: string
  source: string
  /** JSON. */
  state: string
}

/** Somebody who came from an LDAP directory. */
export interface LdapEntryRow {
  tenant: string
  source: string
  external_id: string
  user_id: string
  /** What says that the password is another one: a time, or a keyed digest of a hash. */
  password: string | null
  /** 1 = disabled because the directory said so, and by nobody else: it may say otherwise again. */
  held: number
}

/** Another transmitter whose events are taken. */
export interface UpstreamRow {
  tenant: string
  id: string
  issuer: string
  /** JSON: whom it may speak about, and what its events cause. */
  config: string
  /** What this server proves itself with there, and what pushes from there carry. */
  sealed: Uint8Array
  enabled: number
  created_at: number
  /** JSON: its stream, and how often that was lost. */
  state: string
}

/** A SET of an upstream: acted on, or (with its event as JSON) accepted and waiting for that. */
export interface UpstreamSetRow {
  tenant: string
  upstream: string
  iss: string
  jti: string
  /** Seconds, with a fraction. */
  at: number
  event: string | null
}

/** What a cause that began elsewhere has done here: each effect on each user once. */
export interface UpstreamActRow {
  tenant: string
  txn: string
  type: string
  user_id: string
  upstream: string
  at: number
}

/** An upstream that keeps a user disabled. Who is disabled without one was disabled here. */
export interface UpstreamHoldRow {
  tenant: string
  user_id: string
  upstream: string
}

/** What became of the events of an upstream, counted. */
export interface UpstreamOutcomeRow {
  tenant: string
  upstream: string
  outcome: string
  type: string
  count: number
  /** Second of the last one, and whom it was about (JSON). */
  at: number
  subject: string
}

/** One decision of the issuer; the columns beside the record are what it is looked for by. */
export interface SignInRow {
  tenant: string
  /** Sorts by time. */
  id: string
  user_id: string | null
  /** In lower case. */
  user_name: string | null
  app_id: string | null
  code: number
  /** 1 = not let in. */
  denied: number
  address: string
  correlation: string
  interactive: number
  policies: string
  /** JSON. */
  record: string
}

/** One committed change, or one that was refused to somebody who was known. */
export interface AuditRow {
  tenant: string
  /** Sorts by time. */
  id: string
  txn: string
  activity: string
  category: string
  result: string
  by_user: string | null
  by_app: string | null
  /** JSON. */
  record: string
}

/** What a change was done to. */
export interface AuditTargetRow {
  tenant: string
  target: string
  id: string
}

export type UserRow = Selectable<UserTable>
export type ApplicationRow = Selectable<ApplicationTable>
export type DeviceRow = Selectable<DeviceTable>

export interface Schema {
  tenants: TenantTable
  users: UserTable
  groups: GroupRow
  members: MemberRow
  changes: ChangeRow
  applications: ApplicationTable
  credentials: CredentialRow
  nested: NestedRow
  assignments: AssignmentRow
  sessions: SessionTable
  revoked_tokens: RevokedTokenRow
  grants: GrantTable
  devices: DeviceTable
  device_users: DeviceUserTable
  keys: KeyRow
  artifacts: ArtifactRow
  events: EventRecord
  cutoffs: CutoffRecord
  streams: StreamRow
  controls: ControlRow
  dead_letters: DeadLetterRow
  deliveries: DeliveryRow
  throttles: ThrottleRow
  upstreams: UpstreamRow
  upstream_sets: UpstreamSetRow
  upstream_acts: UpstreamActRow
  upstream_holds: UpstreamHoldRow
  upstream_outcomes: UpstreamOutcomeRow
  factors: FactorRow
  ldap_sources: LdapSourceRow
  ldap_entries: LdapEntryRow
  sign_ins: SignInRow
  audits: AuditRow
  audit_targets: AuditTargetRow
  policies: PolicyRow
  locations: LocationRow
  contexts: ContextRow
  decisions: DecisionRow
  reevaluations: ReevaluationRow
}
