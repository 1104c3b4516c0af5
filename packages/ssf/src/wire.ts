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

/**
 * A position, and which event stands there. A number alone does not say of which log it is one: a database that is restored from an older copy gives out the same
 * numbers again, in the same epoch, to other events.
 */
export interface Place extends Position {
  /** Its id, without the part of its `jti` that names the stream; absent at the beginning of a log. */
  event?: string
}

/** The event's id within the `jti` of any stream. */
export function eventOf(jti: string): string {
  return jti.slice(0, jti.lastIndexOf('.'))
}

/** JOSE `typ` of a head on its own (our extension). */
export const HEAD_TYPE = 'caegis-head+jwt'

/** Whom the messages to a fleet of guards are for: all guards of the issuer, and nothing else. */
export function fleetAudience(issuer: string): string {
  return `${issuer}/fleet`
}

/** The broker's stream that holds the logs of all issuers. */
export const FLEET_STREAM = 'CAEGIS'

/** The broker's subjects for one issuer: its log is stored there, its heads only pass by. An issuer is base64url, because a subject knows no other dots, blanks and stars. */
export function fleetSubjects(issuer: string): { log: string; head: string } {
  const name = Buffer.from(issuer).toString('base64url')
  return { log: `caegis.${name}.log`, head: `caegis.${name}.head` }
}
