import { callAdmin, callApi, callToken, changeThroughDatabase, joinAnew } from './callers.ts'
import { FRAME_FAULTS, type FrameFault } from './frames.ts'
import { LINK_FAULTS, type LinkFault } from './link.ts'
import type { Doing } from './stage.ts'
import { WIRE_FAULTS, type WireFault } from './wire.ts'
import type { Broker, StoreKind, World } from './world.ts'

/** Two parties, the faults that can be between them, and what they have to do with each other. */
export interface Pair {
  name: string
  stores: readonly StoreKind[]
  faults: readonly string[]
  set(world: World, fault: string, share?: number): void
  /** Messages and connections that were hit. */
  hit(world: World): number
  /** Guards that cannot hear of anything with this fault, whatever they try. */
  deaf(fault: string): readonly string[]
  doing?: Doing
}

const BOTH: readonly StoreKind[] = ['sqlite', 'postgres']
/** Nothing gets through that could be understood. */
const SILENT = new Set<string>(['stall', 'blackhole', 'refuse', 'lose', 'drop', 'truncate', 'clip', 'fail', 'replay'])

function overLink(name: string, link: keyof World['links'], more: { deaf?: readonly string[]; without?: LinkFault[]; doing?: Doing } = {}): Pair {
  return {
    ...{ name, stores: BOTH },
    faults: LINK_FAULTS.filter((one) => !more.without?.includes(one)),
    set: (world, fault, share) => world.links[link].set(fault as LinkFault, share),
    hit: (world) => world.links[link].hit(),
    deaf: (fault) => (SILENT.has(fault) ? (more.deaf ?? []) : []),
    ...(more.doing && { doing: more.doing }),
  }
}

function overBroker(name: string, side: 'server' | 'guard'): Pair {
  const of = (world: World): Broker => world.brokers[side]
  const renamed = new Map<string, FrameFault>(FRAME_FAULTS.map((one) => [`message ${one}`, one]))
  return {
    ...{ name, stores: BOTH, faults: [...WIRE_FAULTS, ...renamed.keys()] },
    set(world, fault) {
      const frame = renamed.get(fault)
      if (frame) of(world).frames.set(frame)
      else of(world).wire.set(fault as WireFault)
    },
    hit: (world) => of(world).wire.hit + of(world).frames.hit,
    // The stream beside it goes on: nobody is deaf.
    deaf: () => [],
  }
}

export const PAIRS: readonly Pair[] = [
  overLink('guard - server', 'guard', { deaf: ['strict', 'lenient'], doing: joinAnew }),
  overLink('guard with broker - server', 'fleet'),
  overBroker('broker - guard', 'guard'),
  overBroker('server - broker', 'server'),
  overLink('server - push receiver', 'push', { without: ['replay'] }),
  overLink('poll receiver - server', 'receiver'),
  overLink('client - token endpoint', 'token', { without: ['replay'], doing: callToken }),
  overLink('admin - admin API', 'admin', { without: ['replay'], doing: callAdmin }),
  overLink('client - API', 'api', { without: ['replay'], doing: callApi }),
  {
    ...{ name: 'server - database', stores: ['postgres'], faults: WIRE_FAULTS },
    set: (world, fault) => world.database?.set(fault as WireFault),
    hit: (world) => world.database?.hit ?? 0,
    deaf: (fault) => (['stall', 'blackhole', 'refuse'].includes(fault) ? ['strict', 'lenient'] : []),
    doing: changeThroughDatabase,
  },
]
