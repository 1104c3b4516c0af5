import { POLL_METHOD, PUSH_METHOD } from '../wire.ts'
import type { Settings } from './options.ts'

/** The transmitter configuration metadata (SSF 1.0 section 7.1), public. Names only what is there. */
export function metadata({ issuer, jwksUri, base, push, defaultSubjects, legacyDraft }: Settings): Record<string, unknown> {
  return {
    spec_version: legacyDraft ? '1_0-ID2' : '1_0',
    issuer,
    jwks_uri: jwksUri,
    delivery_methods_supported: push ? [PUSH_METHOD, POLL_METHOD] : [POLL_METHOD],
    configuration_endpoint: `${base}/streams`,
    status_endpoint: `${base}/status`,
    add_subject_endpoint: `${base}/subjects/add`,
    remove_subject_endpoint: `${base}/subjects/remove`,
    verification_endpoint: `${base}/verify`,
    // Without these members an event reaches further than it means, so a receiver that cannot process them must discard it (section 3.6).
    critical_subject_members: ['session', 'application', 'device'],
    authorization_schemes: [{ spec_urn: 'urn:ietf:rfc:6749' }],
    default_subjects: defaultSubjects,
    caegis_snapshot_endpoint: `${base}/snapshot`,
    caegis_segments_endpoint: `${base}/segments`,
  }
}
