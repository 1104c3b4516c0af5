/** Codes by which Node says that it does not trust a certificate, or that it is another one's. */
const UNTRUSTED = new Set([
  ...['SELF_SIGNED_CERT_IN_CHAIN', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'UNABLE_TO_GET_ISSUER_CERT', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'],
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])

/**
 * Why a request came to nothing below HTTP: `network`, and the code of the system or of TLS where there is one. Messages may repeat addresses and headers: nothing but a
 * plain code is taken from them.
 */
export function networkCode(error: unknown): string {
  const code = codeOf(error) ?? codeOf((error as { cause?: unknown } | undefined)?.cause)
  return code === undefined ? 'network' : `network ${code}`
}

/** The same for a log, with what to do where that is known. */
export function networkReason(error: unknown): string {
  const code = networkCode(error)
  return UNTRUSTED.has(code.slice('network '.length))
    ? `${code}: its certificate is not trusted here; NODE_EXTRA_CA_CERTS names a file of further authorities`
    : code
}

function codeOf(error: unknown): string | undefined {
  const code = typeof error === 'object' && error !== null ? (error as { code?: unknown }).code : undefined
  return typeof code === 'string' && /^[A-Za-z0-9_]{1,48}$/.test(code) ? code : undefined
}
