import { randomBytes } from 'node:crypto'
import { EVENT, isObject, type StreamStatus } from '@caegis/protocol'
import { type Answer, type Caller, json, refuse, refuseScope } from './answer.ts'
import type { Settings } from './options.ts'
import type { StreamRecord } from './store.ts'
import { shorten } from './stream-request.ts'
import { findOwn } from './streams.ts'

/** The status endpoint (SSF 1.0 section 8.1.2), and the transmitter's own say. */
export interface Status {
  status(caller: Caller, streamId: string | undefined): Promise<Answer>
  updateStatus(caller: Caller, body: unknown): Promise<Answer>
  setStatus: SetStatus
}

/**
 * Changes a status on the transmitter's own account: the receiver is told by a stream-updated event.
 * @param still asked within the transaction; nothing changes when it says no
 * @returns the stream as it is now, unless there is none or `still` said no
 */
export type SetStatus = (
  streamId: string,
  status: StreamStatus,
  reason?: string,
  still?: (stream: StreamRecord) => boolean,
) => Promise<StreamRecord | undefined>

const MAX_REASON = 256

export function createStatus(settings: Settings): Status {
  const { store, now, log } = settings

  return {
    // SSF 1.0 section 8.1.2 leaves it to the transmitter which changes it takes: what its host has stopped stays stopped.
    setStatus: createSetStatus(settings, 'host'),

    async status(caller, streamId) {
      if (streamId === undefined) return refuse('invalid_request', { detail: 'stream_id' })
      const denied = refuseScope(caller, 'ssf.read')
      if (denied) return denied
      const stream = await findOwn(store, caller, streamId)
      if (!stream) return refuse('unknown_stream')
      await store.saveProgress(stream.id, { seenAt: now() / 1000 })
      return json(200, statusOf(stream))
    },

    async updateStatus(caller, body) {
      if (!isObject(body) || typeof body.stream_id !== 'string') return refuse('invalid_request', { detail: 'stream_id' })
      const denied = refuseScope(caller, 'ssf.manage')
      if (denied) return denied
      const own = await findOwn(store, caller, body.stream_id)
      if (!own) return refuse('unknown_stream')
      const { status, reason } = body
      if (!isStatus(status)) return refuse('invalid_request', { detail: 'status' })
      if (reason !== undefined && typeof reason !== 'string') return refuse('invalid_request', { detail: 'reason' })
      let fixed = false
      const still = (stream: StreamRecord) => {
        fixed = stream.statusFixed === true
        return !fixed
      }
      const changed = await transition(settings, own.id, { status, reason, by: 'receiver', still })
      if (!changed) return refuse('unknown_stream')
      if (fixed) return refuse('status_fixed')
      if (changed.guard && status !== 'enabled')
        log.warn('a guard stream was stopped by its receiver', { stream: own.id, receiver: own.receiver, status })
      return json(200, statusOf(changed))
    },
  }
}

export function createSetStatus(settings: Settings, by: 'host' | 'transmitter' = 'transmitter'): SetStatus {
  return async (streamId, status, reason, still) => {
    if (!isStatus(status)) throw new TypeError('status must be enabled, paused or disabled')
    let agreed = true
    const changed = await transition(settings, streamId, {
      status,
      reason,
      by,
      still: (stream) => {
        agreed = still?.(stream) ?? true
        return agreed
      },
    })
    if (!changed || !agreed) return undefined
    settings.log.info('stream status set', { stream: streamId, receiver: changed.receiver, status, ...(reason !== undefined && { reason }) })
    return changed
  }
}

interface Transition {
  status: StreamStatus
  reason: string | undefined
  /** `host`: an administrator's word, which a receiver cannot take back. */
  by: 'receiver' | 'transmitter' | 'host'
  still?: (stream: StreamRecord) => boolean
}

async function transition({ store, now }: Settings, id: string, { status, reason, by, still }: Transition): Promise<StreamRecord | undefined> {
  // What commits from here on is of the time after.
  const head = await store.head()
  const at = now() / 1000
  const said = reason === undefined ? undefined : shorten(reason, MAX_REASON)
  const control = {
    id: randomBytes(16).toString('base64url'),
    type: EVENT.streamUpdated,
    at: Math.floor(at),
    payload: { status, ...(said !== undefined && { reason: said }) },
  }
  return store.updateStream(id, (stream) => {
    if (still?.(stream) === false) return undefined
    const other = stream.status !== status
    const progress = {
      ...(by === 'receiver' && { seenAt: at }),
      // Disabled is not held (section 8.1.2): what committed meanwhile is never sent.
      ...(other && stream.status === 'disabled' && { acked: head.seq, ackedAhead: [] }),
    }
    return {
      config: { status, statusReason: said, ...(by === 'host' && { statusFixed: status === 'enabled' ? undefined : true }) },
      progress,
      // The receiver knows what it did itself; what it was told of an earlier status is moot by now (section 8.1.5).
      ...(other && { replaces: EVENT.streamUpdated }),
      ...(other && by !== 'receiver' && { control }),
    }
  })
}

/** How the reason begins of a stream that was paused because what was pushed to it was not taken. */
export const FAILS = 'delivery fails'

/** Paused because what was pushed to it was not taken, and not stopped by anybody else since. */
export function isGivenUp({ status, statusReason, statusFixed }: Pick<StreamRecord, 'status' | 'statusReason' | 'statusFixed'>): boolean {
  return status === 'paused' && statusFixed !== true && statusReason?.startsWith(FAILS) === true
}

function statusOf({ id, status, statusReason }: StreamRecord): Record<string, unknown> {
  return { stream_id: id, status, ...(statusReason === undefined ? {} : { reason: statusReason }) }
}

function isStatus(value: unknown): value is StreamStatus {
  return value === 'enabled' || value === 'paused' || value === 'disabled'
}
