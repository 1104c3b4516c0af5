import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { sql } from 'kysely'
import type { Store } from '../store/store.ts'

/** Why a process should get no requests; shown to whoever asks, so it tells nothing of any tenant. */
export type NotReady = 'draining' | 'store_unavailable' | 'out_of_sync'

export interface HealthOptions {
  store: Pick<Store, 'db'>
  isDraining(): boolean
  /** For each tenant that this process serves, whether its own guards know what was revoked. */
  inSync(): readonly boolean[]
}

/** Milliseconds in which the database must answer. */
const PATIENCE = 2000
/** Milliseconds for which an answer of the database is good for everybody who asks. */
const FRESH = 1000
/** Milliseconds after which a question that nobody answered is asked again: a connection may be dead without saying so. */
const AGAIN = 10_000

/**
 * `/healthz`: the process lives and its event loop turns. Never the database: a process is no healthier for being started anew while that is away. `/readyz`: it can
 * answer requests now. Both are for strangers too, and cost at most one small query a second, however many ask.
 */
export function registerHealth(app: FastifyInstance, { store, isDraining, inSync }: HealthOptions): void {
  let asked = Number.NEGATIVE_INFINITY
  let asking = false
  let last: Promise<boolean> = Promise.resolve(true)

  /** Migrations are done before anything listens, so a table that is there is one that fits. */
  const ask = async (): Promise<boolean> => {
    asking = true
    const answered = sql`select 1 from tenants limit 1`.execute(store.db).then(
      () => true,
      () => false,
    )
    void answered.then(() => {
      asking = false
    })
    return Promise.race([answered, sleep(PATIENCE, false, { ref: false })])
  }
  const isAnswering = (): Promise<boolean> => {
    if (performance.now() - asked >= (asking ? AGAIN : FRESH)) {
      asked = performance.now()
      last = ask()
    }
    return last
  }

  async function reason(): Promise<NotReady | undefined> {
    if (isDraining()) return 'draining'
    if (!(await isAnswering())) return 'store_unavailable'
    const guards = inSync()
    // One tenant whose log cannot be read would be no better off elsewhere, and must not take the others with it: only when none is followed is it this process.
    if (guards.length > 0 && !guards.includes(true)) return 'out_of_sync'
    return isDraining() ? 'draining' : undefined
  }

  app.get('/healthz', async () => ({ status: 'ok' }))
  app.get('/readyz', async (_request, reply) => {
    const code = await reason()
    void reply.header('cache-control', 'no-store')
    return code === undefined ? { status: 'ready' } : reply.code(503).send({ status: 'not_ready', code })
  })
}
