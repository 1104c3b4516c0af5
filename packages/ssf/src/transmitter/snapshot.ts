import { createHash } from 'node:crypto'
import { packCutoffs } from '@caegis/protocol'
import { SEAL_TYPE } from '../wire.ts'
import { type Answer, type Caller, refuse, refuseScope, streamed } from './answer.ts'
import type { Settings } from './options.ts'
import type { Segments } from './segments.ts'
import type { StreamRecord } from './store.ts'
import { findOwn } from './streams.ts'

/** A reader may bound its lines at 1 MiB. */
const LINE_SEGMENTS = 1000

/** What of a snapshot is asked for, as it stands in the URL. */
export interface SnapshotPart {
  only?: string | undefined
  since?: string | undefined
}

/**
 * The snapshot (our extension): what a receiver that starts now must know of what happened before.
 *
 *     {"head": {epoch, seq, asOf, status}, "event": id}    which event stands there
 *     {"segments": [[digest, bytes, key], ...]}            where most of the cutoffs are (see segments.ts), and what opens it
 *     {"cutoffs": [[kind, id, t, depth, until], ...]}      those that no segment holds yet; both as often as needed
 *     {"rules": ...}                                       the location rules, a part each
 *     {"seal": JWS over iss, aud, iat, stream_id, epoch, seq and the SHA-256 of all bytes before this line}
 *
 * The position is read before the content: an event that commits meanwhile is in the content, in what follows the position, or in both, never in neither.
 * Sealed last, so that a copy that was cut short or altered proves nothing, and by the digests neither does a segment. `only=rules` leaves out the cutoffs, which its seal says too, and `since` what a guard has of
 * the rules already.
 */
export function createSnapshot(
  settings: Settings,
  segments: Segments,
): (caller: Caller, streamId: string | undefined, part?: SnapshotPart) => Promise<Answer> {
  return async (caller, streamId, { only, since = '0' } = {}) => {
    if (streamId === undefined) return refuse('invalid_request', { detail: 'stream_id' })
    if (only !== undefined && only !== 'rules') return refuse('invalid_request', { detail: 'only' })
    if (!/^\d{1,15}$/.test(since)) return refuse('invalid_request', { detail: 'since' })
    const denied = refuseScope(caller, 'ssf.read')
    if (denied) return denied
    const stream = await findOwn(settings.store, caller, streamId)
    if (!stream) return refuse('unknown_stream')
    // It lists everybody who was cut off: a receiver of selected events has no business with it.
    if (!stream.guard) return refuse('not_a_guard_stream')
    return streamed('application/x-ndjson', lines(settings, segments, stream, { only, since: Number(since) }))
  }
}

async function* lines(
  { issuer, store, sign, now, log }: Settings,
  segments: Segments,
  stream: StreamRecord,
  { only, since }: { only: 'rules' | undefined; since: number },
): AsyncGenerator<string, void, undefined> {
  const hash = createHash('sha256')
  const line = (json: string): string => {
    const text = `${json}\n`
    hash.update(text)
    return text
  }
  const head = await store.head()
  const [last] = head.seq > 0 ? await store.events(head.seq - 1, 1) : []
  const event = last?.seq === head.seq ? { event: last.id } : {}
  yield line(JSON.stringify({ head: { epoch: head.epoch, seq: head.seq, asOf: head.asOf, status: stream.status }, ...event }))
  if (only === undefined) {
    const { segments: named, later } = await segments.at(head)
    for (let at = 0; at < named.length; at += LINE_SEGMENTS) {
      const some = named.slice(at, at + LINE_SEGMENTS).map(({ digest, bytes, key }) => [digest, bytes, key])
      yield line(JSON.stringify({ segments: some }))
    }
    for (const cutoffs of packCutoffs(later)) yield line(JSON.stringify({ cutoffs }))
  }
  for await (const part of store.rules?.(since, stream.receiver) ?? []) yield line(JSON.stringify({ rules: part }))
  // A log that was replaced meanwhile leaves content and position without relation: end without a seal.
  if ((await store.head()).epoch !== head.epoch) {
    log.warn('snapshot abandoned: the log has a new epoch', { stream: stream.id })
    throw new Error('the log was replaced while the snapshot was read')
  }
  const seal = await sign(
    {
      iss: issuer,
      aud: stream.aud,
      iat: Math.floor(now() / 1000),
      stream_id: stream.id,
      epoch: head.epoch,
      seq: head.seq,
      sha256: hash.digest('base64url'),
      ...(only === undefined ? {} : { only }),
    },
    { typ: SEAL_TYPE, alg: stream.alg },
  )
  yield `${JSON.stringify({ seal })}\n`
  // Only now has the seal been taken from us.
  const hydrated = { epoch: head.epoch, at: now() / 1000 }
  await store.saveProgress(stream.id, { ...(only === undefined ? { hydrated } : {}), seenAt: now() / 1000 })
}
