import { X509Certificate } from 'node:crypto'
import { CaegisError } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'
import type { CredentialRow } from '../store/schema.ts'

/** A secret or a certificate of an application, as administrators see it. */
export interface Credential {
  id: string
  kind: CredentialRow['kind']
  displayName: string
  notBefore: number
  /** Seconds; `null` = never. */
  expiresAt: number | null
}

/** A certificate's key, and the thumbprint that a client names it by (RFC 7515 section 4.1.8). */
export interface CertificateKey {
  jwk: { kty: string; [member: string]: unknown }
  thumbprint: string
}

export function isGood({ not_before, expires_at }: CredentialRow, now: number): boolean {
  return not_before <= now && (expires_at === null || now < expires_at)
}

export function toCredential(row: CredentialRow): Credential {
  return { id: row.id, kind: row.kind, displayName: row.display_name, notBefore: row.not_before, expiresAt: row.expires_at }
}

/** The columns of a certificate. Its key is what counts; who issued it is not looked at, because an administrator registered it. */
export function readCertificate(pem: string): Pick<CredentialRow, 'kind' | 'value' | 'not_before' | 'expires_at'> {
  try {
    const certificate = new X509Certificate(pem)
    const { publicKey } = certificate
    const bits = publicKey.asymmetricKeyDetails?.modulusLength
    const curve = publicKey.asymmetricKeyDetails?.namedCurve
    if (!(bits !== undefined && bits >= 2048) && curve !== 'prime256v1') throw new Error('weak or of another kind')
    const thumbprint = Buffer.from(certificate.fingerprint256.replaceAll(':', ''), 'hex').toString('base64url')
    const key: CertificateKey = { jwk: publicKey.export({ format: 'jwk' }) as CertificateKey['jwk'], thumbprint }
    return {
      kind: 'certificate',
      value: JSON.stringify(key),
      not_before: Math.floor(certificate.validFromDate.getTime() / 1000),
      expires_at: Math.floor(certificate.validToDate.getTime() / 1000),
    }
  } catch {
    throw new CaegisError('invalid_certificate', SERVER_ERRORS.invalid_certificate)
  }
}
