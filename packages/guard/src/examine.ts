import { type CutoffKey, cutoffKeys, isObject, type JsonObject } from '@caegis/protocol'
import { readConfirmation } from './confirmation.ts'
import { claimsHalf, type KeyedHash } from './hash.ts'
import type { VerifyKey } from './keys.ts'
import type { LateBound } from './rules.ts'
import type { ParsedToken } from './token.ts'
import { ownText, type SeenToken } from './token-cache.ts'
import type { TokenSubject } from './verdict.ts'

/** An ordinary token lives 60 to 90 minutes; what lives longer is trusted only while revocations arrive. */
const ORDINARY_LIFE = 5400 + 300

/**
 * What the guard keeps of a token whose signature was verified, worked out once so that later requests only compare numbers.
 * @param text the whole token
 * @returns `undefined` when what it names cannot be read, so that nobody could cut it off by that (see `cutoffKeys`)
 */
export function remember(token: ParsedToken, key: VerifyKey, text: string, issuer: string, hash: KeyedHash): SeenToken | undefined {
  const { claims, times } = token
  const keys = cutoffKeys(claims)
  if (keys === undefined) return undefined
  const capable = isCapable(claims)
  return {
    text: ownText(text),
    claims: freeze(claims),
    subject: subjectOf(claims, keys, issuer),
    times,
    key,
    hashes: hashesOf(keys, issuer, hash, capable),
    capable,
    longLived: claims.xms_ssm === '1' || times.exp - times.iat > ORDINARY_LIFE,
    // The end of a signature is as good as random, and the same at every replica.
    spread: token.signature.readUInt16BE(token.signature.length - 2) / 65_536,
    late: lateBoundOf(claims),
    bound: readConfirmation(claims.cnf),
    place: undefined,
    version: -1,
    cutoff: -1,
  }
}

/** The policies whose location condition is left to the guard; token.ts has seen to their form. */
function lateBoundOf({ capolids_latebind: policies, caegis_ip: judged }: JsonObject): LateBound | undefined {
  if (!Array.isArray(policies) || policies.length === 0) return undefined
  const exception = readException(judged)
  return { policies, ...(exception === undefined ? {} : { exception }) }
}

/** What cannot be read excuses nothing. */
function readException(judged: unknown): LateBound['exception'] {
  if (!isObject(judged) || typeof judged.address !== 'string' || !Array.isArray(judged.policies)) return undefined
  return { address: judged.address, policies: judged.policies.filter((id) => typeof id === 'string') }
}

/** The client's capabilities hold `cp1`, in any case. */
export function isCapable({ xms_cc: capabilities }: JsonObject): boolean {
  const list = Array.isArray(capabilities) ? capabilities : [capabilities]
  return list.some((one) => typeof one === 'string' && one.toLowerCase() === 'cp1')
}

/** A token without cp1 does not look where cutoffs of depth `claims` lie: its client could not get past its cache (threat A9). */
function hashesOf(keys: readonly CutoffKey[], issuer: string, hash: KeyedHash, capable: boolean): Int32Array {
  const hashes = new Int32Array(keys.length * (capable ? 4 : 2))
  let at = 0
  for (const { kind, id } of keys) {
    hash.ofCutoff(issuer, kind, id)
    const h1 = hash.out[0] as number
    const h2 = hash.out[1] as number
    hashes[at++] = h1
    hashes[at++] = h2
    if (!capable) continue
    hashes[at++] = h1
    hashes[at++] = claimsHalf(h2)
  }
  return hashes
}

/** The first key of each kind is the token's own; what it was derived from, and actors, follow after. */
function subjectOf(claims: JsonObject, keys: readonly CutoffKey[], issuer: string): TokenSubject {
  const subject: Record<string, string> = { issuer }
  const own = claims.caegis_from === undefined ? keys : (cutoffKeys({ ...claims, caegis_from: undefined, act: undefined }) ?? [])
  for (const { kind, id } of own) if (kind !== 'grant' && kind !== 'user-device' && !(kind in subject)) subject[kind] = id
  return Object.freeze(subject) as unknown as TokenSubject
}

/** Deeply: the claims are shared by every request that carries this token. */
function freeze<T extends object>(value: T): T {
  // Object.values: several times faster here than for-in.
  for (const member of Object.values(value)) if (typeof member === 'object' && member !== null) freeze(member)
  return Object.freeze(value)
}
