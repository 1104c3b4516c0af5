import type { CutoffDepth } from '@caegis/protocol'

import type { Generated } from 'kysely'

export interface EventRecord {
  tenant: string
  seq: number
  id: string
  txn: string
  type: string
  at: number
  /** Of the commit, beyond the whole second `at`: for figures of how long the rest took, and for nothing that decides. */
  ms: Generated<number>
  /** JSON `{ simple?, complex }`, both forms as they were at commit. */
  subject: string
  /** JSON event payload. */
  payload: string
  /** The application to whose streams it does not go: it was learnt from there. */
  origin: string | null
  /** Whom it is about, where that is one user. */
  user_id: string | null
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

/** Which segments a tenant's snapshot has. */
export interface SegmentListRow {
  tenant: string
  version: number
  /** JSON of the list, with the keys of the segments. */
  sealed: Uint8Array
}

export interface SegmentRow {
  tenant: string
  /** SHA-256 of `sealed`, base64url. */
  digest: string
  /** Since when no list names it. */
  left_at: number | null
  sealed: Uint8Array
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

/** How many deliveries of one hour a receiver took, by its own word, and how many failed. */
export interface DeliveryCountRow {
  tenant: string
  stream: string
  /** Since 1970. */
  hour: number
  acked: number
  applied: number
  failed: number
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
