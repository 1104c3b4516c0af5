/** What transmitter and receiver must agree on. */

/** Push delivery (RFC 8935). */
export const PUSH_METHOD = 'urn:ietf:rfc:8935'

/** Poll delivery (RFC 8936). */
export const POLL_METHOD = 'urn:ietf:rfc:8936'

/** JOSE `typ` of a snapshot's seal (our extension). */
export const SEAL_TYPE = 'caegis-snapshot+jwt'

/** First refusals that one poll carries at most (our extension). */
export const MAX_REFUSED = 100

/** A position in one incarnation of the log. */
export interface Position {
  epoch: string
  seq: number
}
