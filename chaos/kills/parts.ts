import { setTimeout as sleep } from 'node:timers/promises'

export type Kind = 'server' | 'guard' | 'nats' | 'postgres' | 'backend'

/** One process, or one with its children, that is started anew when it dies. */
export interface Unit {
  kind: Exclude<Kind, 'backend'>
  name: string
  /** Starts the process before it returns. Resolves when it does its work, rejects when it ends before. */
  start(): Promise<unknown>
  /** Whether there is a process to be killed. */
  alive(): boolean
  kill(): void | Promise<void>
  /** Resolves when the process that was started last is gone; with its last words, where it had some. */
  ended(): Promise<string>
}

export interface Part {
  unit: Unit
  up(): boolean
  /** Kills it. @returns whether there was something to kill */
  kill(): Promise<boolean>
  kills: number
  /** Of these, how many while it was still starting. */
  early: number
  /** Milliseconds from each start to the first work done. */
  times: number[]
  /** Last words of those that ended without having been killed, before they had done any work. */
  stillborn: string[]
  /** The same of those that had: nothing explains that. */
  fell: string[]
  /** Nothing is started any more; what runs is killed. */
  close(): Promise<void>
}

/** As systemd does, unless told otherwise (RestartSec). */
const PAUSE = 100

/**
 * Starts a unit again and again, as an init system would.
 * @param running it runs already
 */
export function keep(unit: Unit, running: boolean): Part {
  let up = false
  let over = false
  const part: Part = {
    unit,
    ...{ kills: 0, early: 0, times: [], stillborn: [], fell: [] },
    up: () => up,
    async kill() {
      if (!unit.alive()) return false
      part.kills++
      if (!up) part.early++
      up = false
      await unit.kill()
      return true
    },
    async close() {
      over = true
      if (unit.alive()) await unit.kill()
      await kept
    },
  }
  const kept = again()
  return part

  function ready(): Promise<boolean> {
    return unit.start().then(
      () => true,
      () => false,
    )
  }

  async function again(): Promise<void> {
    for (let first = true; !over; first = false) {
      const { kills } = part
      const from = performance.now()
      const known = first && running
      const works = known || (await ready())
      if (works && part.kills === kills) {
        up = true
        if (!known) part.times.push(performance.now() - from)
      }
      const words = await unit.ended()
      up = false
      if (part.kills === kills && !over) part[works ? 'fell' : 'stillborn'].push(words)
      if (!over) await sleep(PAUSE)
    }
  }
}
