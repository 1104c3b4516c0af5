import { fork } from 'node:child_process'
import { createGuard } from '@caegis/guard'
import { trustLocalCa } from '../packages/cli/src/trust.ts'
import { type Host, SECRET } from './host.ts'

/** What the start of one guard took. */
export interface Start {
  /** Milliseconds until it was ready. */
  time: number
  /** Bytes that it keeps, and the most that its process held beyond what it held before. */
  kept: number
  peak: number
}

/** Starts a guard in a process of its own, as an API would: cold, and with memory that nothing else has used. */
export function startOnce({ data, issuer }: Host): Promise<Start> {
  return new Promise((resolve, reject) => {
    const child = fork(import.meta.filename, [data, issuer])
    child.once('message', (start) => resolve(start as Start))
    child.once('exit', () => reject(new Error('the guard did not start')))
  })
}

async function main([data, issuer]: string[]): Promise<void> {
  trustLocalCa(data as string)
  const before = await settled()
  const resident = process.resourceUsage().maxRSS
  const start = performance.now()
  const guard = createGuard({ issuer: issuer as string, audience: 'api://api-0', clientId: 'api-0', clientSecret: SECRET })
  await guard.ready()
  const time = performance.now() - start
  const peak = (process.resourceUsage().maxRSS - resident) * 1024
  const kept = (await settled()) - before
  await guard.close()
  process.send?.({ time, kept, peak } satisfies Start, () => process.exit(0))
}

/** Bytes in use once everything that may go is gone. */
async function settled(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

if (import.meta.main) await main(process.argv.slice(2))
