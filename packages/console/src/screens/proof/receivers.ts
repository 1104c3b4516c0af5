import type { Proof, ProofReceiver } from '../../api/proofs.ts'
import { reasonOf } from '../../parts/reasons.ts'
import type { Tone } from '../../parts/status.tsx'
import { formatDuration } from '../../parts/when.tsx'
import { t, tn } from '../../texts/texts.ts'

/** One line of the picture: a receiver, or all of one API's. */
export interface Lane {
  key: string
  name: string
  /** Where it leads, under the tenant's base. */
  href: string
  tone: Tone
  /** What became of the change there, in words. */
  text: string
  /** Milliseconds since the commit: from when to when it was on its way; without an end, it still is. */
  from: number
  to?: number
  /** Half of a group had it by then. */
  half?: number
  refused?: number
  /** Of a group: how many it stands for. */
  members?: ProofReceiver[]
}

/** More receivers than these are shown API by API. */
const SINGLE = 12
/** Receivers in trouble that are shown one by one, whatever the number of the others. */
const TROUBLED = 8

export interface Told {
  lanes: Lane[]
  /** Receivers in trouble that have no line of their own. */
  more: number
}

export function since(proof: Proof, at: string): number {
  return Math.max(0, Date.parse(at) - Date.parse(proof.committedDateTime))
}

/** When a receiver had it: guards say that they have applied it, others that they have taken it. Whoever refused because of it had it by then, whenever it was said. */
export function arrivedAt(proof: Proof, { applied, acked, refused }: ProofReceiver): number | undefined {
  const moment = applied ?? acked
  return moment && Math.min(since(proof, moment.at), refused ? since(proof, refused.at) : Number.POSITIVE_INFINITY)
}

/** It does not have it yet, or has refused it. */
export function isTroubled({ complete, dead, acked }: ProofReceiver): boolean {
  return !complete || (dead !== undefined && (acked === undefined || acked.at < dead.at))
}

export function lanesOf(proof: Proof): Told {
  const { receivers } = proof
  const troubled = receivers.filter(isTroubled)
  const fine = receivers.filter((one) => !isTroubled(one))
  const single = (one: ProofReceiver) => laneOf(proof, one, receivers)
  if (receivers.length <= SINGLE) {
    const byTime = (a: ProofReceiver, b: ProofReceiver) => (arrivedAt(proof, a) ?? 0) - (arrivedAt(proof, b) ?? 0)
    return { lanes: [...troubled.map(single), ...fine.sort(byTime).map(single)], more: 0 }
  }
  const groups = Map.groupBy(fine, ({ appId, guard }) => `${appId} ${guard}`)
  return {
    lanes: [...troubled.slice(0, TROUBLED).map(single), ...[...groups.values()].map((members) => groupOf(proof, members))],
    more: Math.max(0, troubled.length - TROUBLED),
  }
}

function laneOf(proof: Proof, one: ProofReceiver, all: readonly ProofReceiver[]): Lane {
  const alike = all.filter(({ appId }) => appId === one.appId)
  const label = one.displayName ?? one.appId
  const arrived = arrivedAt(proof, one)
  const from = one.sent && !isTroubled(one) ? Math.min(since(proof, one.sent.at), arrived ?? Number.POSITIVE_INFINITY) : 0
  const { tone, text } = wordsOf(proof, one)
  return {
    ...{ key: one.streamId, href: `/streams/${one.streamId}`, tone, text, from },
    // Copies of one API are told apart by their streams.
    name: alike.length > 1 ? t('proof.copy', { name: label, id: one.streamId.slice(0, 4) }) : label,
    ...(isTroubled(one) ? (one.dead ? { to: since(proof, one.dead.at) } : {}) : { to: arrived ?? 0 }),
    ...(one.refused ? { refused: since(proof, one.refused.at) } : {}),
  }
}

function groupOf(proof: Proof, members: ProofReceiver[]): Lane {
  const [first] = members as [ProofReceiver]
  const times = members.map((one) => arrivedAt(proof, one)).filter((one) => one !== undefined)
  times.sort((a, b) => a - b)
  const half = times[Math.floor((times.length - 1) / 2)]
  const last = times.at(-1)
  const refused = members.flatMap((one) => (one.refused ? [since(proof, one.refused.at)] : []))
  const words = half === undefined || last === undefined ? '' : t('proof.spread', { half: formatDuration(half), last: formatDuration(last) })
  return {
    ...{
      key: `${first.appId} ${first.guard}`,
      name: first.displayName ?? first.appId,
      href: `/streams?q=${encodeURIComponent(first.displayName ?? first.appId)}`,
    },
    ...{
      tone: 'good',
      text: [tn(first.guard ? 'proof.guards' : 'proof.receivers', members.length), words].filter(Boolean).join(', '),
      from: times[0] ?? 0,
    },
    ...{ to: last ?? 0, members, ...(half === undefined ? {} : { half }) },
    ...(refused.length > 0 ? { refused: Math.min(...refused) } : {}),
  }
}

function wordsOf(proof: Proof, one: ProofReceiver): { tone: Tone; text: string } {
  const { guard, complete, status, statusReason, applied, sent, failed, dead } = one
  if (isTroubled(one) && dead) return { tone: 'bad', text: t('proof.state.dead', { reason: reasonOf(dead.reason) }) }
  if (complete) {
    const arrived = arrivedAt(proof, one)
    if (arrived === undefined) return { tone: 'quiet', text: t(guard ? 'proof.state.snapshot' : 'proof.state.none') }
    return { tone: 'good', text: t(applied ? 'proof.state.applied' : 'proof.state.acked', { after: formatDuration(arrived) }) }
  }
  if (status !== 'enabled') return { tone: 'bad', text: [t(`proof.state.${status}`), ...(statusReason ? [statusReason] : [])].join(': ') }
  if (failed && (!sent || failed.at >= sent.at))
    return { tone: 'bad', text: t('proof.state.failed', { reason: reasonOf(failed.reason), attempt: failed.attempt ?? 1 }) }
  return { tone: 'warn', text: t(sent ? 'proof.state.sent' : 'proof.state.waiting') }
}
