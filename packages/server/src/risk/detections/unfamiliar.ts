import type { Detection } from '../detection.ts'
import { goodSignIns, ownDevice, ownNetwork } from '../familiar.ts'
import type { Signal } from '../signal.ts'

/** Good sign-ins of the last 30 days before which a person has no habits yet. */
const LEARNING = 3

export const unfamiliar: Detection = {
  type: 'unfamiliarFeatures',
  says: 'A sign-in with a browser or device, and from a network, that the user has not signed in with in the last 30 days; from a country that is new as well, where a database of countries is given.',
  falseAlarms: `Silent where either the browser (or device) or the network is known, so that neither a new laptop at the office nor a hotel raises it, and during the first ${LEARNING} good sign-ins of 30 days. It is wrong about somebody who travels with a new device, or whose browser forgets its cookies.`,
  detect({ signal, recent }, given) {
    if (signal.kind !== 'interactive') return undefined
    const good = goodSignIns(recent)
    if (good.length < LEARNING || ownDevice(signal, good) || ownNetwork(signal.network, good)) return undefined
    if (signal.network === '') return 'unknown'
    const newCountry =
      given.countries &&
      isNew(
        signal.country,
        good.map(({ country }) => country),
      )
    if (newCountry === 'unknown') return 'unknown'
    const country = newCountry ? `, and from a country (${signal.country ?? 'none'}) that are` : ' that is'
    return {
      type: 'unfamiliarFeatures',
      level: newCountry ? 'medium' : 'low',
      about: 'signIn',
      why: `It came from a browser or device that the user has not signed in with in the last 30 days, from a network (${signal.network})${country} new, too.`,
      facts: {
        new: ['device', 'network', ...(newCountry ? ['country'] : [])],
        network: signal.network,
        country: signal.country ?? '',
        compared: good.length,
      },
    }
  },
}

function isNew(country: Signal['country'], former: readonly Signal['country'][]): boolean | 'unknown' {
  if (country === undefined) return 'unknown'
  if (former.includes(country)) return false
  return former.every((one) => one === undefined) ? 'unknown' : true
}
