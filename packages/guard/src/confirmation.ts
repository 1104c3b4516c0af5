import { isObject } from '@caegis/protocol'

/** What a token is bound to (RFC 7800): whoever shows it must show that they have it. */
export interface Confirmation {
  /** Thumbprint of a key that signs a proof for each request (RFC 9449 section 6.1). */
  readonly jkt?: string
  /** Thumbprint of the certificate of the TLS connection (RFC 8705 section 3.1). */
  readonly x5t?: string
}

const THUMBPRINT = /^[A-Za-z0-9_-]{43}$/

/** @returns `undefined` for what cannot be verified here: a condition that is passed over would be met by anybody */
export function readConfirmation(cnf: unknown): Confirmation | undefined {
  if (!isObject(cnf)) return undefined
  const { jkt, 'x5t#S256': x5t, ...others } = cnf
  if (Object.keys(others).length > 0 || (jkt === undefined && x5t === undefined)) return undefined
  if (![jkt, x5t].every((one) => one === undefined || (typeof one === 'string' && THUMBPRINT.test(one)))) return undefined
  return { ...(jkt === undefined ? {} : { jkt: jkt as string }), ...(x5t === undefined ? {} : { x5t: x5t as string }) }
}
