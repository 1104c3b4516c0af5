import { EVENT } from './events.ts'
import type { SecurityEvent } from './set.ts'
import { isIdentifier, isNumericDate, isObject } from './shape.ts'
import type { ComplexSubject, SimpleSubject, Subject } from './subject.ts'

export const CUTOFF_KINDS = ['tenant', 'user', 'session', 'token', 'app', 'grant', 'device', 'user-device'] as const
export type CutoffKind = (typeof CUTOFF_KINDS)[number]
export type CutoffDepth = 'access' | 'sign-in'

/**
 * "Tokens of `id` that `issuer` issued at or before second `t` are no longer good."
 *
 * `access`: access tokens are re-evaluated and a silent refresh decides. `sign-in`: at the issuer, sessions, refresh tokens, codes and half-done
 * sign-ins whose first factor was proved at or before `t` die too. A guard refuses at either depth.
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

/**
 * Every key under which the token with these (verified) claims can be cut off, its actors' keys included; `undefined` when the `act` chain is malformed or
 * deeper than {@link MAX_ACT_DEPTH}. Reads our own claims and those of Entra v1/v2 (`oid`, `uti`, `appid`).
 */
export function cutoffKeys(claims: Record<string, unknown>): CutoffKey[] | undefined {
  const keys: CutoffKey[] = []
  const add = (kind: CutoffKind, id: unknown) => {
    if (isIdentifier(id) && !keys.some((key) => key.kind === kind && key.id === id)) keys.push({ kind, id })
  }
  const app = claims.azp ?? claims.client_id ?? claims.appid
  const users = [claims.sub, claims.oid].filter((id) => isIdentifier(id))
  add('tenant', claims.tid)
  for (const user of users) add('user', user)
  add('session', claims.sid)
  add('token', claims.jti)
  add('token', claims.uti)
  add('app', app)
  add('device', claims.deviceid)
  for (const user of new Set(users)) {
    if (isIdentifier(app)) keys.push({ kind: 'grant', id: pairId(user, app) })
    if (isIdentifier(claims.deviceid)) keys.push({ kind: 'user-device', id: pairId(user, claims.deviceid) })
  }
  let actor: unknown = claims.act
  for (let depth = 0; actor !== undefined; depth++) {
    if (depth >= MAX_ACT_DEPTH || !isObject(actor)) return undefined
    add('user', actor.sub)
    add('user', actor.oid)
    add('app', actor.azp ?? actor.client_id ?? actor.appid)
    // An agent that acts under its client id is named by `sub` alone: it may be cut off as an application too.
    add('app', actor.sub)
    actor = actor.act
  }
  return keys
}

/** The later one wins, whatever the order and however often either is seen: merging is commutative, associative and idempotent. */
export function mergeCutoffs(a: Cutoff, b: Cutoff): Cutoff {
  const later = a.t >= b.t ? a : b
  return {
    ...later,
    depth: a.depth === 'sign-in' || b.depth === 'sign-in' ? 'sign-in' : 'access',
    until: Math.max(a.until, b.until),
  }
}

/** Whose facts a transmitter may state: the issuers whose subjects it may name, and the kinds of cutoff. */
export interface Trust {
  /** `iss` values that its subjects may carry. */
  issuers: ReadonlySet<string>
  kinds: ReadonlySet<CutoffKind>
}

/** The issuer of the tokens itself: it may cut off anything of its own, and nothing of anybody else's. */
export function trustOwn(issuer: string): Trust {
  return { issuers: new Set([issuer]), kinds: new Set(CUTOFF_KINDS) }
}

/** A third party: by default only its own subjects, and never a whole tenant or application. */
export function trustForeign(issuers: Iterable<string>, kinds?: Iterable<CutoffKind>): Trust {
  const narrow = CUTOFF_KINDS.filter((kind) => kind !== 'tenant' && kind !== 'app')
  return { issuers: new Set(issuers), kinds: new Set(kinds ?? narrow) }
}

/** What an event means for tokens. Values, because a receiver counts and shows each kind of outcome. */
export type CutoffOutcome =
  | { outcome: 'cutoff'; cutoff: Cutoff }
  /** An improvement, or an event that says nothing about tokens. */
  | { outcome: 'none' }
  /** It may mean something, but no token carries what it names. */
  | { outcome: 'unmappable'; reason: string }
  /** The transmitter may not speak about this subject. */
  | { outcome: 'refused'; reason: string }

/** A foreign event time may be this much later than its SET's `iat` before it is taken for a fault (milliseconds, year 2099). */
const EVENT_AHEAD = 5

/**
 * The one place where an event becomes a cutoff: pure, so that every replica that reads the same SET computes the same state.
 * @param horizon seconds after `t` at which the cutoff may be forgotten when the transmitter names no `caegis_until`
 */
export function cutoffOf(set: SecurityEvent, trust: Trust, horizon: number): CutoffOutcome {
  const depth = depthOf(set)
  if (depth === 'none') return { outcome: 'none' }
  if (depth === 'unknown') return { outcome: 'unmappable', reason: 'unknown event type' }
  const key = narrowest(set.subject, set.iss)
  if (typeof key === 'string') return { outcome: 'unmappable', reason: key }
  if (!trust.issuers.has(key.issuer)) return { outcome: 'refused', reason: 'names another issuer' }
  if (!trust.kinds.has(key.kind)) return { outcome: 'refused', reason: `may not name a ${key.kind}` }
  const t = eventTime(set)
  const named = set.payload.caegis_until
  const until = isNumericDate(named) ? Math.min(Math.ceil(named), t + horizon) : t + horizon
  // A token has no sign-in of its own to end.
  return { outcome: 'cutoff', cutoff: { ...key, t, depth: key.kind === 'token' ? 'access' : depth, until } }
}

