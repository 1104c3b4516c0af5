import type { Generated } from 'kysely'

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
  /** The same with its fraction: the order of the jobs. */
  asked: Generated<number>
  ended_at: number | null
}
