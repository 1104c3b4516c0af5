import type { Decision } from '@caegis/policy'
import type { AppliedPolicy, PolicyOutcome } from '../logs/sign-in.ts'
import type { Admission } from './admission.ts'

/** What the policies said, as the sign-in log tells it in Graph's words. */
export function outcomeOf({ decision, brought }: Admission): PolicyOutcome {
  const applied = decision.policies.map((one): AppliedPolicy => {
    // A sign-in that is too old is asked for beside what else a policy asks for.
    const missing = decision.unmet.filter(({ policy }) => policy === one.id).flatMap(({ controls }) => controls)
    return {
      id: one.id,
      displayName: one.displayName,
      result: one.result,
      enforcedGrantControls: decision.blockedBy.includes(one.id) ? ['Block'] : missing.map(capital),
      enforcedSessionControls: one.sessionControls.map(capital),
      conditionsSatisfied: [...one.satisfied, ...addressesOf(one.satisfied, brought)].join(','),
      conditionsNotSatisfied: [...one.notSatisfied, ...one.unknown].join(','),
    }
  })
  return { status: statusOf(decision), applied, lifetimes: lifetimesOf(decision) }
}

/** Which address it was: the one that the issuer saw, or the one that the API saw. */
function addressesOf(satisfied: readonly string[], { seen }: Admission['brought']): string[] {
  if (!satisfied.includes('location')) return []
  return seen ? ['ipAddressSeenByAzureAD', 'ipAddressSeenByResourceProvider'] : ['ipAddressSeenByAzureAD']
}

function statusOf({ outcome, policies }: Decision): PolicyOutcome['status'] {
  if (outcome !== 'allow') return 'failure'
  return policies.some(({ result }) => result === 'success') ? 'success' : 'notApplied'
}

function lifetimesOf({ session }: Decision): PolicyOutcome['lifetimes'] {
  const { signInFrequency: every } = session
  if (every === undefined) return []
  if (every === 'everyTime') return [{ detail: 'Sign-in frequency: every time', expirationRequirement: 'signInFrequencyEveryTime' }]
  return [{ detail: `Sign-in frequency: ${every.seconds / 3600} hours`, expirationRequirement: 'signInFrequencyPeriodicReauthentication' }]
}

const capital = (word: string) => word.slice(0, 1).toUpperCase() + word.slice(1)
