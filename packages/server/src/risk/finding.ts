/** Graph's words (`riskEventType`); `bruteForce` is ours. */
export const DETECTION_TYPES = [
  'unlikelyTravel',
  'unfamiliarFeatures',
  'passwordSpray',
  'bruteForce',
  'anomalousToken',
  'leakedCredentials',
  'maliciousIPAddress',
] as const
export type DetectionType = (typeof DETECTION_TYPES)[number]
export type RiskEventType = DetectionType | 'adminConfirmedUserCompromised'

/** What a detection has seen, and why it says so. */
export interface Finding {
  type: RiskEventType
  level: 'low' | 'medium' | 'high'
  /** `user`: somebody else has the password or the tokens. `signIn`: this one sign-in may not be the user's; a second factor answers that. */
  about: 'signIn' | 'user'
  /** One sentence with the facts, for a person. */
  why: string
  facts: Record<string, string | number | string[]>
}
