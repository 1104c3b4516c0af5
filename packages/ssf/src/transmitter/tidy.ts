import { timeoutOf } from './configuration.ts'
import { createCursor } from './cursor.ts'
import { isAhead } from './live.ts'
import type { Settings } from './options.ts'
import type { Segments } from './segments.ts'
import { createSetStatus } from './status.ts'
import type { StreamChange, StreamRecord } from './store.ts'

/** What the host calls from time to time. */
export interface Tidy {
  /** Tends the segments of the snapshot; ends the streams of receivers that are silent, and those that are too far behind (SSF 1.0 section 8.1.1: `inactivity_timeout`). Returns their ids. */
  tidy(): Promise<{ silent: string[]; lagging: string[] }>
  /**
   * Ends the streams that still need a row below a position, so that the host may then remove these rows: a cursor never skips one silently. Returns their ids.
   */
  cut(belowSeq: number): Promise<string[]>
}

export function createTidy(settings: Settings, segments: Segments): Tidy {
  const { store, now, limits, log } = settings
  const setStatus = createSetStatus(settings)

  async function remove(stream: StreamRecord, reason: string): Promise<void> {
    await store.deleteStream(stream.id)
    log.info('stream deleted', { stream: stream.id, receiver: stream.receiver, reason })
  }

  /** A guard makes a new stream and loads the snapshot, which no status would make it do; others are told, and lose what they did not fetch. */
  async function endLagging(stream: StreamRecord): Promise<void> {
    if (stream.guard) await remove(stream, 'lagging')
    else await setStatus(stream.id, 'disabled', 'lagging')
  }

  function isSilent(stream: StreamRecord): boolean {
    const timeout = timeoutOf(settings, stream)
    return timeout !== undefined && now() / 1000 - (stream.seenAt ?? stream.createdAt) > timeout
  }

  return {
    async tidy() {
      await segments.tend()
      const { seq } = await store.head()
      const ended = { silent: [] as string[], lagging: [] as string[] }
      for (const { id } of await store.allStreams()) {
        // Read again: the receiver may have called meanwhile.
        const read = await store.getStream(id)
        const stream = read && setRight(read, now() / 1000) ? await store.updateStream(id, (known) => setRight(known, now() / 1000)) : read
        if (!stream) continue
        if (isSilent(stream) && stream.guard) {
          await remove(stream, 'inactive')
          ended.silent.push(id)
        } else if (stream.status === 'enabled' && isSilent(stream)) {
          const paused = await setStatus(id, 'paused', 'inactive', (current) => current.status === 'enabled' && isSilent(current))
          if (paused) ended.silent.push(id)
        }
        if (stream.status !== 'disabled' && seq - stream.acked > limits.backlog) {
          await endLagging(stream)
          ended.lagging.push(id)
        }
      }
      return ended
    },

    async cut(belowSeq) {
      const head = await store.head()
      const lagging: string[] = []
      for (const stream of await store.allStreams()) {
        if (stream.status === 'disabled' || stream.acked + 1 >= belowSeq) continue
        // What is not for this stream holds nothing up, though nobody may have looked at it yet.
        const cursor = createCursor(stream, head, store, belowSeq - 1 - stream.acked)
        const [needed] = await cursor.scan(1, () => false)
        if (needed && needed.seq < belowSeq) {
          await endLagging(stream)
          lagging.push(stream.id)
        } else await store.saveProgress(stream.id, cursor.progress(), head.epoch)
      }
      return lagging
    },
  }
}

/**
 * What was said while the clock was ahead outlives whatever is said by the right time, where several servers know the most of each other. Who is silent cannot be
 * known from it: the time starts again now. What a guard had applied it says with its next poll, if there is one.
 */
function setRight({ seenAt, applied }: StreamRecord, now: number): StreamChange | undefined {
  const progress = {
    ...(seenAt !== undefined && isAhead(seenAt, now) && { seenAt: now }),
    ...(applied && isAhead(applied.asOf, now) && { applied: undefined }),
  }
  return Object.keys(progress).length > 0 ? { progress } : undefined
}
