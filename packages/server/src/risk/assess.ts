import type { Assessed, Detection, Given } from './detection.ts'
import { DETECTIONS } from './detections.ts'
import type { DetectionType, Finding } from './finding.ts'
import { type RiskLevel, signInLevel } from './levels.ts'

export interface RiskSettings {
  /** Detections that the tenant has turned off. */
  off: readonly DetectionType[]
  given: Given
}

export interface Assessment {
  /** `undefined` = unknown, which policies enforce. */
  level: RiskLevel | undefined
  findings: Finding[]
  /** Detections that are on and could not tell. */
  unknown: DetectionType[]
}

/** What the detections that are on say of one sign-in or refresh. */
export function assess(input: Assessed, settings: RiskSettings): Assessment {
  const findings: Finding[] = []
  const unknown: DetectionType[] = []
  const failed = input.signal.outcome === 'failure'
  for (const detection of DETECTIONS) {
    if ((failed && !detection.failures) || statusOf(detection, settings) !== 'on') continue
    const said = detection.detect(input, settings.given)
    if (said === 'unknown') unknown.push(detection.type)
    else if (said) findings.push(said)
  }
  return { level: signInLevel(findings, failed || unknown.length > 0), findings, unknown }
}

/** `unconfigured`: the operator has given nothing to look it up in, which is the same as off. */
export function statusOf({ type, needs }: Detection, { off, given }: RiskSettings): 'on' | 'off' | 'unconfigured' {
  if (off.includes(type)) return 'off'
  return needs === undefined || given[needs] ? 'on' : 'unconfigured'
}
