import { controlBit } from './control-bits.ts'
import type { Requirement } from './decision.ts'
import type { GrantControls, Policy, SessionControls } from './policy.ts'
import type { Signals } from './signals.ts'

/** The grant controls of a policy, compiled. */
export interface CompiledGrant {
  readonly block: boolean
  readonly operator: 'AND' | 'OR'
  readonly bits: number
  readonly strength: Strength | undefined
}

interface Strength {
  readonly told: NonNullable<Requirement['strength']>
  readonly combinations: readonly (readonly string[])[]
}

const STRENGTH = controlBit('authenticationStrength')
const NOTHING: CompiledGrant = { block: false, operator: 'AND', bits: 0, strength: undefined }

export function compileGrant(grant: GrantControls | null): CompiledGrant {
  if (!grant) return NOTHING
  let bits = 0
  let block = false
  for (const control of grant.builtInControls) {
    if (control === 'block') block = true
    else bits |= controlBit(control)
  }
  const { authenticationStrength } = grant
  if (!authenticationStrength) return { block, operator: grant.operator, bits, strength: undefined }
  const { id, allowedCombinations } = authenticationStrength
  const combinations = allowedCombinations.map((one) => one.split(',').map((method) => method.trim()))
  return { block, operator: grant.operator, bits: bits | STRENGTH, strength: { told: { id, allowedCombinations }, combinations } }
}

/**
 * What is missing of the grant controls; with OR, one that is there is enough.
 * @param done bits of the controls that are satisfied whatever a policy demands of them
 */
export function unmetGrant({ operator, bits, strength }: CompiledGrant, done: number, signals: Signals): number {
  const satisfied = strength && isStrong(strength, signals) ? done | STRENGTH : done
  if (operator === 'OR' && (bits & satisfied) !== 0) return 0
  return bits & ~satisfied
}

function isStrong({ combinations }: Strength, { proof }: Signals): boolean {
  if (!proof) return false
  return combinations.some((methods) => methods.every((method) => proof.methods.includes(method)))
}

/** A sign-in frequency, compiled. */
export interface Frequency {
  /** `undefined`: every time. */
  readonly seconds: number | undefined
  readonly secondaryOnly: boolean
}

const UNITS = { hours: 3600, days: 86_400 }
/** MSAL takes no token for cached that lives five minutes or less: what would be shorter is asked for at once. */
const LEAST_LEFT = 360
/** "Every time" means: not again within five minutes. */
const EVERY_TIME = 300

export function compileFrequency(session: SessionControls | null): Frequency | undefined {
  const frequency = session?.signInFrequency
  if (!frequency) return undefined
  const { type, value, authenticationType } = frequency
  return {
    seconds: type === null || value === null ? undefined : value * UNITS[type],
    secondaryOnly: authenticationType === 'secondaryAuthentication',
  }
}

/** Until when what was proved is fresh enough; `undefined` where nothing was proved, or no instant is meant (every time). */
export function freshUntil({ seconds, secondaryOnly }: Frequency, { proof }: Signals): number | undefined {
  return proof && seconds !== undefined ? provedAt(proof, secondaryOnly) + seconds : undefined
}

/** Whether nobody needs to sign in again. */
export function isFresh(frequency: Frequency, signals: Signals): boolean {
  const { proof, now } = signals
  if (!proof) return false
  const until = freshUntil(frequency, signals)
  return until === undefined ? now - provedAt(proof, frequency.secondaryOnly) <= EVERY_TIME : until - now >= LEAST_LEFT
}

/** Of two factors the older one counts, unless only the second is asked about; one act that was both has one instant. */
function provedAt({ at, secondAt }: NonNullable<Signals['proof']>, secondaryOnly: boolean): number {
  if (secondAt === undefined) return at
  return secondaryOnly ? secondAt : Math.min(at, secondAt)
}

/** Names of the session controls that a policy sets, as Graph spells them. */
export function sessionControlNames({ sessionControls }: Policy): readonly string[] {
  if (!sessionControls) return []
  return Object.entries(sessionControls)
    .filter(([, value]) => value !== null && value !== false)
    .map(([name]) => name)
}
