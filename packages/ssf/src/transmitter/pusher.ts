import { PUSH_METHOD } from '../wire.ts'
import { createLane, type Lane, type LaneState } from './lane.ts'
import { createMinter } from './mint.ts'
import { type PusherOptions, settlePush } from './push-options.ts'
import { createRecorder } from './recorder.ts'
import { createSetStatus } from './status.ts'

/** Delivers the push streams of one transmitter (RFC 8935) until it is closed. */
export interface Pusher {
  /** How each stream fares. */
  status(): LaneState[]
  close(): Promise<void>
}

/** Milliseconds after a failure of the store. */
const OWN_PAUSE = 1000

/**
 * One pusher at a time may run over a store: two would deliver everything twice, and could turn the order of two events about one subject around. Which node
 * runs it is the host's decision.
 *
 * Streams take turns, one SET each; those that fail may together fill half of the places at most, so that dead receivers slow nobody down.
 * @throws TypeError for settings with which it could not work
 */
export function createPusher(options: PusherOptions): Pusher {
  const settings = settlePush(options)
  const { store, pushLimits, sleep, log } = settings
  const closing = new AbortController()
  const lanes = new Map<string, Lane>()
  const leaving = new Set<Promise<void>>()
  const records = createRecorder(settings)
  let recorded = Promise.resolve()
  let turn = 0
  let pumping = false
  const parts = {
    mint: createMinter(settings),
    setStatus: createSetStatus(settings),
    recorder: {
      ...records,
      add(...what: Parameters<typeof records.add>) {
        records.add(...what)
        // What is added while one batch is stored goes into the next.
        recorded = recorded.then(records.flush)
      },
    },
    changed,
  }
  const watching = watch()

  async function watch(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        const { seq } = await store.head()
        // Waiting begins before anything is read: what changes from here on wakes us.
        const woken = store.wait(seq, closing.signal)
        woken.catch(() => {})
        const streams = await store.allStreams(PUSH_METHOD)
        const ids = new Set(streams.map((stream) => stream.id))
        for (const [id, lane] of lanes) if (!ids.has(id)) leave(id, lane)
        for (const id of ids) if (!lanes.has(id)) lanes.set(id, createLane(id, settings, parts))
        for (const lane of lanes.values()) lane.refresh()
        await woken
      } catch (error) {
        if (closing.signal.aborted) return
        log.error('push streams could not be read', { error: error instanceof Error ? error.name : 'unknown' })
        await sleep(OWN_PAUSE, closing.signal)
      }
    }
  }

  function leave(id: string, lane: Lane): void {
    lanes.delete(id)
    const left = lane.close().finally(() => leaving.delete(left))
    leaving.add(left)
  }

  /** However many lanes change in one turn of the event loop (after a commit, all of them), the ring is walked once. */
  function changed(): void {
    if (pumping) return
    pumping = true
    queueMicrotask(pump)
  }

  function pump(): void {
    pumping = false
    if (closing.signal.aborted) return
    const ring = [...lanes.values()]
    let flying = 0
    let failing = 0
    for (const lane of ring) {
      flying += lane.flying
      if (lane.failing) failing += lane.flying
    }
    for (let idle = 0; idle < ring.length && flying < pushLimits.total; turn++) {
      const lane = ring[turn % ring.length] as Lane
      const room = !lane.failing || failing < Math.max(1, Math.floor(pushLimits.total / 2))
      if (!room || !lane.start()) {
        idle++
        continue
      }
      idle = 0
      flying++
      if (lane.failing) failing++
    }
  }

  return {
    status: () => [...lanes.values()].map((lane) => lane.state()),
    async close() {
      closing.abort()
      for (const [id, lane] of lanes) leave(id, lane)
      await Promise.all([watching, ...leaving])
      await recorded
    },
  }
}
