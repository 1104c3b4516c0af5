import { type Geo, openGeo } from './geo.ts'
import type { Log } from './log.ts'
import { openAddressList } from './risk/address-list.ts'
import type { Intelligence } from './risk/intelligence.ts'
import { openLeakedList } from './risk/leaked-list.ts'
import type { Settings } from './settings.ts'

/**
 * Opens what the operator has given for detections of risk to look things up in. Without it they are off, which is not the same as having found nothing.
 * @throws CaegisError `invalid_settings`
 */
export async function openIntelligence(
  { countryDb, leakedPasswords, riskyAddresses }: Settings,
  { log, now }: { log: Log; now: () => number },
): Promise<Intelligence & Pick<Geo, 'countryOf'> & { close(): Promise<void> }> {
  const { given, countryOf, placeOf } = openGeo(countryDb)
  const addresses = riskyAddresses === undefined ? undefined : openAddressList(riskyAddresses, { log, now })
  const passwords = leakedPasswords === undefined ? undefined : await openLeakedList(leakedPasswords)
  return {
    given: { ...given, leaked: passwords !== undefined, addresses: addresses !== undefined },
    countryOf,
    placeOf,
    leaked: async (password) => passwords?.has(password) ?? 'unknown',
    listed: (address) => addresses?.has(address) ?? 'unknown',
    close: async () => passwords?.close(),
  }
}
