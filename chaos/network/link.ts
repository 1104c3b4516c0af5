import type { Tls } from '@caegis/server'
import { Agent, buildConnector, fetch as throughAgent } from 'undici'
import { MESSAGE_FAULTS, type MessageFault, type Messages, startMessages } from './messages.ts'
import type { Random } from './random.ts'
import { startWire, WIRE_FAULTS, type Wire, type WireFault } from './wire.ts'

export type LinkFault = WireFault | MessageFault

/** The way from one party to another: bytes first, then whole messages. */
export interface Link {
  wire: Wire
  messages: Messages
  /** Whatever the URL says, it goes this way. */
  fetch: typeof globalThis.fetch
  set(fault: LinkFault, share?: number): void
  heal(): void
  hit(): number
  close(): Promise<void>
}

export const LINK_FAULTS: readonly LinkFault[] = [...WIRE_FAULTS, ...MESSAGE_FAULTS]

export async function startLink(port: number, tls: Pick<Tls, 'cert' | 'key'>, random: Random): Promise<Link> {
  const messages = await startMessages(port, tls, random)
  const wire = await startWire(messages.port, random)
  const dial = buildConnector({})
  const agent = new Agent({ connect: (options, done) => dial({ ...options, port: String(wire.port) }, done) })
  return {
    ...{ wire, messages },
    fetch: ((url: string, init: object) => throughAgent(url, { ...init, dispatcher: agent } as never)) as unknown as typeof fetch,
    set: (fault, share) => (WIRE_FAULTS.includes(fault as WireFault) ? wire.set(fault as WireFault) : messages.set(fault as MessageFault, share)),
    heal() {
      wire.heal()
      messages.heal()
    },
    hit: () => wire.hit + messages.hit,
    async close() {
      await agent.destroy()
      await wire.close()
      await messages.close()
    },
  }
}
