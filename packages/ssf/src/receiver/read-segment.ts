import { CaegisError, type Cutoff, parseColumns } from '@caegis/protocol'
import { openSegment, type SegmentName } from '../segment.ts'
import { failure } from './errors.ts'
import { chunksOf, discard, open, startDeadline } from './exchange.ts'

export interface SegmentOptions {
  /** Where segments are; nobody is authorised there, so no token goes there. */
  endpoint: string
  issuer: string
  fetch: typeof globalThis.fetch
  /** Milliseconds for each pause. */
  timeout: number
  signal: AbortSignal
}

/**
 * Fetches a segment that a genuine snapshot named, and hands out what is in it only if it is that one to the last byte. What some cache holds instead is asked for once
 * more, past the caches.
 * @throws CaegisError `snapshot_refused`, `unavailable`
 */
export async function readSegment(name: SegmentName, options: SegmentOptions): Promise<Iterable<Cutoff[]>> {
  const plain =
    openSegment(await fetchBytes(name, options), name) ?? openSegment(await fetchBytes(name, options, { 'cache-control': 'no-cache' }), name)
  if (!plain) throw failure('snapshot_refused', 'a segment is another')
  return batchesOf(plain, options.issuer)
}

/** Never more than were announced: nothing else could be the segment. */
async function fetchBytes(
  { digest, bytes }: SegmentName,
  { endpoint, fetch, timeout, signal }: SegmentOptions,
  headers: Record<string, string> = {},
): Promise<Uint8Array> {
  const deadline = startDeadline(timeout, signal)
  try {
    const response = await open(fetch, `${endpoint}/${digest}`, { headers: { ...headers, accept: 'application/octet-stream' } }, deadline.signal)
    if (response.status !== 200) {
      discard(response)
      throw failure('unavailable', `segment: status ${response.status}`)
    }
    const body = Buffer.alloc(bytes)
    let at = 0
    for await (const chunk of chunksOf(response, deadline.signal)) {
      deadline.extend()
      if (at + chunk.byteLength > bytes) return new Uint8Array()
      body.set(chunk, at)
      at += chunk.byteLength
    }
    return body.subarray(0, at)
  } finally {
    deadline.end()
  }
}

/** While it is read it is parsed, a batch at a time. */
function* batchesOf(plain: Uint8Array, issuer: string): Generator<Cutoff[]> {
  try {
    yield* parseColumns(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(plain)), issuer)
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError || (error instanceof CaegisError && error.code === 'invalid_cutoffs'))
      throw failure('snapshot_refused', 'a segment cannot be read', error)
    throw error
  }
}
