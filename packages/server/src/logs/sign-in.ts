import { parseAddress } from '@caegis/policy'
import { timeId } from '../store/time-id.ts'

/** What one policy said of a sign-in, in Graph's words. */
export interface AppliedPolicy {
  id: string
  displayName: string
  result: string
  enforcedGrantControls: string[]
  enforcedSessionControls: string[]
  conditionsSatisfied: string
  conditionsNotSatisfied: string
}

/** What the policies said, as a decision carries it. */
export interface PolicyOutcome {
  status: 'success' | 'failure' | 'notApplied'
  applied: AppliedPolicy[]
  lifetimes: { detail: string; expirationRequirement: string }[]
}

/** One decision of the issuer: somebody, or a service, was let in, was refused, or was asked for more. Nothing in it opens a door. */
export interface SignIn {
  /** Sorts by time. */
  id: string
  /** Milliseconds. */
  at: number
  kind: 'interactiveUser' | 'nonInteractiveUser' | 'servicePrincipal'
  /** `null` where nobody of that name exists: what was typed may be a password in the wrong field, and is not kept. */
  user: { id: string; name: string } | null
  /** `null` where there is no such client. */
  app: { id: string; object: string; name: string; type: string } | null
  resource: { id: string; name: string } | null
  correlation: string
  /** Seen here; empty when unknown. */
  address: string
  /** Seen by the API, as the client repeats it from the challenge; empty when it is the same one. */
  rpAddress: string
  grant: string
  /** The access token that was given out; until when it lives (seconds) is not known of earlier records. */
  token: { jti: string; exp?: number; long: boolean } | null
  session: string
  device: { id: string; name: string; compliant: boolean | null; trustType: string } | null
  /** 0 = allowed. */
  code: number
  reason: string
  policies: PolicyOutcome
  /** What the policies looked at besides the directory, so that they can be asked again; see access/replay.ts. */
  brought?: object
  /** What was thought of it, where it was measured. */
  risk?: { level: 'none' | 'low' | 'medium' | 'high' | 'unknown'; state: 'none' | 'atRisk' | 'remediated'; events: readonly string[] }
  /** More than one: so many denials like this one came in the same minute. */
  count: number
}

export const NOT_APPLIED: PolicyOutcome = { status: 'notApplied', applied: [], lifetimes: [] }

/** Codes that ask for another step; the sign-in goes on. */
export const INTERRUPTED = { second: 50074, 'new-password': 50055, register: 50079 } as const

/** A decision in one word: `challenged` = asked for something more, `blocked` = by a policy, or by who or what is disabled or stopped, `failed` = anything else that was wrong. */
export type Outcome = (typeof OUTCOMES)[number]
export const OUTCOMES = ['allowed', 'blocked', 'challenged', 'failed'] as const

const BLOCKED: ReadonlySet<number> = new Set([50057, 53000, 53001, 53002, 53003, 135011, 5000224])
const CHALLENGED: ReadonlySet<number> = new Set([50055, 50058, 50074, 50076, 50079, 50133, 50135, 50173, 65001, 70043, 70044])

/** @param code of the record */
export function outcomeOf(code: number): Outcome {
  if (code === 0) return 'allowed'
  return BLOCKED.has(code) ? 'blocked' : CHALLENGED.has(code) ? 'challenged' : 'failed'
}

/** What every record has, and what this one has besides. @param now seconds with a fraction, by the store's clock */
export function signInRecord(now: number, given: Pick<SignIn, 'kind' | 'code' | 'grant' | 'correlation' | 'address'> & Partial<SignIn>): SignIn {
  const at = Math.floor(now * 1000)
  const record: SignIn = {
    ...{ id: timeId(at), at, user: null, app: null, resource: null, rpAddress: '', token: null, session: '', device: null },
    ...{ reason: given.code === 0 ? '' : (REASONS[given.code] ?? 'Refused.'), policies: NOT_APPLIED, count: 1 },
    ...given,
  }
  return { ...record, rpAddress: seenElsewhere(record.address, record.rpAddress) }
}

/** The second address where it is one, and another one. */
function seenElsewhere(here: string, there: string): string {
  const [a, b] = [parseAddress(here), parseAddress(there)]
  if (!b || (a?.family === b.family && a.words.every((word, index) => word === b.words[index]))) return ''
  return there
}

/** Fixed words: nothing of a request is repeated. The numbers are Entra's. */
const REASONS: Record<number, string> = {
  50034: 'There is no such user.',
  50053: 'Too many tries: the next one has to wait.',
  50055: 'The password has to be changed first.',
  50057: 'The user account is disabled.',
  50058: 'A sign-in without a page was asked for, and nobody is signed in, or the session has ended.',
  50074: 'A second factor is asked for.',
  50076: 'A policy asks for a second factor.',
  50079: 'A policy asks for a second factor, and none is registered.',
  500121: 'The second factor, or the passkey, was wrong or was used before.',
  50126: 'The password is wrong.',
  50133: 'What was proved is not good any more: access was revoked meanwhile.',
  50135: 'A policy asks for another password, because of a risk.',
  50155: 'The device could not prove itself, or is not registered.',
  50173: 'The sign-in was revoked: a new one is needed.',
  50196: 'The client asks for the same again and again.',
  53000: 'A policy asks for a compliant device.',
  53001: 'A policy asks for a device that is joined to the domain.',
  53002: 'A policy asks for another application.',
  53003: 'A policy blocks the access.',
  65001: 'The user has not consented to what the application asks for.',
  65004: 'The user declined to consent to the application.',
  70044: 'The sign-in is older than an API allows: a new one is needed.',
  70000: 'The grant is unknown, was used, has expired or belongs to another client.',
  70011: 'The scopes are malformed, unknown, or more than the application is permitted to ask for.',
  70043: 'The sign-in is older than a policy allows.',
  135011: 'The device is disabled.',
  500011: 'There is no such API.',
  700016: 'The application may not do this.',
  900144: 'The request is malformed.',
  5000224: 'The tenant is stopped.',
  7000215: 'The client is unknown, is disabled, or could not prove itself.',
}
