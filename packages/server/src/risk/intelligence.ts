import type { Given } from './detection.ts'
import type { Place } from './signal.ts'

/** What the operator has given to look things up in. */
export interface Intelligence {
  /** What there is. */
  given: Given
  /** `unknown` when the list cannot be read. Nothing of the password is kept. */
  leaked(password: string): Promise<boolean | 'unknown'>
  listed(address: string): boolean | 'unknown'
  placeOf(address: string): Place | undefined
}
