import { CUTOFF_KINDS, type Cutoff, type CutoffDepth, type CutoffKey, type CutoffKind, isDepth, pairId, parseCutoffs } from './cutoff.ts'
import { EVENT } from './events.ts'
import type { SecurityEvent } from './set.ts'
import { isNumericDate } from './shape.ts'
import type { ComplexSubject, SimpleSubject, Subject } from './subject.ts'

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
  /** One, whatever the subject names; more only of a list that the tokens' own issuer sent. */
  | { outcome: 'cutoffs'; cutoffs: Cutoff[] }
  /** An improvement, or an event that says nothing about tokens. */
  | { outcome: 'none' }
  /** It may mean something, but no token carries what it names, or it cannot be read. */
  | { outcome: 'unmappable'; reason: string }
  /** The transmitter may not speak about this subject. */
  | { outcome: 'refused'; reason: string }

/** A foreign event time may be this much later than its SET's `iat` before it is taken for a fault (milliseconds, year 2099). */
const EVENT_AHEAD = 5

/**
 * The one place where an event becomes cutoffs: pure, so that every replica that reads the same SET computes the same state.
 * @param horizon seconds after `t` at which a cutoff may be forgotten when the transmitter names no earlier end
 */
export function cutoffsOf(set: SecurityEvent, trust: Trust, horizon: number): CutoffOutcome {
  if (set.type === EVENT.cutoffs) return listed(set, trust, horizon)
  const depth = depthOf(set, trust)
  if (depth === 'none') return { outcome: 'none' }
  if (depth === 'unknown') return { outcome: 'unmappable', reason: 'unknown event type' }
  const key = narrowest(set.subject, set.iss)
  if (typeof key === 'string') return { outcome: 'unmappable', reason: key }
  if (!trust.issuers.has(key.issuer)) return { outcome: 'refused', reason: 'names another issuer' }
  if (!trust.kinds.has(key.kind)) return { outcome: 'refused', reason: `may not name a ${key.kind}` }
  // A token has no sign-in of its own to end.
  const { event_timestamp: stamp, caegis_until: end } = set.payload
  const times = end !== undefined && isOwn(set, trust) && isNumericDate(stamp) ? exact(stamp, end, horizon) : bounded(set, stamp, end, horizon)
  return { outcome: 'cutoffs', cutoffs: [{ ...key, depth: key.kind === 'token' ? 'access' : depth, ...times }] }
}

/** A list names what it likes of its own issuer, so only who may do so anyway may send one. */
function listed(set: SecurityEvent, trust: Trust, horizon: number): CutoffOutcome {
  if (!isOwn(set, trust)) return { outcome: 'refused', reason: 'may not list cutoffs' }
  try {
    const cutoffs = parseCutoffs(set.payload.cutoffs, set.iss)
    return { outcome: 'cutoffs', cutoffs: cutoffs.map((cutoff) => ({ ...cutoff, ...exact(cutoff.t, cutoff.until, horizon) })) }
  } catch {
    return { outcome: 'unmappable', reason: 'malformed cutoffs' }
  }
}

/** The tokens' own issuer, which may cut off anything. */
function isOwn({ iss }: SecurityEvent, { issuers, kinds }: Trust): boolean {
  return issuers.has(iss) && CUTOFF_KINDS.every((kind) => kinds.has(kind))
}

/**
 * Our own transmitter, known by its extension member, places `t` no earlier than any token it covers. After its clock was set back that is later than the SET's
 * own second, and no fault: taken for one, the tokens in between would live on.
 */
function exact(stamp: number, end: unknown, horizon: number): Pick<Cutoff, 't' | 'until'> {
  const t = Math.floor(stamp)
  return { t, until: untilOf(t, end, horizon) }
}

/** Times by signed input only, never by an arrival clock: `t` as given unless it is later than the SET says it was written, `until` within the horizon. */
function bounded({ iat }: SecurityEvent, stamp: unknown, end: unknown, horizon: number): Pick<Cutoff, 't' | 'until'> {
  const t = isNumericDate(stamp) && stamp <= iat + EVENT_AHEAD ? Math.floor(stamp) : iat
  return { t, until: untilOf(t, end, horizon) }
}

function untilOf(t: number, end: unknown, horizon: number): number {
  return isNumericDate(end) ? Math.min(Math.ceil(end), t + horizon) : t + horizon
}

/**
 * Our own transmitter may say `caegis_depth` where one event type serves several depths: a device that is lost, or merely not compliant. Only the tokens' own issuer
 * knows whether a new token would be allowed, so only it may spare those without cp1.
 */
function depthOf(set: SecurityEvent, trust: Trust): CutoffDepth | 'none' | 'unknown' {
  const depth = depthOfType(set)
  const named = set.payload.caegis_depth
  if (depth === 'none' || depth === 'unknown' || !isDepth(named)) return depth
  return named === 'claims' && !isOwn(set, trust) ? depth : named
}

function depthOfType({ type, payload }: SecurityEvent): Exclude<CutoffDepth, 'claims'> | 'none' | 'unknown' {
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
