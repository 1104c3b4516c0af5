import { createGuard } from '@caegis/guard'
import { AUDIENCE } from './issuer.ts'
import { ALLOWED } from './model.ts'

export type Question = { ask: 'check'; id: number; tokens: string[] } | { ask: 'state' }

export interface Answers {
  id: number
  /** What the guard had applied when it was asked. */
  head: number
  codes: string[]
  microseconds: number[]
}

export interface State {
  /** Bytes after collection. */
  rss: number
  heap: number
  external: number
  cutoffs: number
  tokens: number
  inSync: boolean
  reason: string | undefined
  applied: number
}

/** An API with nothing but its guard, in a process of its own: memory and times are the guard's. */
async function main(issuer: string): Promise<void> {
  const started = performance.now()
  const guard = createGuard({ issuer, audience: AUDIENCE, clientId: 'files-api', clientSecret: 'a-secret-of-nobody' })
  await guard.ready()
  const hydration = performance.now() - started
  process.on('message', async (question: Question) => process.send?.(question.ask === 'check' ? await check(question) : state()))
  process.once('disconnect', () => process.exit(0))
  process.send?.({ hydration })

  async function check({ id, tokens }: Extract<Question, { ask: 'check' }>): Promise<Answers> {
    const head = guard.status().head?.seq ?? 0
    const codes: string[] = []
    const microseconds: number[] = []
    for (const token of tokens) {
      const authorization = `Bearer ${token}`
      const request = { url: '/files/42', headers: { authorization }, rawHeaders: ['Authorization', authorization] }
      const from = process.hrtime.bigint()
      const verdict = guard.check(request)
      const known = verdict instanceof Promise ? await verdict : verdict
      microseconds.push(Number(process.hrtime.bigint() - from) / 1000)
      codes.push(known.allowed ? ALLOWED : known.code)
      if (known.allowed) known.release()
    }
    return { id, head, codes, microseconds }
  }

  function state(): State {
    globalThis.gc?.()
    const { rss, heapUsed, external } = process.memoryUsage()
    const { cutoffs, tokens, inSync, reason, applied } = guard.status()
    return { rss, heap: heapUsed, external, cutoffs, tokens, inSync, reason, applied }
  }
}

if (import.meta.main) await main(process.argv[2] as string)
