import type { Guard } from '@caegis/guard'

/** A token as the model knows it. */
export interface Held {
  text: string
  whose: string
  /** Lives for longer than an ordinary one. */
  long: boolean
  /** Its revocation was asked for; from here on both answers may be right. */
  asked?: boolean
  /** Its revocation was acknowledged: where the log stood then, and when, in milliseconds. */
  dead?: { seq: number; at: number }
}

export interface Watched {
  name: string
  guard: Guard
  strict: boolean
}

export interface WatchCounts {
  checks: number
  allowed: number
  revoked: number
  /** 503: cannot be known now. */
  unknowing: number
  /** Long-lived ones that a lenient guard trusts no longer. */
  stale: number
  wrong: number
}

/** Asks every guard about every token, again and again, and holds each verdict against what is known without looking into the guard. */
export interface Watch {
  hold(...tokens: Held[]): void
  forget(...tokens: Held[]): void
  /** Something was acknowledged: the log stood there at that time. */
  committed(seq: number): void
  add(one: Watched): void
  remove(name: string): void
  readonly counts: WatchCounts
  /** Milliseconds from an acknowledged revocation to the last time that a strict guard let its token in. */
  readonly latest: number
  close(): Promise<void>
}

export interface WatchOptions {
  guards: Watched[]
  /** Seconds: staleness bound of all guards; and until the lenient ones trust no long-lived token. */
  bound: number
  trust: number
  fault(text: string): void
}

/** Milliseconds between two rounds; and what an answer may be late on its way, on a machine that has more to do. */
const EVERY = 20
const SLACK = 1000
const UNKNOWING = new Set(['not_ready', 'out_of_sync'])

export function createWatch({ guards, bound, trust, fault }: WatchOptions): Watch {
  const held = new Set<Held>()
  const watched = new Map(guards.map((one) => [one.name, one]))
  const commits: { seq: number; at: number }[] = []
  const counts: WatchCounts = { checks: 0, allowed: 0, revoked: 0, unknowing: 0, stale: 0, wrong: 0 }
  let latest = 0
  let over = false
  const running = run()

  return {
    hold(...tokens) {
      for (const one of tokens) held.add(one)
    },
    forget(...tokens) {
      for (const one of tokens) held.delete(one)
    },
    committed: (seq) => void commits.push({ seq, at: performance.now() }),
    add: (one) => void watched.set(one.name, one),
    remove: (name) => void watched.delete(name),
    counts,
    get latest() {
      return latest
    },
    async close() {
      over = true
      await running
    },
  }

  async function run(): Promise<void> {
    while (!over) {
      for (const one of watched.values()) for (const token of held) await look(one, token)
      await new Promise((resolve) => setTimeout(resolve, EVERY))
    }
  }

  function wrong(text: string): void {
    counts.wrong++
    fault(text)
  }

  async function look({ name, guard, strict }: Watched, token: Held): Promise<void> {
    const { dead: deadBefore } = token
    const applied = guard.status().head?.seq ?? -1
    const at = performance.now()
    const verdict = await guard.check({ headers: { authorization: `Bearer ${token.text}` } })
    const { asked, dead } = token
    counts.checks++
    const who = `${name}, ${token.whose}`
    if (verdict.allowed) {
      counts.allowed++
      verdict.release()
      // I1: what it has applied, it refuses.
      if (deadBefore && applied >= deadBefore.seq) return wrong(`I1: ${who}: let in, though ${deadBefore.seq} was applied (${applied})`)
      if (deadBefore) {
        const age = at - deadBefore.at
        const limit = strict ? bound : token.long ? trust : Number.POSITIVE_INFINITY
        if (strict) latest = Math.max(latest, age)
        if (age > limit * 1000 + SLACK) return wrong(`I1: ${who}: let in ${Math.round(age)} ms after its revocation`)
      }
      // I4: who lets in by the strict rule knows all that was there a bound ago.
      const behind = strict && commits.find((one) => one.at < at - bound * 1000 - SLACK && one.seq > (guard.status().head?.seq ?? -1))
      if (behind) wrong(`I4: ${who}: in sync it says, and ${behind.seq} of ${Math.round(at - behind.at)} ms ago is not there`)
      return
    }
    const { status, code } = verdict
    if (status === 503) {
      counts.unknowing++
      if (!UNKNOWING.has(code) || (code === 'out_of_sync' && !strict)) wrong(`I7: ${who}: 503 ${code}`)
      return
    }
    if (status !== 400 && status !== 401 && status !== 403) return wrong(`I7: ${who}: ${status} ${code}`)
    if (code === 'stale' && !strict && token.long) {
      counts.stale++
      return
    }
    if (code === 'revoked') counts.revoked++
    if (!asked && !dead) wrong(`${who}: refused (${code}), and nobody has revoked it`)
    else if (code !== 'revoked') wrong(`${who}: refused as ${code}, and it was revoked`)
  }
}
