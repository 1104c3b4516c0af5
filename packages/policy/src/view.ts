import type { PolicySet } from './compile.ts'
import { controlBit } from './control-bits.ts'
import { type Whereabouts, whereaboutsOf } from './location-condition.ts'
import { marksOf } from './mentions.ts'
import type { Signals } from './signals.ts'

/** One question to all policies: the signals, and what is made of them once. */
export interface View {
  readonly signals: Signals
  readonly where: Whereabouts
  /** By number of a policy: see `Mentions`. */
  readonly marks: Uint8Array
  /** By number of a test: see `Conditions`. */
  readonly truths: Uint8Array
  /** Controls that are satisfied whatever a policy demands of them: bits of `controlBit`. */
  readonly satisfied: number
}

export function viewOf({ places, mentions, conditions }: PolicySet, signals: Signals): View {
  const where = whereaboutsOf(places, signals.address, signals.country)
  const truths = new Uint8Array(conditions.tests.length)
  conditions.tests.forEach((test, at) => {
    truths[at] = test(signals, where)
  })
  return { signals, where, marks: marksOf(mentions, signals), truths, satisfied: satisfiedControls(signals) }
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
