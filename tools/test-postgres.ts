/**
 * Why: what holds for the embedded store has to hold for PostgreSQL. Starts a server of its own and runs the tests over it, those that are named or all of the end-to-end
 * ones: `npm run test:postgres -- test/grants.test.ts`.
 */
import { spawnSync } from 'node:child_process'
import { startPostgres } from '../test/postgres.ts'

const postgres = await startPostgres()
const { status } = spawnSync('vitest', ['run', ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, CAEGIS_TEST_POSTGRES: postgres.url },
})
await postgres.close()
process.exitCode = status ?? 1
