import type { Detection } from '../detection.ts'

export const listedAddress: Detection = {
  type: 'maliciousIPAddress',
  needs: 'addresses',
  says: "The sign-in came from an address that stands on the operator's list.",
  falseAlarms:
    'As good as the list: whoever shares a listed address (a VPN, a mobile network) is taken for the others behind it. A second factor answers it; an address that is there by mistake is taken off the list.',
  detect({ signal, listed }) {
    if (listed === false) return undefined
    if (listed !== true) return 'unknown'
    return {
      type: 'maliciousIPAddress',
      level: 'high',
      about: 'signIn',
      why: `It came from ${signal.address}, which stands on the list of addresses that the operator does not trust.`,
      facts: { address: signal.address, network: signal.network },
    }
  },
}
