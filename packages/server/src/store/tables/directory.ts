import type { Generated, Selectable } from 'kysely'

/** A row that decides something: `version` moves with every edit, so that a decision can be seen to be old. */
export interface Decisive {
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
  /** JSON array: detections of risk that are turned off. */
  risk_off: Generated<string>
  /** JSON of what differs from the server's own. */
  token_lifetimes: Generated<string>
  /** Days for which sign-ins and audits are kept, where that is fewer than the server keeps them. */
  log_retention: Generated<number | null>
  created_at: number
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
  /** Where its owner registered it, empty when unknown; `null` = somebody else did, over the admin API or by the tenant file. */
  registered_from: Generated<string | null>
  created_at: number
  deleted_at: number | null
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

export type UserRow = Selectable<UserTable>

export type ApplicationRow = Selectable<ApplicationTable>

export type DeviceRow = Selectable<DeviceTable>
