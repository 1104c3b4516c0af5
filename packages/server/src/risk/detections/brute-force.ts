import { type Detection, HOUR, MOST } from '../detection.ts'
import { goodSignIns, ownDevice, ownNetwork } from '../familiar.ts'

/** Wrong guesses at one account. */
const GUESSES = 10

export const bruteForce: Detection = {
  type: 'bruteForce',
  says: `A password was right after at least ${GUESSES} wrong ones for the same account within the hour, from wherever they came.`,
  falseAlarms: `Silent for a browser or device that the user has signed in with, and for a network that is known if none of the guesses came from it: whose account is guessed at can go on working. Typing errors in a browser that is the user's do not count. It is wrong about somebody who tries ${GUESSES} passwords on a new device before they remember.`,
  detect({ signal, recent }) {
    if (signal.kind !== 'interactive' || signal.passwordless) return undefined
    const good = goodSignIns(recent)
    if (ownDevice(signal, good)) return undefined
    const failures = recent.user.filter((one) => one.outcome === 'failure' && one.kind === 'interactive' && one.at > signal.at - HOUR)
    const guesses = failures.filter((one) => !one.passwordless && !ownDevice(one, good))
    // More failed than is remembered: who knows how many were guesses.
    if (guesses.length < GUESSES) return failures.length < MOST.user ? undefined : 'unknown'
    if (signal.network === '') return 'unknown'
    if (ownNetwork(signal.network, good) && !guesses.some(({ network }) => network === signal.network || network === '')) return undefined
    const networks = [...new Set(guesses.map(({ network }) => network || 'unknown'))].sort()
    return {
      type: 'bruteForce',
      level: 'high',
      about: 'user',
      why: `Within the hour ${guesses.length} wrong passwords were tried for this account from ${networks.length === 1 ? networks[0] : `${networks.length} networks`}; then one from ${signal.network} was right.`,
      facts: { guesses: guesses.length, networks: networks.slice(0, 10), network: signal.network },
    }
  },
}