/** `event_timestamp` unless it is later than the SET says it was written; signed input only, never an arrival clock. */
function eventTime(set: SecurityEvent): number {
  const stamp = set.payload.event_timestamp
  return isNumericDate(stamp) && stamp <= set.iat + EVENT_AHEAD ? Math.floor(stamp) : set.iat
}

/** Our own transmitter may say `caegis_depth` where one event type serves both depths: a device that is lost, or merely not compliant. */
function depthOf(set: SecurityEvent): CutoffDepth | 'none' | 'unknown' {
  const depth = depthOfType(set)
  const named = set.payload.caegis_depth
  return (depth === 'access' || depth === 'sign-in') && (named === 'access' || named === 'sign-in') ? named : depth
}

function depthOfType({ type, payload }: SecurityEvent): CutoffDepth | 'none' | 'unknown' {
  switch (type) {
    case EVENT.sessionRevoked:
    case EVENT.sessionsRevoked:
    case EVENT.accountDisabled:
    case EVENT.accountPurged:
    case EVENT.credentialCompromise:
      return 'sign-in'
    case EVENT.credentialChange:
      // A new password ends what the old one began; a new or lost second factor only asks for re-evaluation.
      return payload.credential_type === 'password' && payload.change_type !== 'create' ? 'sign-in' : 'access'
    case EVENT.tokenClaimsChange:
    case EVENT.accountCredentialChangeRequired:
      return 'access'
    case EVENT.riskLevelChange:
      if (payload.current_level === 'LOW') return 'none'
      return payload.current_level === 'MEDIUM' && payload.previous_level === 'HIGH' ? 'none' : 'access'
    case EVENT.deviceComplianceChange:
      return payload.current_status === 'compliant' ? 'none' : 'access'
    case EVENT.assuranceLevelChange:
      return payload.change_direction === 'increase' ? 'none' : 'access'
    case EVENT.accountEnabled:
    case EVENT.sessionEstablished:
    case EVENT.sessionPresented:
    case EVENT.optIn:
    case EVENT.optOutInitiated:
    case EVENT.optOutCancelled:
    case EVENT.optOutEffective:
    case EVENT.recoveryActivated:
    case EVENT.recoveryInformationChanged:
    case EVENT.verification:
    case EVENT.streamUpdated:
    case EVENT.locationRulesChanged:
    case EVENT.keysChanged:
      return 'none'
    default:
      return 'unknown'
  }
}

type IssuerKey = CutoffKey & { issuer: string }

/**
 * The one cutoff that a subject means: the session if named, else user + application or user + device, else the narrowest member. Members describe one
 * principal together (SSF 1.0 section 3.3), so one cutoff per member would reach far more tokens than the event is about.
 */
function narrowest(subject: Subject, transmitter: string): IssuerKey | string {
  if (subject.format === 'complex') return ofComplex(subject as ComplexSubject, transmitter)
  return ofSimple(subject as SimpleSubject)
}

function ofSimple(subject: SimpleSubject): IssuerKey | string {
  if (subject.format === 'iss_sub') return { issuer: subject.iss, kind: 'user', id: subject.sub }
  if (subject.format === 'jwt_id') return { issuer: subject.iss, kind: 'token', id: subject.jti }
  if (subject.format === 'aliases') {
    for (const one of subject.identifiers) {
      const key = ofSimple(one)
      if (typeof key !== 'string') return key
    }
  }
  return `no token names a subject of format ${subject.format}`
}

function ofComplex(subject: ComplexSubject, transmitter: string): IssuerKey | string {
  const user = subject.user && ofSimple(subject.user)
  if (typeof user === 'string' && !subject.session) return user
  const issuer = typeof user === 'object' ? user.issuer : transmitter
  const session = memberId(subject.session, issuer)
  const application = memberId(subject.application, issuer)
  const device = memberId(subject.device, issuer)
  const tenant = memberId(subject.tenant, issuer)
  // A member that is named but cannot be read would make the cutoff wider than the event: say so instead.
  if (session === null || application === null || device === null || tenant === null) return 'a member of an unreadable format'
  if (session) return { ...session, kind: 'session' }
  if (typeof user === 'object') {
    if (user.kind !== 'user') return user
    // Ids are looked up within one issuer: a pair across two names nothing that a token carries.
    const partner = application ?? device
    if (partner && partner.issuer !== issuer) return 'members of different issuers'
    if (application) return { issuer, kind: 'grant', id: pairId(user.id, application.id) }
    if (device) return { issuer, kind: 'user-device', id: pairId(user.id, device.id) }
    return user
  }
  if (device) return { ...device, kind: 'device' }
  if (application) return { ...application, kind: 'app' }
  if (tenant) {
    // Anything else beside the tenant narrows it to something that no token names.
    const alone = Object.keys(subject).every((name) => name === 'format' || name === 'tenant')
    return alone ? { ...tenant, kind: 'tenant' } : 'a member that no token names'
  }
  return 'a member that no token names'
}

function memberId(subject: SimpleSubject | undefined, issuer: string): { issuer: string; id: string } | undefined | null {
  if (!subject) return undefined
  if (subject.format === 'opaque') return { issuer, id: subject.id }
  if (subject.format === 'iss_sub') return { issuer: subject.iss, id: subject.sub }
  return null
}
