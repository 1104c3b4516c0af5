import type { Detection } from '../detection.ts'
import { goodSignIns, ownDevice, ownNetwork } from '../familiar.ts'
import type { Finding } from '../finding.ts'
import type { Place, Signal } from '../signal.ts'

/** Kilometres an hour: an airliner. */
const FASTEST = 900
/** Kilometres: databases of addresses are wrong by less. */
const NEAREST = 500
const EARTH_RADIUS = 6371
/** Seconds after which nobody has come too far: half around the earth at that speed. */
const LONG_ENOUGH = ((Math.PI * EARTH_RADIUS) / FASTEST) * 3600

export const impossibleTravel: Detection = {
  type: 'unlikelyTravel',
  needs: 'places',
  says: `Two sign-ins one after the other, at least ${NEAREST} km apart, that nobody could have travelled between at ${FASTEST} km/h. What is measured is the distance between the nearest edges of both places.`,
  falseAlarms:
    'Silent where the user has signed in before with this browser or device, or from this network: that is a VPN, or a provider whose addresses lie elsewhere. It is wrong the first time that somebody uses a VPN in a browser that is new, too.',
  detect({ signal, recent }) {
    const good = goodSignIns(recent)
    if (ownDevice(signal, good) || ownNetwork(signal.network, good)) return undefined
    let unknown = false
    for (const former of latest(recent.user)) {
      if (signal.at - former.at > LONG_ENOUGH || (former.network !== '' && former.network === signal.network)) continue
      if (!signal.place || !former.place) unknown = true
      else if (tooFar(former, signal)) return finding(former, signal)
    }
    return unknown ? 'unknown' : undefined
  },
}

/** All of the newest second: which of them came first, nobody knows. */
function latest(user: readonly Signal[]): Signal[] {
  const good = user.filter(({ outcome, doubted }) => outcome === 'success' && !doubted)
  const at = good.reduce((newest, one) => Math.max(newest, one.at), 0)
  return good.filter((one) => one.at === at).sort((a, b) => (a.address < b.address ? -1 : 1))
}

function tooFar(former: Signal, signal: Signal): boolean {
  const kilometres = distance(former.place as Place, signal.place as Place)
  return kilometres >= NEAREST && kilometres > FASTEST * hoursBetween(former, signal)
}

/** A clock that was set back makes nobody faster than at once. */
function hoursBetween(former: Signal, signal: Signal): number {
  return Math.max(0, signal.at - former.at) / 3600
}

/** Kilometres between the nearest edges of two places, on a sphere. */
export function distance(a: Place, b: Place): number {
  const radians = (degrees: number) => (degrees * Math.PI) / 180
  const half = (angle: number) => Math.sin(angle / 2) ** 2
  const between =
    half(radians(b.latitude - a.latitude)) + Math.cos(radians(a.latitude)) * Math.cos(radians(b.latitude)) * half(radians(b.longitude - a.longitude))
  return Math.max(0, 2 * EARTH_RADIUS * Math.asin(Math.min(1, Math.sqrt(between))) - a.radius - b.radius)
}

function finding(former: Signal, signal: Signal): Finding {
  const kilometres = Math.floor(distance(former.place as Place, signal.place as Place))
  const minutes = Math.round(hoursBetween(former, signal) * 60)
  const from = `${former.country ?? 'an unknown country'} (${former.address})`
  const to = `${signal.country ?? 'an unknown country'} (${signal.address})`
  return {
    type: 'unlikelyTravel',
    level: 'medium',
    about: 'signIn',
    why: `It came from ${to}, ${minutes} minutes after one from ${from}: at least ${kilometres} km away, which is further than anybody travels in that time.`,
    facts: {
      kilometres,
      minutes,
      formerAddress: former.address,
      formerCountry: former.country ?? '',
      address: signal.address,
      country: signal.country ?? '',
    },
  }
}
