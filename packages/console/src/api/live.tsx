import { useQueryClient } from '@tanstack/react-query'
import { createContext, type ReactNode, useContext, useEffect, useMemo, useState } from 'react'
import { type Api, ApiError } from './client.ts'
import { useApi } from './context.ts'
import { readEventStream } from './event-stream.ts'

export type Topic = 'events' | 'signIns' | 'loop' | 'streams'
/** `off` until somebody listens. */
export type LiveState = 'off' | 'connecting' | 'live' | 'lost'
/** Messages as the server names them: `event`, `gap`, `signIn`, `loop`, `streams`. */
export type Listener = (event: string, data: unknown) => void

interface Live {
  listen(topics: readonly Topic[], listener: Listener): () => void
  state(): LiveState
  onState(listener: () => void): () => void
  close(): void
}

/** Milliseconds before a lost connection is tried again; doubled up to the last. */
const AGAIN = [1000, 15_000] as const

/** One connection for everything that is on the screen (browsers open six to an origin), and none while nobody looks at the tab. */
function createLive(api: Api, onRefused: () => void): Live {
  const listeners = new Map<Listener, readonly Topic[]>()
  const stateListeners = new Set<() => void>()
  let state: LiveState = 'off'
  let position: string | undefined
  let running: { topics: string; stop: AbortController } | undefined

  const become = (next: LiveState) => {
    if (next === state) return
    state = next
    for (const listener of stateListeners) listener()
  }

  async function run(topics: string, stop: AbortSignal): Promise<void> {
    let wait: number = AGAIN[0]
    let refused = false
    while (!stop.aborted) {
      become('connecting')
      try {
        const at = position === undefined ? {} : { lastEventId: position }
        const body = await api.stream(`/caegis/live?topics=${topics}`, { signal: stop, ...at })
        become('live')
        wait = AGAIN[0]
        refused = false
        for await (const { id, event, data } of readEventStream(body)) {
          if (id !== undefined && id !== '') position = id
          if (stop.aborted) return
          if (data !== undefined) for (const listener of [...listeners.keys()]) listener(event, data)
        }
      } catch (error) {
        // Why is for an ordinary request to say; here it only means: not live. Who was refused asks for everything anew, and is told at once.
        if (error instanceof ApiError && !refused) onRefused()
        refused = error instanceof ApiError
      }
      if (stop.aborted) return
      become('lost')
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, wait)
        stop.addEventListener('abort', () => resolve(clearTimeout(timer)), { once: true })
      })
      wait = Math.min(wait * 2, AGAIN[1])
    }
  }

  const settle = () => {
    const topics = document.hidden ? '' : [...new Set([...listeners.values()].flat())].sort().join(',')
    if (topics === (running?.topics ?? '')) return
    running?.stop.abort()
    running = undefined
    if (topics === '') return become('off')
    running = { topics, stop: new AbortController() }
    void run(topics, running.stop.signal)
  }
  // Screens come and go in one turn: what they want together is settled after it.
  let timer: ReturnType<typeof setTimeout> | undefined
  const later = () => {
    clearTimeout(timer)
    timer = setTimeout(settle, 50)
  }
  document.addEventListener('visibilitychange', later)

  return {
    listen(topics, listener) {
      listeners.set(listener, topics)
      later()
      return () => {
        listeners.delete(listener)
        later()
      }
    },
    state: () => state,
    onState(listener) {
      stateListeners.add(listener)
      return () => stateListeners.delete(listener)
    },
    close() {
      document.removeEventListener('visibilitychange', later)
      clearTimeout(timer)
      running?.stop.abort()
    },
  }
}

const LiveContext = createContext<Live | undefined>(undefined)

export function LiveProvider({ children }: { children: ReactNode }) {
  const api = useApi()
  const queries = useQueryClient()
  const live = useMemo(() => createLive(api, () => void queries.invalidateQueries()), [api, queries])
  useEffect(() => live.close, [live])
  return <LiveContext value={live}>{children}</LiveContext>
}

function useLiveContext(): Live {
  const live = useContext(LiveContext)
  if (!live) throw new TypeError('useLive stands outside of a LiveProvider')
  return live
}

/** Told of everything in some topics while the component is there. The listener should be stable (`useCallback`). */
export function useLive(topics: readonly Topic[], listener: Listener): void {
  const live = useLiveContext()
  const names = topics.join(',')
  useEffect(() => live.listen(names.split(',') as Topic[], listener), [live, names, listener])
}

export function useLiveState(): LiveState {
  const live = useLiveContext()
  const [state, setState] = useState(live.state())
  useEffect(() => live.onState(() => setState(live.state())), [live])
  return state
}
