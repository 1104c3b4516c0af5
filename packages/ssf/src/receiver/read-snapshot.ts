import { createHash } from 'node:crypto'
import {
  CaegisError,
  type Cutoff,
  type Head,
  isIdentifier,
  isNumericDate,
  isObject,
  type JsonObject,
  parseCutoffs,
  parseHead,
} from '@caegis/protocol'
import { isDigest, MAX_SEGMENT, MAX_SEGMENTS, type SegmentName } from '../segment.ts'
import { type Position, SEAL_TYPE } from '../wire.ts'
import { failure } from './errors.ts'
import type { JwsVerifier } from './verify-jws.ts'
import { namesAudience } from './verify-set.ts'

export interface SnapshotExpectation {
  issuer: string
  audience: readonly string[]
  streamId: string
  /** The oldest position that may be believed: an older one would leave out what the stream does not send again. */
  notBefore: Position
  /** Milliseconds. */
  now: number
  /** What was asked for; absent: everything. */
  only?: 'rules' | undefined
}

export interface Snapshot {
  head: Head
  /** Which event stands there. */
  event?: string
  /** Where most of the cutoffs are. */
  segments: SegmentName[]
  /** Those that are in none. */
  batches: Cutoff[][]
  /** The parts of the location rules, in their order; what they say is their owner's to read. */
  rules: JsonObject[]
}

/** The detail of `snapshot_refused` when the snapshot is genuine but too old. */
export const SNAPSHOT_TOO_OLD = 'older than the stream'

const MAX_LINE = 1_048_576
/** All lines together: a few million ranges of locations. */
const MAX_BYTES = 2 ** 31
const MAX_AHEAD = 60
const MAX_ID = 256
const LINE_FEED = 0x0a

/**
 * Reads a snapshot (line by line, each bounded) and believes it only when its seal is verified: whole, unaltered, from the transmitter, for this stream and
 * audience, and not older than the stream. Nothing is handed out before.
 * @throws CaegisError `snapshot_refused`, or what fetching the keys throws
 */
export async function readSnapshot(
  body: AsyncIterable<Uint8Array>,
  verifier: JwsVerifier,
  expected: SnapshotExpectation,
  signal?: AbortSignal,
): Promise<Snapshot> {
  const hash = createHash('sha256')
  let head: Head | undefined
  let event: string | undefined
  const segments: SegmentName[] = []
  const batches: Cutoff[][] = []
  const rules: JsonObject[] = []
  let seal: unknown
  for await (const bytes of linesOf(body)) {
    if (seal !== undefined) throw refused('something follows the seal')
    const line = parseLine(bytes)
    if ('seal' in line) {
      seal = line.seal
      continue
    }
    hash.update(bytes)
    if (!head) {
      head = readHead(line.head)
      if (isIdentifier(line.event, MAX_ID)) event = line.event
    } else if ('rules' in line) rules.push(readPart(line.rules))
    else if ('segments' in line && expected.only === undefined) segments.push(...readNames(line.segments, segments.length))
    else batches.push(readCutoffs(expected.only === undefined ? line.cutoffs : undefined, expected.issuer))
  }
  if (!head || seal === undefined) throw refused('truncated')
  await checkSeal(seal, head, hash.digest('base64url'), verifier, expected, signal)
  const { epoch, seq } = expected.notBefore
  if (head.epoch !== epoch || head.seq < seq) throw refused(SNAPSHOT_TOO_OLD)
  return { head, ...(event !== undefined && { event }), segments, batches, rules }
}

async function checkSeal(
  seal: unknown,
  head: Head,
  digest: string,
  verifier: JwsVerifier,
  expected: SnapshotExpectation,
  signal: AbortSignal | undefined,
): Promise<void> {
  let claims: unknown
  try {
    claims = await verifier.verify(seal, SEAL_TYPE, signal)
  } catch (error) {
    if (error instanceof CaegisError && error.code === 'set_refused') throw refused(`seal: ${String(error.detail)}`)
    throw error
  }
  if (!isObject(claims)) throw refused('seal')
  if (claims.iss !== expected.issuer) throw refused('seal: iss')
  if (!namesAudience(claims.aud, expected.audience)) throw refused('seal: aud')
  if (claims.stream_id !== expected.streamId) throw refused('seal: stream')
  if (claims.epoch !== head.epoch || claims.seq !== head.seq) throw refused('seal: position')
  if (claims.only !== expected.only) throw refused('seal: part')
  if (claims.sha256 !== digest) throw refused('seal: digest')
  if (!isNumericDate(claims.iat) || claims.iat > expected.now / 1000 + MAX_AHEAD) throw refused('seal: iat')
}

/** Lines with their line feed, as the digest covers them. */
async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  let rest: Uint8Array[] = []
  let length = 0
  let total = 0
  for await (const chunk of body) {
    total += chunk.byteLength
    if (total > MAX_BYTES) throw refused('too large')
    let from = 0
    for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, from)) {
      const end = chunk.subarray(from, at + 1)
      if (length + end.byteLength > MAX_LINE) throw refused('a line is too long')
      yield rest.length === 0 ? end : Buffer.concat([...rest, end])
      rest = []
      length = 0
      from = at + 1
    }
    if (from < chunk.byteLength) {
      rest.push(chunk.subarray(from))
      length += chunk.byteLength - from
      if (length > MAX_LINE) throw refused('a line is too long')
    }
  }
  if (rest.length > 0) throw refused('truncated')
}

const decoder = new TextDecoder('utf-8', { fatal: true })

function parseLine(bytes: Uint8Array): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(decoder.decode(bytes))
    if (isObject(value)) return value
  } catch {
    // Refused below.
  }
  throw refused('a line is not a JSON object')
}

function readHead(value: unknown): Head {
  try {
    return parseHead(value)
  } catch {
    throw refused('head')
  }
}

function readPart(value: unknown): JsonObject {
  if (!isObject(value)) throw refused('rules')
  return value
}

function readNames(value: unknown, before: number): SegmentName[] {
  if (!Array.isArray(value) || before + value.length > MAX_SEGMENTS) throw refused('segments')
  return value.map((one: unknown) => {
    const [digest, bytes, key] = Array.isArray(one) ? (one as unknown[]) : []
    if (!isDigest(digest) || !Number.isSafeInteger(bytes) || (bytes as number) < 1 || (bytes as number) > MAX_SEGMENT || !isDigest(key))
      throw refused('segments')
    return { digest, bytes: bytes as number, key }
  })
}

function readCutoffs(value: unknown, issuer: string): Cutoff[] {
  try {
    return parseCutoffs(value, issuer)
  } catch {
    throw refused('cutoffs')
  }
}

function refused(why: string): CaegisError {
  return failure('snapshot_refused', why)
}
