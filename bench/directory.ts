import type { Figure } from './figure.ts'
import { ldap } from './ldap.ts'

/** The directory: where its people come from. */
export async function run(emit: (figure: Figure) => void): Promise<void> {
  await ldap(emit)
}
