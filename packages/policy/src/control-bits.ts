import { CONTROLS, type Control } from './decision.ts'

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
