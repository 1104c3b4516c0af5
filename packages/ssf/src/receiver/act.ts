import type { SecurityEvent } from '@caegis/protocol'
import { failure } from './errors.ts'
import { type Handler, receivedEvent } from './handlers.ts'
import { type SeenStore, seenKey } from './seen.ts'

export type Acted = 'handled' | 'unhandled' | 'duplicate'

export interface ActorOptions {
  dispatch: (type: string) => Handler | undefined
  seen: SeenStore
  /** Milliseconds that a handler may take. */
  timeout: number
  /** Looks at an event before its handler does. */
  before: (event: SecurityEvent) => void
}

/**
 * Acts on an event once: whoever brings the same one meanwhile or later is told that it was done. It counts as seen only when its handler has ended, so a crash
 * in between makes it come again: at least once, never at most once.
 * @throws (the function) what the handler throws, `handler_timeout`, or what the store throws
 */
export function createActor({ dispatch, seen, timeout, before }: ActorOptions): (event: SecurityEvent) => Promise<Acted> {
  const underway = new Map<string, Promise<Acted>>()

  const once = async (event: SecurityEvent): Promise<Acted> => {
    if (await seen.has(event.iss, event.jti)) return 'duplicate'
    before(event)
    const handler = dispatch(event.type)
    if (handler) await limited(Promise.resolve(handler(receivedEvent(event))), timeout)
    await seen.add(event.iss, event.jti)
    return handler ? 'handled' : 'unhandled'
  }

  return async (event) => {
    const key = seenKey(event.iss, event.jti)
    const other = underway.get(key)
    if (other) return other.then(() => 'duplicate')
    const own = once(event).finally(() => underway.delete(key))
    underway.set(key, own)
    return own
  }
}

function limited(work: Promise<void>, timeout: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(failure('handler_timeout')), timeout)
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
