import { isIdentifier } from './shape.ts'

/** Whom an API saw, where and when: what its evidence vouches for. */
export interface EvidenceFacts {
  /** The token's session; absent where it has none. */
  sid?: string | undefined
  /** The client that the token was issued to. */
  azp: string
  /** The token that was refused. */
  jti: string
  /** The caller's address, as the challenge names it. */
  address: string
  /** Seconds, by the API's clock. */
  second: number
}

/** Evidence as a client hands it on, from the challenge of the API to the issuer. */
export interface Evidence {
  second: number
  jti: string
  /** Base64url of the HMAC-SHA256 over {@link evidenceText}. */
  mac: string
}

/** Seconds for which evidence proves anything. */
export const EVIDENCE_LIFE = 300
/** Seconds by which an API's clock may be ahead of the issuer's. */
const AHEAD = 60
const SHAPE = /^(\d{1,12})\.(.+)\.([A-Za-z0-9_-]{43})$/

/**
 * What an API that refused its caller for the location signs by the key that it shares with the issuer. It binds the address to this session, client and token: repeated
 * by a thief, or for another client, it proves nothing (threat D2).
 */
export function evidenceText({ sid = '', azp, jti, address, second }: EvidenceFacts): string {
  return `${sid}\n${azp}\n${jti}\n${address}\n${second}`
}

/** The value of the challenge's member `caegis_evidence`. */
export function formatEvidence({ second, jti, mac }: Evidence): string {
  return `${second}.${jti}.${mac}`
}

/** @returns `undefined` for what is no evidence: then none was given */
export function parseEvidence(text: string): Evidence | undefined {
  const found = text.length <= 512 ? SHAPE.exec(text) : null
  if (!found) return undefined
  const [, second, jti, mac] = found as unknown as [string, string, string, string]
  return isIdentifier(jti, 256) ? { second: Number(second), jti, mac } : undefined
}

/**
 * Whether the address was seen lately: clients may repeat what they were once challenged with for ever.
 * @param now seconds, by the issuer's clock
 */
export function isFreshEvidence({ second }: Pick<Evidence, 'second'>, now: number): boolean {
  return second > now - EVIDENCE_LIFE && second <= now + AHEAD
}
