import { readFileSync, statfsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

// Packages are run from source: the condition is ours, so that no bundler of a user ever asks for it.
const ssr = { resolve: { conditions: ['caegis-source', 'module', 'node', 'development|production'], externalConditions: ['caegis-source'] } }

// Processes that would each compile the server's thousand dependencies anew keep what they have compiled; the commands that tests start, in the same folder.
process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('node_modules/.cache/caegis', import.meta.url))

// A database that is written through to the disk at every commit waits for the disk, most of the time that such a test takes. What a server leaves behind
// that is killed outlives it in memory as well.
if (hasRoomInMemory()) process.env.TMPDIR ??= '/dev/shm'

/** Holds a guard to its staleness bound while servers are killed: a busy neighbour would look like a server that is late. */
const ALONE = ['test/kill.test.ts', 'test/reevaluation-kill.test.ts']
/** Contract and conformance; `npm run test:postgres` runs the rest there too. */
const STORE =
  'change.property,deliveries,expire,fence,graph-query,groups,hops,limits,locations,organization,own-source,reevaluate,rules,segment-store,stream-store,token-cutoff,users'
const ON_POSTGRES = [`packages/server/test/{${STORE}}.test.ts`, 'test/conformance.test.ts']
const WAIT = { testTimeout: 60_000, hookTimeout: 60_000 }

/** A test that waits for something says for what; how long that takes on a busy machine is no matter of any test. */
const patient = { poll: { timeout: 15_000 } }

export default defineConfig({
  ssr,
  test: {
    reporters: ['default', './tools/closing-line.ts'],
    projects: [
      // A process for each file would compile what it tests anew. None replaces a module (`vi.mock`): that lasts as long as the process.
      {
        ssr,
        test: {
          name: 'unit',
          isolate: false,
          include: ['packages/*/src/**/*.test.ts', 'packages/*/test/**/*.test.ts'],
          expect: patient,
          ...WAIT,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      // Real servers on free ports with data of their own. They wait for seconds to pass more than they compute, so two cores bear three files at a time.
      {
        ssr,
        test: {
          ...{ name: 'e2e', include: ['test/**/*.test.ts'], exclude: ALONE, isolate: false },
          ...{ ...WAIT, expect: patient, maxWorkers: 3, sequence: { groupOrder: 1 } },
        },
      },
      // What is said about the store, and what depends on it most, on the other engine.
      {
        ssr,
        test: {
          ...{ name: 'postgres', include: ON_POSTGRES, globalSetup: 'test/postgres-setup.ts', setupFiles: 'test/postgres-worker.ts' },
          ...{ ...WAIT, expect: patient, maxWorkers: 3, sequence: { groupOrder: 3 } },
        },
      },
      { ssr, test: { name: 'e2e-alone', include: ALONE, ...WAIT, expect: patient, fileParallelism: false, sequence: { groupOrder: 2 } } },
    ],
  },
})

/** Whether this machine has a file system in memory that bears what all tests leave at a time, and programs that they install. */
function hasRoomInMemory(): boolean {
  try {
    const [, options = 'noexec'] = /^\S+ \/dev\/shm tmpfs (\S+)/m.exec(readFileSync('/proc/mounts', 'utf8')) ?? []
    const { bavail, bsize } = statfsSync('/dev/shm')
    return !options.split(',').includes('noexec') && bavail * bsize >= 2 * 1024 ** 3
  } catch {
    return false
  }
}
