import { randomUUID } from 'node:crypto'
import { type Cutoff, isIdentifier, isObject, type SecurityEvent } from '@caegis/protocol'
import type { SegmentName } from '../segment.ts'
import { POLL_METHOD, type Position } from '../wire.ts'
import { createConnector } from './connect.ts'
import { isEndpoint, type TransmitterMetadata } from './discover.ts'
import { failure } from './errors.ts'
import type { FollowSettings } from './follow-options.ts'
import { readSegment } from './read-segment.ts'
import { readSnapshot, type Snapshot } from './read-snapshot.ts'
import type { StreamConfiguration } from './stream-configuration.ts'
import { verifySet } from './verify-set.ts'

/** One stream of ours at a transmitter, from its creation to its end. */
export interface Session {
  id: string
  /** Where the log stood when the stream was made; of a guard stream only. */
  start?: Position
  /** Where the transmitter's keys are. */
  jwksUri: string
  /** The transmitter speaks our extension. */
  extended: boolean
  poll(body: Record<string, unknown>, timeout: number): Promise<Record<string, unknown>>
  verify(jwt: string): Promise<SecurityEvent>
  /** Loads and verifies the snapshot; one older than `notBefore` is refused. */
  snapshot(notBefore: Position): Promise<Snapshot>
  /** Loads and verifies what a snapshot named. */
  segment(name: SegmentName, signal: AbortSignal): Promise<Iterable<Cutoff[]>>
  /** The same of the location rules alone, as far as they changed since a version. */
  rules(notBefore: Position, since: number): Promise<Snapshot>
  remove(timeout: number): Promise<void>
}

const REMOVE_WITHIN = 2000

/** Discovers the transmitter and makes sessions there. */
export function createSessions(settings: FollowSettings, signal: AbortSignal): () => Promise<Session> {
  const { issuer, now, stream: wanted } = settings
  const connect = createConnector(settings, signal)
  const fetching = { issuer, fetch: settings.fetch, timeout: settings.timing.timeout }

  /** Of the stream that was asked for and has not been heard of yet. */
  let key: string | undefined

  return async () => {
    const { metadata, jws, api } = await connect()
    const { snapshotEndpoint, segmentsEndpoint } = metadata
    if (wanted.guard && !(snapshotEndpoint && segmentsEndpoint)) throw failure('stream_refused', 'the transmitter has no snapshot')
    // What was made for a question whose answer got lost is found again: left behind, it would count as a guard that is silent (rule I5).
    key ??= randomUUID()
    const stream = await api.create(createBody(settings, metadata), key)
    key = undefined
    let start: Position | undefined
    let pollUrl: string
    try {
      start = check(stream, settings)
      pollUrl = pollUrlOf(stream, settings.insecure)
    } catch (error) {
      await api.remove(stream.id, REMOVE_WITHIN).catch(() => {})
      throw error
    }
    const load = (notBefore: Position, part?: { only: 'rules'; since: number }) => {
      const expected = { issuer, audience: stream.audience, streamId: stream.id, notBefore, only: part?.only }
      const read = (body: AsyncIterable<Uint8Array>) => readSnapshot(body, jws, { ...expected, now: now() }, signal)
      // Nothing in between can have an answer to it already.
      return api.snapshot(snapshotEndpoint as string, stream.id, read, {
        ...(part && { only: part.only, since: String(part.since) }),
        asked: randomUUID(),
      })
    }
    return {
      id: stream.id,
      ...(start && { start }),
      jwksUri: metadata.jwksUri,
      extended: snapshotEndpoint !== undefined,
      poll: (body, timeout) => api.poll(pollUrl, body, timeout),
      verify: (jwt) => verifySet(jws, jwt, { issuer, audience: stream.audience, now: now() }, signal),
      snapshot: (notBefore) => load(notBefore),
      segment: (name, ending) => readSegment(name, { ...fetching, endpoint: segmentsEndpoint as string, signal: ending }),
      rules: (notBefore, since) => load(notBefore, { only: 'rules', since }),
      remove: (timeout) => api.remove(stream.id, timeout),
    }
  }
}

function createBody(
  { stream: { events, description, subjects, alg, guard, evaluates } }: FollowSettings,
  metadata: TransmitterMetadata,
): Record<string, unknown> {
  return {
    delivery: { method: POLL_METHOD },
    ...(events === undefined ? {} : { events_requested: events }),
    ...(description === undefined ? {} : { description }),
    // A transmitter that does not know the extension may refuse the member.
    ...(metadata.snapshotEndpoint === undefined ? {} : { caegis: { subjects, alg, guard, ...(evaluates && { evaluates }) } }),
  }
}

/** Where a stream is polled; only a URL to which a bearer token may be sent. */
export function pollUrlOf(stream: StreamConfiguration, insecure: boolean): string {
  if (!isEndpoint(stream.endpointUrl, insecure)) throw failure('stream_refused', 'delivery')
  return stream.endpointUrl
}

/** The configuration must be what was asked for (SSF 1.0 section 8.1.1.1: `iss`, `aud`), or the stream would be less than its owner believes. */
function check(made: StreamConfiguration, { issuer, audience, stream }: FollowSettings): Position | undefined {
  if (made.iss !== issuer) throw failure('stream_refused', 'iss')
  if (audience !== undefined && !made.audience.includes(audience)) throw failure('stream_refused', 'aud')
  if (!stream.guard) return undefined
  const { extension } = made
  if (!isObject(extension) || extension.guard !== true || extension.subjects !== stream.subjects || extension.alg !== stream.alg) {
    throw failure('stream_refused', 'caegis')
  }
  // Less than what was said would keep from this guard what it could do; more, leave to it what it cannot.
  if (JSON.stringify(extension.evaluates) !== JSON.stringify(stream.evaluates)) throw failure('stream_refused', 'evaluates')
  const { start } = extension
  if (!isObject(start) || !isIdentifier(start.epoch, 64) || !Number.isSafeInteger(start.seq)) throw failure('stream_refused', 'start')
  return { epoch: start.epoch, seq: start.seq as number }
}
