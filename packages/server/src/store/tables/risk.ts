import type { Generated, Selectable } from 'kysely'

/** One attempt to sign in on a page, as detections look at it; kept for 30 days. */
export interface RiskSignalTable {
  tenant: string
  id: string
  /** Seconds. */
  at: number
  kind: 'interactive' | 'refresh'
  outcome: 'success' | 'failure'
  /** `null` = nobody has the name that was given. */
  user_id: string | null
  /** A digest of a name that nobody has. */
  name: string | null
  address: string
  /** Empty when unknown. */
  network: string
  /** `-` = looked up, and of none; `null` = nobody could tell. */
  country: string | null
  /** JSON. */
  place: string | null
  /** A digest. */
  browser: string | null
  device_id: string | null
  /** The sign-in whose first proof it was. */
  sign_in: string | null
  /** 1 = something was found about it that nothing has answered. */
  doubted: Generated<number>
  /** 1 = no password was looked at. */
  passwordless: Generated<number>
}

export type RiskSignalRow = Selectable<RiskSignalTable>

/** What was found about a user, or about one sign-in. */
export interface RiskDetectionRow {
  tenant: string
  /** Sorts by time. */
  id: string
  user_id: string
  /** As they were then. */
  user_name: string
  user_display_name: string
  /** Graph's `riskEventType`. */
  type: string
  level: 'low' | 'medium' | 'high'
  about: 'signIn' | 'user'
  /** Graph's `riskState`; `atRisk` = open. */
  state: string
  detail: string
  why: string
  /** JSON: never a secret. */
  facts: string
  /** The sign-in that it was found at. */
  sign_in: string | null
  /** Of the record in the sign-in log. */
  correlation: string
  address: string
  country: string | null
  /** Seconds. */
  activity_at: number
  detected_at: number
  updated_at: number
}

/** What was thought of a user over time. */
export interface RiskHistoryRow {
  tenant: string
  /** Sorts by time. */
  id: string
  user_id: string
  at: number
  level: string
  state: string
  detail: string
  /** The administrator or application that said so; `null` = what was found, or the user's own doing. */
  by: string | null
  /** JSON: types of what was found. */
  events: string
}
