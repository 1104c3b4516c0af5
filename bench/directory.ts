import type { Figure } from './figure.ts'
import { ldap } from './ldap.ts'
import { people } from './people.ts'

/** The directory: a large one asked by the admin API, and where its people come from. */
export async function run(emit: (figure: Figure) => void): Promise<void> {
  await people(emit)
  await ldap(emit)
}
