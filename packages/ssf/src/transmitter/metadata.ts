import { POLL_METHOD } from '../wire.ts'
import type { Settings } from './options.ts'

/** The transmitter configuration metadata (SSF 1.0 section 7.1), public. Names only what is there. */
export function metadata({ issuer, jwksUri, base }: Settings): Record<string, unknown> {
  return {
    spec_version: '1_0',
    issuer,
    jwks_uri: jwksUri,
    delivery_methods_supported: [POLL_METHOD],
    configuration_endpoint: `${base}/streams`,
    status_endpoint: `${base}/status`,
    verification_endpoint: `${base}/verify`,
    // Without these members an event reaches further than it means, so a receiver that cannot process them must discard it (section 3.6).
    critical_subject_members: ['session', 'application', 'device'],
    authorization_schemes: [{ spec_urn: 'urn:ietf:rfc:6749' }],
    default_subjects: 'ALL',
    caegis_snapshot_endpoint: `${base}/snapshot`,
  }
}
