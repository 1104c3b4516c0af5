import type { FastifyInstance } from 'fastify'
import type { Log } from '../log.ts'
import type { Settings } from '../settings.ts'
import type { Leases } from '../store/leases.ts'
import type { Store } from '../store/store.ts'
import type { Tenants } from '../tenants.ts'
import { createDrain, type Drain } from './drain.ts'
import { fenceFigures, gauge, loadFigures, loopFigures, storeFigures } from './figures.ts'
import { registerHealth } from './health.ts'
import { createLoad, type Load } from './load.ts'
import { registerMetrics } from './metrics.ts'
import { watchSkew } from './skew.ts'
import { endUnread } from './unread.ts'

/** What a process among others needs: to say how it is, to bear more requests than it can answer, and to go without losing one. */
export interface Life {
  drain: Drain
  load: Load
  /** Counts what the fence said. */
  onFence(outcome: string): void
  /** Serves `/healthz`, `/readyz` and `/metrics`. */
  show(rooms: Rooms): void
  close(): void
}

export interface LifeOptions {
  settings: Pick<Settings, 'drain' | 'bounds' | 'metricsToken'>
  store: Store
  log: Log
  stopListening(): void
}

interface Rooms {
  tenants: Pick<Tenants, 'inSync'>
  leases: Pick<Leases, 'held'>
  holds: { readonly held: number }
}

/** To be made before any route, and before anybody uses the store: it counts what passes. */
export function createLife(app: FastifyInstance, { settings, store, log, stopListening }: LifeOptions): Life {
  const drain = createDrain(app, { notice: settings.drain, log, stopListening })
  const load = createLoad(app, settings.bounds)
  const fence = fenceFigures()
  const loop = loopFigures()
  const skew = watchSkew(store, log)
  const unread = endUnread(app.server)
  const stored = storeFigures(store)
  return {
    drain,
    load,
    onFence: fence.count,
    show({ tenants, leases, holds }) {
      registerHealth(app, { store, isDraining: () => drain.draining, inSync: tenants.inSync })
      const figures = [
        ...loadFigures(load, drain, () => holds.held),
        ...stored,
        ...fence.figures,
        gauge('caegis_leases_held', 'Pieces of work that this process does alone, for all', () => leases.held()),
        gauge(
          'caegis_own_guards_behind',
          'Tenants whose own guard does not know what was revoked',
          () => tenants.inSync().filter((one) => !one).length,
        ),
        gauge('caegis_clock_skew_seconds', "How far the clock of this machine is ahead of the database's; absent where they are the same", skew.now),
        ...loop.figures,
      ]
      registerMetrics(app, figures, settings.metricsToken)
    },
    close() {
      loop.close()
      skew.close()
      unread.close()
    },
  }
}
