import type { StreamStatus } from '@caegis/protocol'
import { isDigest } from '../segment.ts'
import { type Answer, type Caller, immutable, type Problem, refuse } from './answer.ts'
import { metadata } from './metadata.ts'
import { createMinter } from './mint.ts'
import { settle, type TransmitterOptions } from './options.ts'
import { createPoll } from './poll.ts'
import { createQueue } from './queue.ts'
import { createLetters, type Letters } from './redeliver.ts'
import { createSegments } from './segments.ts'
import { createSnapshot, type SnapshotPart } from './snapshot.ts'
import { createStatus } from './status.ts'
import type { StreamRecord } from './store.ts'
import { createStreams } from './streams.ts'
import { createSubjects } from './subjects.ts'
import { createTidy, type Tidy } from './tidy.ts'
import { createUpdate } from './update.ts'
import { createVerify } from './verify.ts'

/**
 * An SSF 1.0 transmitter over an injected store: each method is one endpoint, each answer a value. The host authenticates the caller (401) and parses the body
 * first; a body that is not JSON arrives as `undefined`.
 */
export interface Transmitter extends Letters, Tidy {
  /** `GET /.well-known/ssf-configuration...` (public). */
  metadata(): Record<string, unknown>
  /** `POST {base}/streams`. @param key of the request's `Idempotency-Key`, where it has one: asked again with it, it is the same stream */
  create(caller: Caller, body: unknown, key?: string): Promise<Answer>
  /** `GET {base}/streams[?stream_id=]` */
  read(caller: Caller, streamId: string | undefined): Promise<Answer>
  /** `PATCH {base}/streams` */
  update(caller: Caller, body: unknown): Promise<Answer>
  /** `PUT {base}/streams` */
  replace(caller: Caller, body: unknown): Promise<Answer>
  /** `DELETE {base}/streams?stream_id=` */
  remove(caller: Caller, streamId: string | undefined): Promise<Answer>
  /** `GET {base}/status?stream_id=` */
  status(caller: Caller, streamId: string | undefined): Promise<Answer>
  /** `POST {base}/status` */
  updateStatus(caller: Caller, body: unknown): Promise<Answer>
  /** `POST {base}/subjects/add` */
  addSubject(caller: Caller, body: unknown): Promise<Answer>
  /** `POST {base}/subjects/remove` */
  removeSubject(caller: Caller, body: unknown): Promise<Answer>
  /** `POST {base}/verify` */
  verify(caller: Caller, body: unknown): Promise<Answer>
  /** `POST {base}/poll/{stream}`; the signal ends the hold of a long poll, when the caller has gone. */
  poll(caller: Caller, streamId: string, body: unknown, signal: AbortSignal): Promise<Answer>
  /** `GET {base}/snapshot?stream_id=[&only=rules&since=]` */
  snapshot(caller: Caller, streamId: string | undefined, part?: SnapshotPart): Promise<Answer>
  /** `GET {base}/segments/{digest}` (public: what is in it, the snapshot gives the key to) */
  segment(digest: string, ifNoneMatch?: string): Promise<Answer>
  /** For the host and its administrators, in the transmitter's own name: what they stop, the receiver cannot start. */
  setStatus(streamId: string, status: StreamStatus, reason?: string): Promise<StreamRecord | undefined>
  /** Queues a verification event of the transmitter's own; says why, when it does not. */
  sendVerification(streamId: string): Promise<Problem | undefined>
}

/** @throws TypeError for settings with which it could not work */
export function createTransmitter(options: TransmitterOptions): Transmitter {
  const settings = settle(options)
  const queue = createQueue()
  const segments = createSegments(settings)
  const { setStatus, ...status } = createStatus(settings)
  return {
    metadata: () => metadata(settings),
    ...createStreams(settings),
    ...createUpdate(settings),
    ...status,
    ...createSubjects(settings),
    ...createTidy(settings, segments),
    ...createLetters(settings),
    setStatus: (streamId, to, reason) => setStatus(streamId, to, reason),
    ...createVerify(settings, queue),
    poll: createPoll(settings, createMinter(settings), queue),
    snapshot: createSnapshot(settings, segments),
    async segment(digest, ifNoneMatch) {
      const body = isDigest(digest) ? await settings.store.getSegment(digest) : undefined
      return body ? immutable(digest, body, ifNoneMatch) : refuse('unknown_segment')
    },
  }
}
