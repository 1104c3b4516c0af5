import { type Filter, GreaterThanEqualsFilter } from 'ldapts'
import type { LdapConfig } from './config.ts'
import { toGeneralizedTime } from './person.ts'

/** Up to where a directory's changes have been read; kept between two passes. */
export interface Position {
  /** Everything that changed before it (a second of the directory's clock; an update sequence number) has been read. */
  caught: number
  /** The latest change that was met, and when (seconds of our clock) it was met first. */
  newest: number
  newestAt: number
  /** Which server counts so: sequence numbers are its own. */
  server: string
}

/** What one reading has met: from when to when by our clock, and the latest change. */
export interface Reading {
  began: number
  ended: number
  newest: number
}

/** Seconds for which a change may come later than its own stamp says: a replica that lags, a transaction that takes long. */
const OVERLAP = 30

/** What to add to the filter so that only changes come. */
export function changedSince(kind: LdapConfig['kind'], { caught }: Position): Filter {
  return kind === 'active-directory'
    ? new GreaterThanEqualsFilter({ attribute: 'uSNChanged', value: String(caught) })
    : new GreaterThanEqualsFilter({ attribute: 'modifyTimestamp', value: toGeneralizedTime(caught) })
}

/**
 * The position after a reading of a directory that stamps changes with the time. Only its own stamps are compared with each other: our clock says how long ago something was,
 * never what time it is there. When nothing newer comes for a while, the last stamps are not read again and again.
 */
export function afterStamps(before: Position | undefined, { began, ended, newest }: Reading): Position {
  const known = before?.newest ?? 0
  const fresh = newest > known
  // A time that the directory's clock had surely reached when this reading began.
  const reached = fresh ? newest - Math.max(0, ended - began) : known + Math.max(0, began - (before?.newestAt ?? began))
  const latest = Math.max(newest, known)
  return {
    caught: Math.max(before?.caught ?? 0, Math.floor(Math.min(latest + 1, reached - OVERLAP)), 0),
    newest: latest,
    newestAt: fresh ? Math.floor(ended) : (before?.newestAt ?? Math.floor(ended)),
    server: '',
  }
}
