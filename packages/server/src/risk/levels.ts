import type { Finding } from './finding.ts'

/** In rising order. */
const LEVELS = ['none', 'low', 'medium', 'high'] as const
export type RiskLevel = (typeof LEVELS)[number]

/** The level of a sign-in. What could not be told is unknown, unless it is as bad as it can be anyway. */
export function signInLevel(findings: readonly Pick<Finding, 'level'>[], unknown: boolean): RiskLevel | undefined {
  const level = highest(findings.map((finding) => finding.level))
  return unknown && level !== 'high' ? undefined : level
}

/** The level of a user with these open findings. */
export function userLevel(open: readonly Pick<Finding, 'about' | 'level'>[]): RiskLevel {
  return highest(open.map(levelOnUser))
}

/** What a finding means for the user while nothing has answered it: of one about a single sign-in, a level less, unless it is high. */
export function levelOnUser({ about, level }: Pick<Finding, 'about' | 'level'>): RiskLevel {
  if (about === 'user' || level === 'high') return level
  return level === 'medium' ? 'low' : 'none'
}

/** `none` of nothing. */
export function highest(levels: readonly RiskLevel[]): RiskLevel {
  return LEVELS[Math.max(0, ...levels.map((level) => LEVELS.indexOf(level)))] as RiskLevel
}

export function isHigher(one: RiskLevel, other: RiskLevel): boolean {
  return LEVELS.indexOf(one) > LEVELS.indexOf(other)
}
