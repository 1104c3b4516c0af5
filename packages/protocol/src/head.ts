import { CaegisError, PROTOCOL_ERRORS } from './errors.ts'
import { isIdentifier, isNumericDate, isObject } from './shape.ts'

export type StreamStatus = 'enabled' | 'paused' | 'disabled'

/**
 * Where a transmitter's log stood when it was read on the primary. A guard is as fresh as the newest head whose `seq` it has applied:
 * an open connection or an empty answer proves nothing.
 */
export interface Head {
  /** Renewed when the log may have lost rows (restore, lossy failover): a new epoch means a new snapshot. */
  epoch: string
  /** The last committed position; 0 for an empty log. */
  seq: number
  /** The transmitter's clock, in seconds with a fraction. */
  asOf: number
  status: StreamStatus
}

/** @throws CaegisError `invalid_head` */
export function parseHead(value: unknown): Head {
  if (!isObject(value)) throw invalid()
  const { epoch, seq, asOf, status } = value
  if (!isIdentifier(epoch, 64) || !Number.isSafeInteger(seq) || (seq as number) < 0 || !isNumericDate(asOf)) throw invalid()
  if (status !== 'enabled' && status !== 'paused' && status !== 'disabled') throw invalid()
  return { epoch, seq: seq as number, asOf, status }
}

function invalid(): CaegisError {
  return new CaegisError('invalid_head', PROTOCOL_ERRORS.invalid_head)
}
