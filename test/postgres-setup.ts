import type { TestProject } from 'vitest/node'
import { POSTGRES, startPostgres } from './postgres.ts'

declare module 'vitest' {
  interface ProvidedContext {
    postgres: string
  }
}

/** One server for all files that run on PostgreSQL; each makes databases of its own there. */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  if (POSTGRES === undefined && !process.env.CI) {
    process.stdout.write('PostgreSQL is missing: what should run on it runs on the embedded store again (sudo apt-get install postgresql)\n')
    project.provide('postgres', '')
    return undefined
  }
  const postgres = await startPostgres()
  project.provide('postgres', postgres.url)
  return postgres.close
}
