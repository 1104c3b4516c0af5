import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

// Packages are run from source: the condition is ours, so that no bundler of a user ever asks for it.
const ssr = { resolve: { conditions: ['caegis-source', 'module', 'node', 'development|production'], externalConditions: ['caegis-source'] } }

// Each file has a process of its own, which would compile the server's thousand dependencies anew; the commands that tests start keep theirs in the same folder.
process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('node_modules/.cache/caegis', import.meta.url))

/** Holds a guard to its staleness bound while servers are killed: a busy neighbour would look like a server that is late. */
const ALONE = ['test/kill.test.ts', 'test/reevaluation-kill.test.ts']
const WAIT = { testTimeout: 60_000, hookTimeout: 60_000 }

/** A test that waits for something says for what; how long that takes on a busy machine is no matter of any test. */
const patient = { poll: { timeout: 15_000 } }

export default defineConfig({
  ssr,
  test: {
    reporters: ['default', './tools/closing-line.ts'],
    projects: [
      {
        ssr,
        test: {
          name: 'unit',
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
        test: { name: 'e2e', include: ['test/**/*.test.ts'], exclude: ALONE, ...WAIT, expect: patient, maxWorkers: 3, sequence: { groupOrder: 1 } },
      },
      { ssr, test: { name: 'e2e-alone', include: ALONE, ...WAIT, expect: patient, fileParallelism: false, sequence: { groupOrder: 2 } } },
    ],
  },
})
