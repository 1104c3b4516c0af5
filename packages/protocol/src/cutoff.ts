import { CaegisError, PROTOCOL_ERRORS } from './errors.ts'
import { isIdentifier, isNumericDate, isObject } from './shape.ts'
import { clientOf } from './token-claims.ts'

export const CUTOFF_KINDS = ['tenant', 'user', 'session', 'token', 'app', 'grant', 'device', 'user-device'] as const
export type CutoffKind = (typeof CUTOFF_KINDS)[number]
export const CUTOFF_DEPTHS = ['claims', 'access', 'sign-in'] as const
export type CutoffDepth = (typeof CUTOFF_DEPTHS)[number]

/**
 * "Tokens of `id` that `issuer` issued at or before second `t` are no longer good."
 *
 * `access`: access tokens are re-evaluated and a silent refresh decides. `claims`: the same, but tokens without cp1 are spared: the new ones would be allowed as well,
 * and a client that cannot answer a challenge would go on showing the dead one from its cache (threat A9). `sign-in`: at the issuer, sessions, refresh tokens, codes
 * and half-done sign-ins whose first factor was proved at or before `t` die too.
 */
export interface Cutoff {
  issuer: string
  kind: CutoffKind
  id: string
  /** Seconds. */
  t: number
  depth: CutoffDepth
  /** Seconds: the last `exp` of a token that the cutoff can hit; it may be forgotten after that. */
  until: number
}

/** A key under which a token may be cut off. Kinds that name a pair join both ids by {@link pairId}. */
export interface CutoffKey {
  kind: CutoffKind
  id: string
}

/** Ids hold no control characters, so a line feed joins two without ambiguity. */
export function pairId(user: string, other: string): string {
  return `${user}\n${other}`
}

/** How deep an `act` chain may nest (RFC 8693 section 4.1); a deeper one is refused, not ignored. */
export const MAX_ACT_DEPTH = 4

/** Keys that {@link sourceKeys} may name: each exchange adds the token and, of the agent's own, at most five. */
export const MAX_SOURCES = 6 * MAX_ACT_DEPTH

/**
 * What a token was derived from, as far as no other claim of it says so: `caegis_from`, a list of kind and id. It holds the ids of the tokens that were traded for it, and
 * the session or the device of the agent: one of them ends, and the derived token ends too. `undefined` when it is malformed or too long.
 */
export function sourceKeys({ caegis_from: from }: Record<string, unknown>): CutoffKey[] | undefined {
  if (from === undefined) return []
  if (!Array.isArray(from) || from.length > MAX_SOURCES) return undefined
  const keys: CutoffKey[] = []
  for (const pair of from as unknown[]) {
    if (!Array.isArray(pair) || pair.length !== 2) return undefined
    const [kind, id] = pair as unknown[]
    if (!isKind(kind) || !isIdOf(kind, id)) return undefined
    keys.push({ kind, id })
  }
  return keys
}

/**
 * Every key under which the token with these (verified) claims can be cut off, those of its actors and of what it was derived from included; `undefined` when a claim
 * that names one of them is no identifier, since nobody could cut it off by that, or when the `act` chain or {@link sourceKeys} is malformed, or longer than allowed.
 * Reads our own claims, those of Entra v1/v2 (`oid`, `uti`, `appid`) and of Okta (`uid`, `cid`). Null and the empty text name nothing.
 */
export function cutoffKeys(claims: Record<string, unknown>): CutoffKey[] | undefined {
  const keys: CutoffKey[] = []
  const put = (kind: CutoffKind, id: string) => {
    if (!keys.some((key) => key.kind === kind && key.id === id)) keys.push({ kind, id })
  }
  let readable = true
  const add = (kind: CutoffKind, id: unknown) => {
    if (isIdentifier(id)) put(kind, id)
    else if (id !== undefined && id !== null && id !== '') readable = false
  }
  const app = clientOf(claims)
  const users = [claims.sub, claims.oid, claims.uid].filter((id) => isIdentifier(id))
  add('tenant', claims.tid)
  for (const id of [claims.sub, claims.oid, claims.uid]) add('user', id)
  add('session', claims.sid)
  add('token', claims.jti)
  add('token', claims.uti)
  add('app', app)
  add('device', claims.deviceid)
  for (const user of new Set(users)) {
    if (isIdentifier(app)) keys.push({ kind: 'grant', id: pairId(user, app) })
    if (isIdentifier(claims.deviceid)) keys.push({ kind: 'user-device', id: pairId(user, claims.deviceid) })
  }
  const sources = sourceKeys(claims)
  if (sources === undefined) return undefined
  for (const { kind, id } of sources) put(kind, id)
  let actor: unknown = claims.act
  for (let depth = 0; actor !== undefined; depth++) {
    if (depth >= MAX_ACT_DEPTH || !isObject(actor)) return undefined
    add('user', actor.sub)
    add('user', actor.oid)
    const acting = clientOf(actor)
    add('app', acting)
    // What a user takes back from an application ends what was got through it.
    if (isIdentifier(acting)) for (const user of new Set(users)) put('grant', pairId(user, acting))
    // An agent that acts under its client id is named by `sub` alone: it may be cut off as an application too.
    add('app', actor.sub)
    actor = actor.act
  }
  return readable ? keys : undefined
}

