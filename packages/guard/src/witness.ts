import type { Head } from '@caegis/protocol'
import type { GuardRequest } from './credentials.ts'
import type { DecisionLog } from './decision-log.ts'
import type { VerdictCode } from './errors.ts'
import type { Needs } from './needs.ts'
import type { GuardStatus } from './status.ts'
import type { SeenToken } from './token-cache.ts'
import { createVerdictCounts, type VerdictFigures } from './verdict-counts.ts'

/** Takes figures and traces elsewhere; `createTelemetry` of `@caegis/guard/telemetry` is one for OpenTelemetry. */
export interface Telemetry {
  /** The guard runs: its status is there to be read whenever figures are collected. @returns ends that */
  watch(status: () => GuardStatus): () => void
  /** A token is looked at for the first time. @returns is told what came of it, and after how many seconds */
  firstSight(issuer: string): (code: 'allowed' | VerdictCode, seconds: number) => void
  denied(denial: TelemetryDenial): void
}

export interface TelemetryDenial {
  code: VerdictCode
  /** Of the change that refused it. */
  txn: string | undefined
  /** Where the issuer's log stood. */
  head: Head | undefined
}

/** Sees every verdict: counts it, has it written down, and tells telemetry of it. Nothing that goes wrong here reaches the request. */
export interface Witness {
  allowed(request: GuardRequest, needs: Needs | undefined, seen: SeenToken): void
  denied(code: VerdictCode, challenged: boolean, request: GuardRequest, needs?: Needs, seen?: SeenToken, txn?: string): void
  /** @returns to be called with what came of it */
  firstSight(): (code: 'allowed' | VerdictCode) => void
  read(): VerdictFigures
}

export interface WitnessOptions {
  /** Of a request that names none there is none. */
  issuer: string | undefined
  /** Milliseconds. */
  monotonic: () => number
  decisions: DecisionLog | undefined
  telemetry: Telemetry | undefined
  /** What the guard knows at the time. */
  head: () => Head | undefined
  rules: () => number
}

export function createWitness({ issuer, monotonic, decisions, telemetry, head, rules }: WitnessOptions): Witness {
  const counts = createVerdictCounts()
  const everything = decisions?.all ? decisions : undefined
  return {
    allowed(request, needs, seen) {
      counts.allowed()
      if (everything === undefined) return
      safely(() => everything.add({ ...{ code: 'allowed', challenged: false, issuer, request, needs, seen }, ...known(undefined) }))
    },
    denied(code, challenged, request, needs, seen, txn) {
      counts.denied(code, challenged)
      if (decisions) safely(() => decisions.add({ ...{ code, challenged, issuer, request, needs, seen }, ...known(txn) }))
      if (telemetry) safely(() => telemetry.denied({ code, txn, head: head() }))
    },
    firstSight() {
      const began = monotonic()
      const ended = telemetry && safely(() => telemetry.firstSight(issuer ?? ''))
      return (code) => {
        const seconds = (monotonic() - began) / 1000
        counts.firstSight(seconds)
        if (ended) safely(() => ended(code, seconds))
      }
    },
    read: counts.read,
  }

  function known(txn: string | undefined) {
    return { head: head(), rules: rules(), txn }
  }
}

function safely<T>(act: () => T): T | undefined {
  try {
    return act()
  } catch {
    return undefined
  }
}
