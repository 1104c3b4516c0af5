import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from './random.ts'

/**
 * What can happen to connections: bytes come late; stand still and go on later; are swallowed for good, the connection with them; go one by one; it is reset somewhere;
 * one of its two directions ends; or nobody is there.
 */
export const WIRE_FAULTS = ['delay', 'stall', 'blackhole', 'slow', 'cut', 'half-close up', 'half-close down', 'refuse'] as const
export type WireFault = (typeof WIRE_FAULTS)[number]

/** A proxy that knows bytes only. */
export interface Wire {
  port: number
  /** From now on, for connections that are there too. */
  set(fault: WireFault): void
  /** New connections are good. Old ones go on where they stood still; those that were swallowed stay so for ever, and nobody is told. */
  heal(): void
  /** Connections that were hit so far. */
  readonly hit: number
  close(): Promise<void>
}

type Direction = 'up' | 'down'
/** The end of what a side says, and its loss. */
type Item = Buffer | 'end' | 'reset'

interface Connection {
  sockets: Record<Direction, Socket>
  /** What was said and has not been handed on yet, by where it goes. */
  queues: Record<Direction, Item[]>
  pumping: Record<Direction, boolean>
  /** Bytes that still pass before the fault comes, by direction. */
  left: Record<Direction, number>
  ended: Record<Direction, boolean>
  swallowed: boolean
  counted: boolean
  gone: boolean
}

const DIRECTIONS = ['up', 'down'] as const
/** Bytes of a connection that waits, until its sender waits too. */
const FULL = 4 * 2 ** 20
/** Milliseconds, at most, of `delay`, and between two bits of `slow`. */
const LATE = 400
const TICK = 4
/** Bytes of `slow` that go one by one between two pauses. */
const BIT = 128

/** @param port where everything goes to, on this machine */
export async function startWire(port: number, random: Random): Promise<Wire> {
  const connections = new Set<Connection>()
  let fault: WireFault | undefined
  let changed = Promise.withResolvers<void>()
  let hit = 0
  let over = false

  const server = createServer({ allowHalfOpen: true, noDelay: true }, accept)
  const listen = async (at: number) => {
    server.listen(at, 'localhost')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }
  const own = await listen(0)

  return {
    port: own,
    set(next) {
      fault = next
      for (const one of connections) strike(one, random.next() < 0.5)
      if (next === 'refuse' && server.listening) server.close()
      turn()
    },
    heal() {
      if (fault === 'refuse' && !over) void listen(own)
      fault = undefined
      for (const one of connections) one.left = { up: Number.POSITIVE_INFINITY, down: Number.POSITIVE_INFINITY }
      turn()
    },
    get hit() {
      return hit
    },
    async close() {
      over = true
      fault = undefined
      turn()
      for (const one of connections) end(one)
      if (!server.listening) return
      server.close()
      await once(server, 'close')
    },
  }

  /** Whoever waits for another time looks again. */
  function turn(): void {
    changed.resolve()
    changed = Promise.withResolvers()
  }

  function accept(near: Socket): void {
    const far = connect({ port, host: 'localhost', allowHalfOpen: true, noDelay: true })
    const one: Connection = {
      // By where bytes go.
      sockets: { up: far, down: near },
      queues: { up: [], down: [] },
      pumping: { up: false, down: false },
      left: { up: Number.POSITIVE_INFINITY, down: Number.POSITIVE_INFINITY },
      ended: { up: false, down: false },
      ...{ swallowed: false, counted: false, gone: false },
    }
    connections.add(one)
    const hear = (from: Socket, direction: Direction) => {
      const say = (item: Item) => {
        if (one.swallowed || one.gone) return
        one.queues[direction].push(item)
        if (one.queues[direction].reduce((sum, bytes) => sum + bytes.length, 0) > FULL) from.pause()
        void pump(one, direction, from)
      }
      from.on('data', say)
      from.once('end', () => say('end'))
      from.once('close', (bad) => (bad || !from.readableEnded ? say('reset') : undefined))
      from.on('error', () => {})
    }
    hear(near, 'up')
    hear(far, 'down')
    strike(one, false)
  }

  function count(one: Connection): void {
    if (!one.counted) hit++
    one.counted = true
  }

  /** What the fault of the moment means for one connection. @param now at once, and not after some bytes */
  function strike(one: Connection, now: boolean): void {
    const soon = now ? 0 : random.between(0, 6000)
    if (fault !== undefined && fault !== 'refuse' && fault !== 'cut' && !fault.startsWith('half')) count(one)
    if (fault === 'refuse') {
      count(one)
      reset(one)
    } else if (fault === 'blackhole') {
      one.swallowed = true
      for (const direction of DIRECTIONS) one.queues[direction] = []
    } else if (fault === 'cut') {
      one.left[random.pick(DIRECTIONS)] = soon
      if (now) struck(one, 'up')
    } else if (fault === 'half-close up' || fault === 'half-close down') {
      const direction = fault === 'half-close up' ? 'up' : 'down'
      one.left[direction] = soon
      if (now) struck(one, direction)
    }
  }

  /** The bytes that were left have passed. */
  function struck(one: Connection, direction: Direction): void {
    count(one)
    if (fault === 'cut') reset(one)
    else finish(one, direction)
  }

  async function pump(one: Connection, direction: Direction, from: Socket): Promise<void> {
    if (one.pumping[direction]) return
    one.pumping[direction] = true
    const to = one.sockets[direction]
    while (!one.gone) {
      if (fault === 'stall') {
        await changed.promise
        continue
      }
      const item = one.queues[direction][0]
      if (item === undefined) break
      if (fault === 'delay') await Promise.race([sleep(random.between(20, LATE)), changed.promise])
      if (one.queues[direction][0] !== item || one.gone) continue
      one.queues[direction].shift()
      if (from.isPaused()) from.resume()
      if (item === 'reset') reset(one)
      else if (item === 'end') finish(one, direction)
      else await pass(one, direction, to, item)
    }
    one.pumping[direction] = false
  }

  async function pass(one: Connection, direction: Direction, to: Socket, bytes: Buffer): Promise<void> {
    if (one.ended[direction] || one.swallowed) return
    const some = bytes.subarray(0, Math.max(0, one.left[direction]))
    one.left[direction] -= bytes.length
    if (fault === 'slow') {
      for (let at = 0; at < some.length && !one.gone && !one.swallowed; at++) {
        to.write(some.subarray(at, at + 1))
        if (at % BIT === BIT - 1) await sleep(fault === 'slow' ? TICK : 0)
      }
    } else if (some.length > 0 && !to.write(some) && !to.destroyed) {
      await Promise.race([once(to, 'drain').catch(() => {}), once(to, 'close').catch(() => {}), changed.promise])
    }
    if (one.left[direction] < 0 && (fault === 'cut' || fault?.startsWith('half'))) struck(one, direction)
  }

  function finish(one: Connection, direction: Direction): void {
    if (one.ended[direction]) return
    one.ended[direction] = true
    if (!one.sockets[direction].destroyed) one.sockets[direction].end()
    if (one.ended.up && one.ended.down) leave(one)
  }

  function reset(one: Connection): void {
    if (one.gone) return
    leave(one)
    for (const direction of DIRECTIONS) {
      const socket = one.sockets[direction]
      if (socket.connecting) socket.destroy()
      else socket.resetAndDestroy()
    }
  }

  function end(one: Connection): void {
    leave(one)
    for (const direction of DIRECTIONS) one.sockets[direction].destroy()
  }

  function leave(one: Connection): void {
    one.gone = true
    connections.delete(one)
  }
}
