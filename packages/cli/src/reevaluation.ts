import type { AdminCall } from './admin-call.ts'
import { createProgress } from './progress.ts'

interface Job {
  id: string
  state: 'running' | 'done'
  total: number
  done: number
}

/** Milliseconds between two looks. */
const PAUSE = 400

/**
 * Shows, to somebody at a terminal, how far it is worked out what edits mean for those who are signed in. It goes on without anybody looking, so nobody else waits.
 * @param txns of the edits
 */
export async function showReevaluations(call: AdminCall, txns: readonly string[]): Promise<void> {
  if (!process.stderr.isTTY || txns.length === 0) return
  const wanted = new Set(txns)
  const progress = createProgress('Deciding again about who is signed in (Ctrl-C leaves it to the server)')
  try {
    for (;;) {
      const { value } = (await (await call('GET', '/identity/conditionalAccess/reevaluations?$top=999')).json()) as { value: Job[] }
      const ours = value.filter(({ id }) => wanted.has(id))
      const sum = (of: (job: Job) => number) => ours.reduce((all, job) => all + of(job), 0)
      if (ours.every(({ state }) => state === 'done')) return
      progress.at(
        sum(({ done }) => done),
        sum(({ total }) => total),
      )
      await new Promise((resolve) => setTimeout(resolve, PAUSE))
    }
  } catch {
    // Whoever may edit but not read policies does without.
  } finally {
    progress.end()
  }
}
