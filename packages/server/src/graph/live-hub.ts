import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../log.ts'
import type { SignIn } from '../logs/sign-in.ts'
import type { SignIns } from '../logs/sign-ins.ts'
import type { LoopLook, Signals } from './signals.ts'

export const TOPICS = ['events', 'signIns', 'loop', 'streams'] as const
export type Topic = (typeof TOPICS)[number]

/** What is new for one listener; what it does not take in time is put together, and never waits in a line. */
export interface News {
  loop?: LoopLook
  /** Streams that changed. */
  streams: string[]
  signIns: SignIn[]
  /** Sign-ins that were dropped before it looked. */
  missed: number
  /** A while has passed: something should be said again. */
  beat: boolean
}

export interface Listener {
  /** Takes what is new; nothing when only the log went on. */
  take(): News
  /** Resolves when there is something new, when a while has passed, or when the signal aborts. */
  news(signal: AbortSignal): Promise<void>
  leave(): void
}

/** What all live connections of one tenant listen to: each thing is looked at once, whoever listens, and not at all when nobody does. */
export interface LiveHub {
  join(topics: ReadonlySet<Topic>): Listener
}

export interface LiveHubOptions {
  signals: Pick<Signals, 'streams' | 'deliveries' | 'hops'>
  signIns: Pick<SignIns, 'watch' | 'read'>
  log: Log
  /** Milliseconds between two looks at the loop. */
  every?: number
  /** Milliseconds after which new sign-ins are read: many at once, and none before it is committed. */
  collect?: number
}

/** Looks after which is looked although nothing happened (silence is a state, too), and something is said so that the connection lives. */
const IDLE_LOOKS = 5
/** How often a sign-in is looked for. */
const PATIENCE = 3
/** Sign-ins that are kept for one listener, and read at once. */
const MOST = 500
/** Sign-ins that are looked for; who writes more of them in a moment has nobody who could read them. */
const MOST_WRITTEN = 5000

export function createLiveHub({ signals, signIns, log, every = 2000, collect = 200 }: LiveHubOptions): LiveHub {
  interface Member {
    topics: ReadonlySet<Topic>
    loop: LoopLook | undefined
    streams: Set<string>
    signIns: Map<string, SignIn>
    missed: number
    beat: boolean
    wake: PromiseWithResolvers<void>
  }
  const members = new Set<Member>()
  /** The last look: what is the same again is not said again. */
  let last: { look: LoopLook; text: string } | undefined
  /** Something happened since the last look. */
  let stirred = true
  let idle = 0
  /** Sign-ins that were written a moment ago: how often they were looked for, and what was said of them. */
  const written = new Map<string, { looks: number; said: string }>()
  let reading: NodeJS.Timeout | undefined
  let stop: (() => void) | undefined

  const listening = (topic: Topic) => [...members].filter(({ topics }) => topics.has(topic))

  const failed = (error: unknown): undefined =>
    void log.error('what live connections are told could not be read', { message: error instanceof Error ? error.message : 'unknown' })

  function start(): () => void {
    const over = new AbortController()
    const ends = [
      signals.deliveries.watch(() => {
        stirred = true
      }),
      signIns.watch((id) => {
        const hearing = listening('signIns')
        if (hearing.length === 0) return
        if (written.size >= MOST_WRITTEN) {
          for (const one of hearing) one.missed++
          return
        }
        written.set(id, { looks: 0, said: written.get(id)?.said ?? '' })
        reading ??= setTimeout(readSignIns, collect).unref()
      }),
    ]
    void followLog(over.signal)
    const timer = setInterval(tick, every)
    timer.unref()
    stirred = true
    return () => {
      over.abort()
      clearInterval(timer)
      clearTimeout(reading)
      reading = undefined
      for (const end of ends) end()
      written.clear()
      last = undefined
    }
  }

  async function followLog(signal: AbortSignal): Promise<void> {
    let isAway = false
    while (!signal.aborted) {
      try {
        const { seq } = await signals.streams.head()
        isAway = false
        stirred = true
        for (const one of listening('events')) one.wake.resolve()
        await signals.streams.wait(seq, signal)
      } catch (error) {
        // Once: an outage is one thing to know. Who listens now hears of what comes after it.
        if (!isAway) failed(error)
        isAway = true
        await sleep(every, undefined, { signal, ref: false }).catch(() => {})
      }
    }
  }

  function tick(): void {
    if (++idle >= IDLE_LOOKS) {
      idle = 0
      stirred = true
      for (const one of members) {
        one.beat = true
        one.wake.resolve()
      }
    }
    if (written.size > 0) void readSignIns()
    if (stirred && (listening('loop').length > 0 || listening('streams').length > 0)) void look()
  }

  async function look(): Promise<void> {
    stirred = false
    const found = await signals.hops.look().catch(failed)
    if (!found || !stop) return
    const text = JSON.stringify(found.hops)
    if (text !== last?.text)
      for (const one of listening('loop')) {
        one.loop = found
        one.wake.resolve()
      }
    const before = last?.look.streams ?? found.streams
    const changed = [...new Set([...before.keys(), ...found.streams.keys()])].filter((id) => before.get(id) !== found.streams.get(id))
    if (changed.length > 0)
      for (const one of listening('streams')) {
        for (const id of changed) one.streams.add(id)
        one.wake.resolve()
      }
    last = { look: found, text }
  }

  async function readSignIns(): Promise<void> {
    clearTimeout(reading)
    reading = undefined
    const ids = [...written.keys()].slice(0, MOST)
    const found = new Map(((await signIns.read(ids).catch(failed)) ?? []).map((one) => [one.id, one]))
    for (const id of ids) {
      const known = written.get(id)
      if (!known) continue
      const record = found.get(id)
      const text = record ? JSON.stringify(record) : known.said
      if (record && text !== known.said) for (const one of listening('signIns')) keep(one, record)
      written.delete(id)
      // Once more, behind those that nobody has looked for: it may not be committed yet, or what completes it may be under way.
      if (known.looks + 1 < PATIENCE) written.set(id, { looks: known.looks + 1, said: text })
    }
    if (ids.length === MOST) reading ??= setTimeout(readSignIns, collect).unref()
  }

  function keep(member: Member, record: SignIn): void {
    member.signIns.set(record.id, record)
    if (member.signIns.size > MOST) {
      member.signIns.delete(member.signIns.keys().next().value as string)
      member.missed++
    }
    member.wake.resolve()
  }

  return {
    join(topics) {
      const member: Member = {
        ...{ topics, loop: last?.look, streams: new Set(), signIns: new Map(), missed: 0 },
        ...{ beat: false, wake: Promise.withResolvers() },
      }
      members.add(member)
      stop ??= start()
      // Whoever comes first, or into a quiet hour, is told at once how things stand.
      if (!last && (topics.has('loop') || topics.has('streams'))) void look()
      return {
        take() {
          member.wake = Promise.withResolvers()
          const { loop, streams, signIns: seen, missed, beat } = member
          Object.assign(member, { loop: undefined, streams: new Set(), signIns: new Map(), missed: 0, beat: false })
          return { ...(loop && topics.has('loop') ? { loop } : {}), streams: [...streams], signIns: [...seen.values()], missed, beat }
        },
        async news(signal) {
          const { promise, resolve } = member.wake
          const end = () => resolve()
          if (signal.aborted) return
          signal.addEventListener('abort', end, { once: true })
          await promise
          signal.removeEventListener('abort', end)
        },
        leave() {
          members.delete(member)
          if (members.size > 0) return
          stop?.()
          stop = undefined
        },
      }
    },
  }
}
