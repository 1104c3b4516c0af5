import { CONTROLS, type Control } from './decision.ts'
import { type Places, type Whereabouts, whereaboutsOf } from './location-condition.ts'
import { type Mentions, marksOf } from './mentions.ts'
import type { Signals } from './signals.ts'

/** One question to all policies: the signals, and what is made of them once. */
export interface View {
  readonly signals: Signals
  /** By number of a policy: see `Mentions`. */
  readonly marks: Uint8Array
  readonly where: Whereabouts
  /** Controls that are satisfied whatever a policy demands of them: bits of `controlBit`. */
  readonly satisfied: number
  /** Whether it is known what is asked for: an application, an action or contexts. */
  readonly targeted: boolean
}

const BITS = new Map(CONTROLS.map((control, at) => [control, 1 << at]))

export function controlBit(control: Control): number {
  return BITS.get(control) as number
}

const NAMES: (readonly Control[])[] = []

/** The controls of a set of bits, in the order in which they are asked for. */
export function controlsOf(bits: number): readonly Control[] {
  NAMES[bits] ??= Object.freeze(CONTROLS.filter((_, at) => bits & (1 << at)))
  return NAMES[bits]
}

export function viewOf({ places, mentions }: { places: Places; mentions: Mentions }, signals: Signals): View {
  const { application, action, contexts } = signals
  return {
    signals,
    marks: marksOf(mentions, signals),
    where: whereaboutsOf(places, signals.address, signals.country),
    satisfied: satisfiedControls(signals),
    targeted: application !== undefined || action !== undefined || contexts !== undefined,
  }
}

/** What is not known to be satisfied is not. */
function satisfiedControls({ proof, device, client }: Signals): number {
  let bits = 0
  if (proof?.mfa === true) bits |= controlBit('mfa')
  if (proof?.passwordChanged === true) bits |= controlBit('passwordChange')
  if (device?.isCompliant === true) bits |= controlBit('compliantDevice')
  if (device?.trustType === 'ServerAD') bits |= controlBit('domainJoinedDevice')
  if (client?.approved === true) bits |= controlBit('approvedApplication')
  if (client?.compliant === true) bits |= controlBit('compliantApplication')
  return bits
}
