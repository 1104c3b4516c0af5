import { flushCompileCache } from 'node:module'
import { createGuard } from '@caegis/guard'
import { fleet } from '@caegis/guard/fleet'
import { trustLocalCa } from '../../packages/cli/src/trust.ts'
import { FOLLOWER } from '../../test/nats.ts'
import { ALLOWED } from '../model.ts'

export interface GuardStart {
  issuer: string
  audience: string
  clientId: string
  clientSecret: string
  /** Folder of the authority that signs the server's certificate. */
  data: string
  /** A broker to follow; polls without. */
  nats?: string
  /** Seconds. */
  bound: number
  /** A token that nobody revokes: the guard is back when it is let in. */
  token: string
}

export type Question = { ask: 'check'; id: number; tokens: string[] } | { ask: 'state' }

/** What a guard knew when it was asked. */
export interface State {
  /** Milliseconds, by the clock that all processes of a machine share. */
  at: number
  head: { epoch: string; seq: number; asOf: number } | undefined
  /** Seconds: how old the guard believes that what it knows is. */
  age: number
  inSync: boolean
  reason: string | undefined
  cutoffs: number
  byBroker: boolean
}

export interface Answers extends State {
  id: number
  codes: string[]
}

/** An API with nothing but its guard, in a process of its own that may be killed: it starts with nothing and answers what it is asked. */
async function main(start: GuardStart): Promise<void> {
  trustLocalCa(start.data)
  const guard = createGuard({
    ...{ issuer: start.issuer, audience: start.audience, clientId: start.clientId, clientSecret: start.clientSecret },
    ...{ maxStaleness: start.bound, staleness: 'strict' },
    ...(start.nats === undefined ? {} : { fleet: fleet({ servers: start.nats, ...FOLLOWER }) }),
  })
  process.on('message', async (question: Question) => {
    // What it knew before it looks: it may know more when it answers, never less.
    const known = state()
    if (question.ask === 'state') return process.send?.(known)
    const codes: string[] = []
    for (const token of question.tokens) codes.push(await code(token))
    return process.send?.({ ...known, id: question.id, codes } satisfies Answers)
  })
  while ((await code(start.token)) !== ALLOWED) await new Promise((resolve) => setTimeout(resolve, 10))
  process.send?.('ready')
  // Whoever is killed writes no cache of what it has compiled.
  flushCompileCache()

  async function code(token: string): Promise<string> {
    const authorization = `Bearer ${token}`
    const verdict = await guard.check({ url: '/files/42', headers: { authorization }, rawHeaders: ['Authorization', authorization] })
    if (!verdict.allowed) return verdict.code
    verdict.release()
    return ALLOWED
  }

  function state(): State {
    const { head, age, inSync, reason, cutoffs, source } = guard.status()
    const { fleet } = (source ?? {}) as { fleet?: { carries?: boolean } }
    return { at: Date.now(), head, age, inSync, reason, cutoffs, byBroker: fleet?.carries === true }
  }
}

if (import.meta.main) {
  process.once('message', (start: GuardStart) => main(start))
  process.once('disconnect', () => process.exit(0))
}
