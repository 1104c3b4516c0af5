import type { Recent } from './detection.ts'
import type { Signal } from './signal.ts'

/** Interactive sign-ins with which nothing was wrong: by them, and by nothing else, a browser, a device, a network or a country becomes familiar. */
export function goodSignIns({ user }: Recent): Signal[] {
  return user.filter(({ kind, outcome, doubted }) => kind === 'interactive' && outcome === 'success' && !doubted)
}

/** Whether it comes from a browser or a device that the user has signed in with. */
export function ownDevice({ browser, device }: Signal, good: readonly Signal[]): boolean {
  return good.some((one) => (browser !== undefined && one.browser === browser) || (device !== undefined && one.device === device))
}

/** Whether the user has signed in from this network. */
export function ownNetwork(network: string, good: readonly Signal[]): boolean {
  return network !== '' && good.some((one) => one.network === network)
}
