import type { SecurityEvent } from '@caegis/protocol'
import type { EventRow } from './store.ts'

/** The row as a guard would read it: the snapshot and the log must mean the same cutoffs. */
export function asSet(iss: string, { id, at, txn, type, subject, payload, seq }: EventRow): SecurityEvent {
  return { iss, jti: id, iat: at, aud: [iss], txn, subject: subject.complex, type, payload, seq }
}
