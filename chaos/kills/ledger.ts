import { ALLOWED } from '../model.ts'
import type { Answers } from './guard.ts'
import type { Found } from './store.ts'
import { BOUND } from './world.ts'

/** Milliseconds that a head may need to arrive on a busy machine: a guard cannot know how long the fastest one travelled. */
export const TRAVEL = 3000
/** What a guard says that cannot know at present. */
const UNKNOWING = new Set(['not_ready', 'out_of_sync'])

export interface Held {
  text: string
  /** `undefined`: of a daemon. */
  user: string | undefined
  sid: string | undefined
  iat: number
  exp: number
  /** Nobody ever revokes it. */
  steady: boolean
  /** The first acknowledged change that ends it. */
  covered?: Change
  /** The newest position of the log that a guard had applied and let it in all the same. */
  allowedAt: number
  /** When each guard refused it for the first time after the acknowledgement. */
  refused: Set<number>
}

export interface Change {
  op: string
  /** Milliseconds. */
  sent: number
  acked?: number
  txn?: string
  /** The one event that must be in the log for it; `undefined` where it may have changed nothing. */
  event?: string
  user?: string
  sid?: string
}

export type Ledger = ReturnType<typeof createLedger>

/**
 * What was promised: every change that was asked for, whether it was acknowledged, and every token with what may end it. What came of it is held against the log, because a change
 * that nobody was told of may have happened, and ends tokens then.
 */
export function createLedger(say: (fault: string) => void) {
  const tokens = new Set<Held>()
  const changes: Change[] = []
  const counts = { checks: 0, allowed: 0, unknowing: 0, wrong: 0, stale: 0, falseDenials: 0, byBroker: 0 }
  /** Milliseconds from the acknowledgement to the first refusal by each guard, and to each request that was let in meanwhile. */
  const lags: number[] = []
  const late: number[] = []
  /** Seconds: how old the knowledge was by which somebody was let in. */
  let oldest = 0
  /** Seconds: how much older it was than the guard believed. */
  let travelled = 0
  let epoch: string | undefined

  return {
    ...{ tokens, changes, counts, lags, late },
    oldest: () => oldest,
    travelled: () => travelled,
    hold(text: string, steady: boolean): Held {
      const { oid, sid, iat, exp, sub } = JSON.parse(Buffer.from(text.split('.')[1] as string, 'base64url').toString()) as Record<string, any>
      const held: Held = { text, user: sid === undefined ? undefined : (oid ?? sub), sid, iat, exp, steady, allowedAt: -1, refused: new Set() }
      tokens.add(held)
      return held
    },
    begin(op: string, what: Pick<Change, 'user' | 'sid' | 'event'>): Change {
      const change = { op, sent: Date.now(), ...what }
      changes.push(change)
      return change
    },
    /** It was answered. @param ends those of its tokens that were there before it was asked for */
    acknowledged(change: Change, txn: string | undefined, ends: readonly Held[]): void {
      Object.assign(change, { acked: Date.now(), txn })
      if (txn === undefined) say(`${change.op} was acknowledged without a txn`)
      for (const held of ends) held.covered ??= change
    },
    judge(guard: number, { at, head, age: believed, codes, byBroker }: Answers, asked: readonly Held[]): void {
      const age = head === undefined ? Number.POSITIVE_INFINITY : at / 1000 - head.asOf
      if (head && epoch !== undefined && head.epoch !== epoch) say(`the log has another epoch: ${epoch}, then ${head.epoch}`)
      epoch ??= head?.epoch
      for (const [i, held] of asked.entries()) {
        const code = codes[i] as string
        counts.checks++
        if (code === ALLOWED) {
          counts.allowed++
          if (byBroker) counts.byBroker++
          oldest = Math.max(oldest, age)
          held.allowedAt = Math.max(held.allowedAt, head?.seq ?? 0)
          const since = at - (held.covered?.acked ?? Number.POSITIVE_INFINITY)
          if (since > 0) late.push(since)
          travelled = Math.max(travelled, age - believed)
          if (since > BOUND * 1000 + TRAVEL) {
            counts.wrong++
            say(`guard ${guard} let in ${name(held)} ${since} ms after the acknowledgement of ${held.covered?.txn}, at ${head?.seq} (${at})`)
          } else if (age > BOUND + TRAVEL / 1000) {
            counts.stale++
            say(`guard ${guard} let in ${name(held)} by a head of ${age.toFixed(1)} s, and believed ${believed.toFixed(1)} s (${at})`)
          }
        } else if (UNKNOWING.has(code)) counts.unknowing++
        else if (code !== 'revoked' || held.steady) {
          counts.falseDenials++
          say(`guard ${guard} answered ${code} to ${name(held)}, at ${head?.seq} (${at})`)
        }
        if (code === ALLOWED || held.covered?.acked === undefined || at < held.covered.acked || held.refused.has(guard)) continue
        held.refused.add(guard)
        lags.push(at - held.covered.acked)
      }
    },
    /** What the guards must answer to each token now, by the log; and whether one was let in by what had been applied already. */
    settle(found: Found): { held: Held; dead: boolean }[] {
      const all: { held: Held; dead: boolean }[] = []
      for (const held of tokens) {
        const seq = found.endOf(held)
        if (seq !== undefined && held.allowedAt >= seq) {
          counts.wrong++
          say(`${name(held)} was let in at ${held.allowedAt}, after the event ${seq} that ended it had been applied`)
          held.allowedAt = -1
        }
        all.push({ held, dead: seq !== undefined })
      }
      return all
    },
  }
}

export function name({ user, sid, iat, steady }: Held): string {
  return `a token of ${user ?? 'the daemon'} (session ${sid}, of ${iat}${steady ? ', never revoked' : ''})`
}
