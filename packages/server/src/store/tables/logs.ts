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
  /** `allowed`, `blocked`, `challenged` or `failed`: what its code means. */
  outcome: string
  /** How many decisions it stands for. */
  times: number
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
