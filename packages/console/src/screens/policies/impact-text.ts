import type { Impact } from '../../api/policies.ts'
import { formatNumber, t, tn } from '../../texts/texts.ts'

/** What a policy would have meant, in a line. */
export function impactText({ looked, changed, blocked, interrupted, allowed }: Impact): string {
  if (looked === 0) return t('policies.impact.none')
  if (changed === 0) return tn('policies.impact.nothing', looked)
  const parts = [
    ...(blocked > 0 ? [t('policies.impact.blocked', { n: formatNumber(blocked) })] : []),
    ...(interrupted > 0 ? [t('policies.impact.interrupted', { n: formatNumber(interrupted) })] : []),
    ...(allowed > 0 ? [t('policies.impact.allowed', { n: formatNumber(allowed) })] : []),
  ]
  // A decision may be another one and let in just the same people, with a shorter session for instance.
  if (parts.length === 0) return tn('policies.impact.otherwise', looked, { n: formatNumber(changed) })
  return tn('policies.impact.of', looked, { what: parts.join(', ') })
}
