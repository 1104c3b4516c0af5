import type { Detection } from '../detection.ts'
import { goodSignIns, ownNetwork } from '../familiar.ts'

export const tokenReplay: Detection = {
  type: 'anomalousToken',
  failures: true,
  says: 'A refresh token that had been used already was presented again, from another network than the one it was used from: two have it.',
  falseAlarms:
    'Silent for tokens that are bound to a key which the client has proved, and where the user has signed in from both networks. Within the moment of grace, in which an answer may just have been lost, it is of medium level only, and about this refresh. It is wrong about a phone that loses the answer and comes back later, in a network that is new. The session ends in either case.',
  // A thief who was first is betrayed by the owner: either of the two may be the stranger.
  detect({ signal, recent, replay }) {
    if (!replay || replay.bound) return undefined
    if (replay.network !== '' && replay.network === signal.network) return undefined
    const good = goodSignIns(recent)
    if (ownNetwork(signal.network, good) && ownNetwork(replay.network, good)) return undefined
    if (replay.network === '' || signal.network === '') return 'unknown'
    const seconds = Math.max(0, signal.at - replay.at)
    return {
      type: 'anomalousToken',
      level: replay.grace ? 'medium' : 'high',
      about: replay.grace ? 'signIn' : 'user',
      why: `A refresh token that was used from ${replay.network} was presented again ${seconds} seconds later, from ${signal.network}: somebody has a copy of it.`,
      facts: { seconds, usedFrom: replay.network, network: signal.network },
    }
  },
}
