import type { Proof, ProofAnswer } from '../../api/proofs.ts'
import { formatDuration } from '../../parts/when.tsx'
import { t, tn } from '../../texts/texts.ts'
import { arrivedAt, isTroubled } from './receivers.ts'

/** How many have it, of those that matter most: guards where there are some. */
export interface Arrival {
  guards: boolean
  done: number
  all: number
  /** Until the last of those that have it. */
  after: number | undefined
}

export function arrivalOf(proof: Proof): Arrival {
  const guards = proof.receivers.filter(({ guard }) => guard)
  const all = guards.length > 0 ? guards : proof.receivers
  const done = all.filter((one) => !isTroubled(one))
  const times = done.map((one) => arrivedAt(proof, one)).filter((one) => one !== undefined)
  return { guards: guards.length > 0, done: done.length, all: all.length, after: times.length === 0 ? undefined : Math.max(...times) }
}

/** What a client did first that tells how it ended; asked for more only where nothing else came. */
export function answerOf({ answers = [] }: Proof): ProofAnswer | undefined {
  return answers.find(({ outcome }) => outcome !== 'interrupted') ?? answers[0]
}

/** Whose name the sentences use. */
export function whoOf({ subject }: Proof): string | undefined {
  return subject.userId === undefined ? undefined : (subject.userPrincipalName?.split('@')[0] ?? subject.displayName ?? subject.userId)
}

export function answerText(proof: Proof, { application, outcome, milliseconds, policies }: ProofAnswer): string {
  const who = whoOf(proof) ?? (application.displayName || application.id)
  const values = { who, after: formatDuration(milliseconds), policy: policies.map(({ displayName }) => displayName).join(', ') }
  if (outcome === 'blocked') return t(policies.length > 0 ? 'proof.answer.blockedBy' : 'proof.answer.blocked', values)
  return t(`proof.answer.${outcome}`, values)
}

/** The proof in a few sentences, which are read out as it grows. */
export function sentencesOf(proof: Proof): string[] {
  const { guards, done, all, after } = arrivalOf(proof)
  const [refusal] = proof.refusals
  const answer = answerOf(proof)
  const values = { done, after: formatDuration(after ?? 0) }
  const kind = guards ? 'guards' : 'receivers'
  const arrived =
    all === 0
      ? t('proof.arrival.nobody')
      : after === undefined
        ? tn(`proof.arrival.${kind}Pending`, all, values)
        : tn(`proof.arrival.${kind}`, all, values)
  const others = proof.receivers.filter((one) => isTroubled(one) && one.guard !== guards)
  return [
    arrived,
    ...(others.length > 0 ? [tn('proof.arrival.others', others.length)] : []),
    ...(refusal ? [t('proof.refusal', { name: refusal.displayName ?? refusal.appId, after: formatDuration(refusal.milliseconds) })] : []),
    ...(answer ? [answerText(proof, answer)] : []),
  ]
}
