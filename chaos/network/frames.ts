import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from './random.ts'

/**
 * What can happen to the messages of a broker, while the connection is good and its pings are answered: they come twice, in another order, late, some or none of them; or
 * only those stay away that tell of events, while the ones that say where the log stands go on.
 */
export const FRAME_FAULTS = ['duplicate', 'reorder', 'delay', 'drop', 'silence', 'no events', 'no heads'] as const
export type FrameFault = (typeof FRAME_FAULTS)[number]

/** A proxy that knows the client protocol of NATS (docs.nats.io, "Client Protocol"): lines, and messages with a payload. */
export interface Frames {
  port: number
  set(fault: FrameFault): void
  heal(): void
  /** Messages that were hit so far. */
  readonly hit: number
  close(): Promise<void>
}

/** Milliseconds. */
const LATE = 800
/** Subject and whole text. */
type Frame = { subject: string | undefined; bytes: Buffer }

export async function startFrames(port: number, random: Random): Promise<Frames> {
  const sockets = new Set<Socket>()
  let fault: FrameFault | undefined
  let hit = 0

  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ port, host: 'localhost', noDelay: true })
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      const read = createReader()
      const send = createSender(to)
      from.on('data', (bytes: Buffer) => {
        for (const frame of read(bytes)) send(frame)
      })
      from.on('error', () => to.destroy())
      from.once('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
  }).listen(0, 'localhost')
  await once(server, 'listening')

  return {
    port: (server.address() as AddressInfo).port,
    set(next) {
      fault = next
    },
    heal() {
      fault = undefined
    },
    get hit() {
      return hit
    },
    async close() {
      for (const one of sockets) one.destroy()
      server.close()
      await once(server, 'close')
    },
  }

  function createSender(to: Socket): (frame: Frame) => void {
    let kept: Buffer | undefined
    const write = (bytes: Buffer) => void (to.writable && to.write(bytes))
    const later = async (bytes: Buffer, milliseconds: number) => {
      await sleep(milliseconds)
      write(bytes)
    }
    return ({ subject, bytes }) => {
      // What keeps the connection alive passes always: that it lives proves nothing.
      if (subject === undefined || fault === undefined) return write(bytes)
      const event = subject.endsWith('.log')
      const head = subject.endsWith('.head')
      if (fault === 'no events' && !event) return write(bytes)
      if (fault === 'no heads' && !head) return write(bytes)
      hit++
      switch (fault) {
        case 'duplicate':
          write(bytes)
          return random.next() < 0.5 ? write(bytes) : void later(bytes, random.between(1, LATE))
        case 'delay':
          return void later(bytes, random.between(1, LATE))
        case 'drop':
          return random.next() < 0.5 ? write(bytes) : undefined
        case 'reorder': {
          if (kept === undefined) {
            kept = bytes
            // The last one of all has nobody to let pass.
            void sleep(LATE).then(() => {
              if (kept !== bytes) return
              kept = undefined
              write(bytes)
            })
            return
          }
          const first = kept
          kept = undefined
          write(bytes)
          return write(first)
        }
      }
    }
  }
}

/** Puts frames together from what comes in pieces. */
export function createReader(): (bytes: Buffer) => Frame[] {
  let rest: Buffer = Buffer.alloc(0)
  return (bytes) => {
    rest = Buffer.concat([rest, bytes])
    const frames: Frame[] = []
    for (;;) {
      const end = rest.indexOf('\r\n')
      if (end === -1) return frames
      const [op = '', subject = '', ...words] = rest.subarray(0, end).toString('latin1').split(/\s+/)
      const payload = /^H?(?:MSG|PUB)$/i.test(op)
      const length = end + 2 + (payload ? Number(words.at(-1)) + 2 : 0)
      if (rest.length < length) return frames
      frames.push({ subject: payload ? subject : undefined, bytes: rest.subarray(0, length) })
      rest = rest.subarray(length)
    }
  }
}
