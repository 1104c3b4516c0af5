import pg from 'pg'
import { hasPostgres, startPostgres } from '../../test/postgres.ts'
import type { Trial } from '../machine.ts'
import { recovered, startHost, until } from './host.ts'

/** Somebody else holds the tables of a PostgreSQL for a while: every statement waits. */
export const slowDatabase: Trial = async (say) => {
  if (!hasPostgres()) return undefined
  const faults: string[] = []
  const postgres = await startPostgres()
  const url = await postgres.database()
  const host = await startHost({ environment: { DATABASE_URL: url, CAEGIS_KEY_SECRET: 'a-secret-that-is-long-enough-for-a-test' } })
  const other = new pg.Client({ connectionString: url })
  try {
    await other.connect()
    const { token } = await host.token()
    await other.query('begin; lock table tenants in access exclusive mode')
    const start = performance.now()
    const asked = Array.from({ length: 40 }, async () => (await host.token()).status)
    const [alive, ready] = [
      await host.get('/healthz'),
      await until(
        () => host.get('/readyz'),
        (status) => status !== 200,
      ),
    ]
    if (alive !== 200) faults.push(`it is answered with ${alive} whether it is alive`)
    if (ready !== 503) faults.push(`it is answered with ${ready} whether it is ready`)
    const stale = await until(
      () => host.check(token),
      (answer) => answer !== true,
    )
    if (stale !== 503) faults.push(`a guard that hears nothing answers ${stale}, not 503`)
    await other.query('rollback')
    say(`  it stood still for ${((performance.now() - start) / 1000).toFixed(1)} s`)
    for (const status of await Promise.all(asked))
      if (status !== 200 && status !== 503 && status !== 429) faults.push(`a token was answered with ${status}`)
    await recovered(host, faults)
  } finally {
    await other.end()
    await host.close()
    await postgres.close()
  }
  return faults
}
