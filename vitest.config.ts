import { defineConfig } from 'vitest/config'

// Packages are run from source: the condition is ours, so that no bundler of a user ever asks for it.
const ssr = { resolve: { conditions: ['caegis-source', 'module', 'node', 'development|production'], externalConditions: ['caegis-source'] } }

export default defineConfig({
  ssr,
  test: {
    reporters: ['default', './tools/closing-line.ts'],
    projects: [
      { ssr, test: { name: 'unit', include: ['packages/*/src/**/*.test.ts', 'packages/*/test/**/*.test.ts'], testTimeout: 20_000 } },
      {
        ssr,
        test: {
          name: 'e2e',
          include: ['test/**/*.test.ts'],
          // Real servers on a two-core machine: one file at a time keeps a slow neighbour from failing a test.
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
})
