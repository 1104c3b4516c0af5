import type { Generated } from 'kysely'
import type { Decisive } from './directory.ts'

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

/** How often somebody guessed wrong, and until when the next guess waits; the key is a keyed digest of an account, a browser or an address. */
export interface ThrottleRow {
  tenant: string
  key: string
  failures: number
  /** Seconds: the last failure. */
  at: number
  until: number
}
