import type { PolicySet } from './compile.ts'
import { freshUntil } from './controls.ts'
import { judge } from './judge.ts'
import type { Signals } from './signals.ts'
import { viewOf } from './view.ts'

/**
 * The authentication contexts that a token may name (`acrs`): those whose policies are all met, asked for or not. Nobody's policy stands against a context that no policy
 * names, but only who asks for it gets it.
 *
 * What was not asked for must not outlive what it rests on: a context whose policies depend on the address is given only to who asks (the decision then leaves it to
 * guards), and one with a sign-in frequency only if the token ends before that does.
 * @param until seconds: when the token will end; absent, the frequency must only not have passed
 */
export function contextsMet(set: PolicySet, signals: Signals, until?: number): string[] {
  const asked = new Set(signals.contexts)
  return [...new Set([...set.contexts, ...asked])].filter((id) => {
    const view = viewOf(set, { ...signals, contexts: [id] })
    return set.policies.every((policy, number) => {
      if (policy.reportOnly || !policy.policy.conditions.applications.includeAuthenticationContextClassReferences.includes(id)) return true
      const { result, grant, stale, movable } = judge(set, number, view)
      const missing = policy.grant.block || grant !== 0 || stale
      const { frequency } = policy
      if (asked.has(id)) return result.applies === false || !missing
      if (movable && (missing || frequency)) return false
      if (result.applies === false) return true
      const lasts = until === undefined || !frequency || (freshUntil(frequency, signals) ?? 0) >= until
      return !missing && lasts
    })
  })
}