/**
 * Cutoffs with the same text merge into one. Those of depth `claims` are kept apart from the others of the same key: a later one that spares a token must not stand
 * for an earlier one that does not.
 */
export function cutoffPlace({ kind, id, depth }: Pick<Cutoff, 'kind' | 'id' | 'depth'>): string {
  return `${depth === 'claims' ? 'claims ' : ''}${kind} ${id}`
}

/**
 * The later one wins, whatever the order and however often either is seen: merging is commutative, associative and idempotent.
 * @throws TypeError for two that are kept apart: see {@link cutoffPlace}
 */
export function mergeCutoffs(a: Cutoff, b: Cutoff): Cutoff {
  if (cutoffPlace(a) !== cutoffPlace(b)) throw new TypeError('These cutoffs are kept apart')
  const later = a.t >= b.t ? a : b
  return {
    ...later,
    depth: a.depth === 'sign-in' ? 'sign-in' : b.depth,
    until: Math.max(a.until, b.until),
  }
}

/** A cutoff as snapshots and `cutoffs` events carry it: its issuer is the transmitter's. */
export type CutoffRow = [kind: CutoffKind, id: string, t: number, depth: CutoffDepth, until: number]

/** Rows in one list. */
export const MAX_ROWS = 1000
/** Bytes of a list as JSON: receivers bound a SET at 64 KiB, of which base64 takes a quarter and the other claims some. */
export const MAX_ROWS_BYTES = 40_000

/**
 * Reads a list of rows, all of them or none: a list that is read in part would look like one that was read.
 * @throws CaegisError `invalid_cutoffs`
 */
export function parseCutoffs(value: unknown, issuer: string): Cutoff[] {
  if (!Array.isArray(value) || value.length > MAX_ROWS) throw invalid('not a list, or too long')
  return value.map((row): Cutoff => {
    if (!Array.isArray(row) || row.length !== 5) throw invalid('a row')
    const [kind, id, t, depth, until] = row as unknown[]
    if (!isKind(kind) || !isIdOf(kind, id)) throw invalid('whom a row names')
    if (!Number.isSafeInteger(t) || (t as number) < 0 || !isNumericDate(until)) throw invalid('a time')
    if (!isDepth(depth)) throw invalid('a depth')
    return { issuer, kind, id, t: t as number, depth, until }
  })
}

export function isKind(value: unknown): value is CutoffKind {
  return (CUTOFF_KINDS as readonly unknown[]).includes(value)
}

export function isDepth(value: unknown): value is CutoffDepth {
  return (CUTOFF_DEPTHS as readonly unknown[]).includes(value)
}

export function isIdOf(kind: CutoffKind, id: unknown): id is string {
  if (kind !== 'grant' && kind !== 'user-device') return isIdentifier(id)
  if (typeof id !== 'string') return false
  const pair = id.split('\n')
  return pair.length === 2 && pair.every((one) => isIdentifier(one))
}

/** Cutoffs of one issuer as lists of rows, each short enough for one SET. */
export function packCutoffs(cutoffs: Iterable<Cutoff>): CutoffRow[][] {
  const lists: CutoffRow[][] = []
  let rows: CutoffRow[] = []
  let bytes = 2
  for (const { kind, id, t, depth, until } of cutoffs) {
    const row: CutoffRow = [kind, id, t, depth, until]
    const more = bytesOf(row) + 1
    if (rows.length === MAX_ROWS || bytes + more > MAX_ROWS_BYTES) {
      lists.push(rows)
      rows = []
      bytes = 2
    }
    rows.push(row)
    bytes += more
  }
  if (rows.length > 0) lists.push(rows)
  return lists
}

const encoder = new TextEncoder()

/** Length of a value as JSON in UTF-8. */
export function bytesOf(value: unknown): number {
  return encoder.encode(JSON.stringify(value)).length
}

function invalid(why: string): CaegisError {
  return new CaegisError('invalid_cutoffs', PROTOCOL_ERRORS.invalid_cutoffs, { detail: why })
}
