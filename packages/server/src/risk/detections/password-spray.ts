import { type Detection, HOUR, MOST } from '../detection.ts'
import { goodSignIns, ownDevice } from '../familiar.ts'
import type { Signal } from '../signal.ts'

/** Accounts whose passwords were guessed at in vain. */
const ACCOUNTS = 10

export const passwordSpray: Detection = {
  type: 'passwordSpray',
  says: `A password was right, from a network from which those of at least ${ACCOUNTS} other accounts were tried in vain within the hour; names that nobody has count, too.`,
  falseAlarms: `Silent for a browser or device that the user has signed in with. Whoever types it wrong and then right counts as no account that was tried in vain, so that the many people behind one address do not look like a spray. It is wrong about somebody with a new browser in a network in which ${ACCOUNTS} people have just given up, or in which a machine guesses. A spray from many networks, or slower than that, is not seen.`,
  detect({ signal, recent }) {
    if (!looksAround(signal, goodSignIns(recent))) return undefined
    if (signal.network === '') return 'unknown'
    const hour = recent.network.filter((one) => one.at > signal.at - HOUR && one.network === signal.network)
    const right = new Set([accountOf(signal)])
    for (const one of hour) if (one.outcome === 'success') right.add(accountOf(one))
    const wrong = hour.filter((one) => one.outcome === 'failure' && !one.passwordless && !right.has(accountOf(one)))
    const accounts = new Set(wrong.map(accountOf)).size
    // More happened there than is remembered: who knows how many were tried.
    if (accounts < ACCOUNTS) return recent.network.length < MOST.network ? undefined : 'unknown'
    return {
      type: 'passwordSpray',
      level: 'high',
      about: 'user',
      why: `Within the hour the passwords of ${accounts} other accounts were tried in vain from the same network (${signal.network}); the one of this account was right.`,
      facts: { accounts, failures: wrong.length, network: signal.network },
    }
  },
}

/** Whether what else came from its network says anything about this one: of most sign-ins it does not, so it need not be read. */
export function looksAround(signal: Signal, good: readonly Signal[]): boolean {
  return signal.kind === 'interactive' && !signal.passwordless && !ownDevice(signal, good)
}

/** All names that nobody has, and of which nothing else is known, are one. */
function accountOf({ user, name }: Signal): string {
  return user === undefined ? `name ${name ?? ''}` : `user ${user}`
}
