import type { CompiledPolicy } from './compile.ts'
import { type Frequency, freshUntil } from './controls.ts'
import type { SessionDecision } from './decision.ts'
import type { Signals } from './signals.ts'

/** How the policies that apply hold a session: the strictest of each control. */
export function sessionOf(policies: readonly CompiledPolicy[], signals: Signals): SessionDecision {
  let everyTime = false
  let seconds = Number.POSITIVE_INFINITY
  let until = Number.POSITIVE_INFINITY
  let persistentBrowser: SessionDecision['persistentBrowser']
  let cae: SessionDecision['cae']
  for (const policy of policies) {
    const { frequency } = policy
    if (frequency) {
      if (frequency.seconds === undefined) everyTime = true
      else seconds = Math.min(seconds, frequency.seconds)
      until = Math.min(until, freshUntil(frequency, signals) ?? Number.POSITIVE_INFINITY)
    }
    persistentBrowser = either(persistentBrowser, policy.persistentBrowser, 'never')
    cae = either(cae, policy.cae, 'strictLocation')
  }
  return {
    ...(everyTime ? { signInFrequency: 'everyTime' as const } : seconds < Number.POSITIVE_INFINITY ? { signInFrequency: { seconds } } : {}),
    ...(until < Number.POSITIVE_INFINITY ? { freshUntil: until } : {}),
    ...(persistentBrowser === undefined ? {} : { persistentBrowser }),
    ...(cae === undefined ? {} : { cae }),
  }
}

/** Two ways to hold a session, made one. */
export function stricter(a: SessionDecision, b: SessionDecision): SessionDecision {
  const signInFrequency = shorter(a.signInFrequency, b.signInFrequency)
  const until = Math.min(a.freshUntil ?? Number.POSITIVE_INFINITY, b.freshUntil ?? Number.POSITIVE_INFINITY)
  const persistentBrowser = either(a.persistentBrowser, b.persistentBrowser, 'never')
  const cae = either(a.cae, b.cae, 'strictLocation')
  return {
    ...(signInFrequency === undefined ? {} : { signInFrequency }),
    ...(until === Number.POSITIVE_INFINITY ? {} : { freshUntil: until }),
    ...(persistentBrowser === undefined ? {} : { persistentBrowser }),
    ...(cae === undefined ? {} : { cae }),
  }
}

function shorter(a: SessionDecision['signInFrequency'], b: SessionDecision['signInFrequency']): SessionDecision['signInFrequency'] {
  if (a === 'everyTime' || b === undefined) return a
  if (b === 'everyTime' || a === undefined) return b
  return a.seconds <= b.seconds ? a : b
}

function either<T>(a: T | undefined, b: T | undefined, strict: T): T | undefined {
  return a === strict || b === undefined ? a : b
}

/** Whether the frequency would let a session end before it ends anyway. */
export function shortens(frequency: Frequency, session: SessionDecision, signals: Signals): boolean {
  if (frequency.seconds === undefined) return session.signInFrequency !== 'everyTime'
  const until = freshUntil(frequency, signals)
  return until !== undefined && until < (session.freshUntil ?? Number.POSITIVE_INFINITY)
}
