import { createFlow } from '../../test/flow.ts'
import { claimsOf, SECRET } from '../../test/loop.ts'
import type { Random } from './random.ts'
import { createWatch, type Held, type Watch, type Watched } from './watch.ts'
import { BOUND, nameOf, PEOPLE, TRUST, type World } from './world.ts'

/** A lineage of refresh tokens. */
export interface Lineage {
  refresh(token: string): Promise<{ status: number; body: Record<string, unknown> }>
  refreshToken: string
  accessToken: string
}

export interface Person {
  user: string
  held: Held
  lineage: Lineage
}

/** What a caller of its own does while the line is bad; then, what must be true once it is good again. */
export type Doing = (stage: Stage, good: () => boolean) => Promise<() => Promise<void>>

/** A world with a model beside it: who holds what, what was taken back, and what receivers must have heard of. */
export interface Stage {
  world: World
  watch: Watch
  random: Random
  faults: string[]
  fault(text: string): void
  /** Somebody signs in, past all proxies; whose revocations concern nobody else. */
  person(): Promise<Person>
  /** Takes everything back that a person has, past all proxies. */
  revokeUser(user: string, ...held: Held[]): Promise<void>
  /** Takes one token back (RFC 7009). */
  revokeToken(held: Held): Promise<void>
  /** A request to the admin API, past all proxies. */
  graph(method: string, path: string, body?: object): Promise<Response>
  /** Where the log stands. */
  position(): Promise<number>
  /** Waits until it is so; what never comes true is a fault. @returns milliseconds that it took */
  until(what: string, seconds: number, so: () => boolean | Promise<boolean>): Promise<number>
  /** Each event about a whole user since a position that is not at a receiver, or was given to its handler more than once, or in a wrong order; undefined if none. */
  missing(since: number): Promise<string | undefined>
  inSync(): boolean
  close(): Promise<void>
}

const CAPABLE = '{"access_token":{"xms_cc":{"values":["cp1"]}}}'
/** An ordinary token lives for 90 minutes at most. */
const ORDINARY = 5400

export function createStage(world: World, random: Random, report: (text: string) => void): Stage {
  const faults: string[] = []
  const fault = (text: string) => {
    if (faults.length < 200) faults.push(text)
    report(text)
  }
  const watch = createWatch({ guards: world.guards, bound: BOUND, trust: TRUST, fault })
  let next = 0
  let admin: { token: string; until: number } | undefined
  for (const [name, { messages }] of Object.entries(world.links)) {
    messages.onAnswer = ({ method, path, status }) => {
      // I7: what was asked in good form is never our own error.
      if (status === 500) fault(`I7: ${name}: ${method} ${path.split('?')[0]} answered 500`)
    }
  }

  const stage: Stage = {
    ...{ world, watch, random, faults, fault },
    async person() {
      const user = nameOf(next++ % PEOPLE)
      const flow = createFlow(world, { username: user, capable: true })
      const { accessToken, refreshToken } = await insist(() => flow.tokens())
      return { user, held: heldOf(accessToken, user), lineage: { accessToken, refreshToken, refresh: (token) => insist(() => flow.refresh(token)) } }
    },
    async revokeUser(user, ...held) {
      for (const one of held) one.asked = true
      const answer = await stage.graph('POST', `/users/${user}/revokeSignInSessions`)
      if (answer.status !== 200) return fault(`a revocation past all proxies was answered ${answer.status}`)
      await settle(held)
    },
    async revokeToken(held) {
      held.asked = true
      const form = new URLSearchParams({ client_id: 'files-native', token: held.text })
      const answer = await insist(() => fetch(`${world.authority}/oauth2/v2.0/revoke`, { method: 'POST', body: form }))
      if (answer.status !== 200) return fault(`a revocation of a token past all proxies was answered ${answer.status}`)
      await settle([held])
    },
    async graph(method, path, body) {
      if (!admin || Date.now() > admin.until) {
        const token = await insist(() => world.daemonToken('nightly', `${world.origin}/.default`))
        admin = { token, until: Date.now() + 20 * 60_000 }
      }
      const headers = { authorization: `Bearer ${admin.token}`, ...(body && { 'content-type': 'application/json' }) }
      return insist(() => fetch(`${world.origin}/v1.0${path}`, { method, headers, ...(body && { body: JSON.stringify(body) }) }))
    },
    async position() {
      const row = await world.truth.store.db.selectFrom('tenants').select('seq').where('name', '=', 'contoso').executeTakeFirstOrThrow()
      return Number(row.seq)
    },
    async until(what, seconds, so) {
      const begun = performance.now()
      while (!(await so())) {
        if (performance.now() - begun > seconds * 1000) {
          fault(`${what}: not within ${seconds} s`)
          break
        }
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      return performance.now() - begun
    },
    async missing(since) {
      const rows = await world.truth.store.db
        .selectFrom('events')
        .select(['seq', 'txn', 'user_id'])
        .where('seq', '>', since)
        .where('type', 'like', '%session-revoked')
        .where('subject', 'like', '%"simple"%')
        .orderBy('seq')
        .execute()
      for (const [name, { heard }] of Object.entries(world.receivers)) {
        for (const { txn, seq } of rows) {
          const times = heard.filter((one) => one.txn === txn).length
          if (times !== 1) return `${name} has handled the event at ${seq} ${times} times`
        }
        for (const [user, its] of Map.groupBy(rows, (row) => row.user_id)) {
          const order = its.map(({ txn }) => heard.findIndex((one) => one.txn === txn))
          if (order.some((at, i) => i > 0 && at < (order[i - 1] as number))) return `${name} was told of ${user} in another order`
        }
      }
      return undefined
    },
    inSync: () => world.guards.every(({ guard }) => fresh(guard.status())),
    close: () => watch.close(),
  }
  return stage

  async function settle(held: readonly Held[]): Promise<void> {
    const at = performance.now()
    const seq = await stage.position()
    watch.committed(seq)
    for (const one of held) one.dead = { seq, at }
  }
}

/** Past all proxies a request fails only where the machine has too much to do to connect in time. */
export async function insist<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await ask()
    } catch (error) {
      if (tries === 4 || !(error instanceof TypeError)) throw error
    }
  }
}

export function heldOf(text: string, whose: string): Held {
  const { iat, exp } = claimsOf(text)
  return { text, whose, long: exp - iat > ORDINARY }
}

export function fresh({ inSync, stale }: ReturnType<Watched['guard']['status']>): boolean {
  return inSync && !stale
}

/** What a request over a bad line brings: an answer, or nothing. */
export async function attempt(
  fetch: typeof globalThis.fetch,
  url: string,
  init: RequestInit & { seconds?: number } = {},
): Promise<{ status: number; text: string } | undefined> {
  try {
    const answer = await fetch(url, { ...init, signal: AbortSignal.timeout((init.seconds ?? 3) * 1000) })
    return { status: answer.status, text: await answer.text() }
  } catch {
    return undefined
  }
}

export function jsonOf(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return undefined
  }
}

export const refreshForm = (token: string) =>
  new URLSearchParams({ grant_type: 'refresh_token', client_id: 'files-native', refresh_token: token, claims: CAPABLE })
export const daemonForm = () =>
  new URLSearchParams({ grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope: 'api://files/.default' })
