import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import type { ClaimsRequest, CutoffKey } from '@caegis/protocol'
import type { Denial } from '../access/account.ts'
import type { Admission } from '../access/admission.ts'
import type { Lifetime } from '../access/lifetime.ts'
import type { Platform } from '../access/signals.ts'
import type { Found } from '../directory/findings.ts'
import type { RevokedToken } from '../directory/sessions.ts'
import type { SignIn } from '../logs/sign-in.ts'
import type { Replay } from '../risk/detection.ts'
import type { RiskLevel } from '../risk/levels.ts'
import type { Artifact } from '../store/artifacts.ts'
import type { Wish } from './loops.ts'
import type { Seen } from './risk-signals.ts'
import type { SignInRisk } from './sign-in-risk.ts'
import type { Trace } from './trace.ts'

/** A row that a decision read, and the version it had. */
export type Reading =
  | { table: 'grant'; id: string; user: string; app: string }
  /** A guest's own account, in another tenant. */
  | { table: 'home'; id: string; tenant: string }
  | { table: 'user-device'; id: string; user: string; device: string }
  /** `policies`: all of the tenant's, together with its named locations. */
  | { table: 'tenant' | 'policies' | 'user' | 'app' | 'session' | 'device' | 'token'; id: string }
  | { table: 'artifact'; model: string; id: string }

/** An access token that the attempt would hand out. */
export interface Mint {
  iat: number
  exp: number
  appId: string
  /** Absent for a daemon. */
  user?: string
  sid?: string
  /** What the sign-in was made from. */
  device?: string
  /** Full names; remembered with what the application holds of the user. */
  scopes?: string[]
  /** Second at which the first factor was proved. */
  authTime?: number
  /** For the stream endpoints: it stands outside the emergency stop, which it is there to carry. */
  stream?: true
  /** Every key of what it is given out for: what ends one of them ends the token too. */
  keys?: readonly CutoffKey[]
  /** What the policies said, kept so that an edit can be looked at by the same facts. */
  admission?: { admission: Admission; resource: string; capable: boolean }
  /** What they said of the agent that asks in somebody's name. */
  agent?: { admission: Admission; resource: string; capable: boolean }
}

/** The token for which another one is given out, as far as that one takes over from it. */
export interface OnBehalf {
  user: string
  sid?: string
  authTime?: number
  amr?: string[]
  acr?: string
  /** Where the person was seen when that token was issued. */
  address?: string
  /** By which way the person signed in, where it was not the usual one. */
  flow?: 'deviceCodeFlow'
  /** RFC 8693 section 4.1: who acts, and who acted before. */
  act: object
  keys: readonly CutoffKey[]
  /** What the new token names as its sources; see `sourceKeys` of the protocol. */
  from: readonly CutoffKey[]
  /** The last second of what it names there: guards remember the end of those for no longer. */
  until?: number
  /** The caller is an agent, which policies are asked about too. */
  agent?: true
}

/**
 * What a request brings to an end besides what the provider itself removes; `by` is the person whose own doing it is.
 * `session`: the browser session and all that came of it. `lineage`: the refresh tokens of one sign-in at one client are gone already; the access tokens of its
 * session ask again, and get an answer wherever a refresh token is left. `token`: one access token.
 */
export type Ending =
  | { kind: 'session' | 'lineage'; sid: string; by?: string; reason: string }
  | { kind: 'token'; token: RevokedToken; reason: string }
  /** A signed logout token for a client that wants to hear of sign-outs. */
  | { kind: 'logout'; uri: string; body: string }

/**
 * One try at answering a request that may mint something. It writes nothing: what the OpenID provider stores is kept here, together with the version of every
 * row it looked at, until the fence lets all of it through in one transaction, or throws it away so that the request is decided again.
 */
export interface Attempt {
  /** Seconds: the `iat` of whatever this attempt mints. */
  iat: number
  claims: ClaimsRequest
  /** Where the request came from, as far as trusted proxies tell. */
  address: string
  readings: Map<string, { reading: Reading; version: number }>
  /** What it has read already, by a name of its own: one look decides, and the fence sees whether it was still true in the end. */
  known: Map<string, Promise<unknown>>
  /** `null` = removed. Keyed by model and id. */
  writes: Map<string, { model: string; id: string; artifact: Artifact | null }>
  removedGrants: Set<string>
  mints: Mint[]
  /** What the user has agreed to on a page: remembered with what the application holds. Full names. */
  consents: { user: string; appId: string; scopes: string[] }[]
  /** How long its tokens live; decided once an attempt. */
  lifetime?: Lifetime
  /** The refresh token that a spent one within its grace leads to: presented again, and not rotated. */
  successor?: string
  /** Set when a spent refresh token within its grace was presented: start again with its successor. */
  restartWith?: string
  /** Set when a spent refresh token was presented too late: the session it came from. */
  reused?: { sid: string }
  /** Set when a spent code was presented: the session it came from. */
  replayed?: { sid: string }
  /** The token that a request to revoke or to introspect names: it is ours to read, and the provider never sees it. */
  presented?: string
  /** What comes to an end because of this request: said once the fence has let the attempt through. */
  endings: Ending[]
  denial?: Denial
  /** What a user's grant asks for: counted once it is answered with something new. */
  wish?: Wish
  /** What an API called with, to call on in the name of the same user. */
  onBehalf?: OnBehalf
  /** What the request comes from: proved here, or remembered by what the request shows. */
  device?: string
  /** It was proved here, or is what the sign-in that is under way was made from: what a browser's session was given to does not count beside it. */
  deviceSettled?: true
  /** What the browser's session was given to, and whether the request is that of somebody who has just signed in anew: only then it becomes another device's. */
  sessionDevice?: string
  signedIn?: true
  /** What it says that it runs on, or said when what it shows was given to it. */
  platform?: Platform
  /** Authentication contexts that the grant was asked for with. */
  contexts?: string[]
  /** What the policies say of the tokens that are asked for. */
  admission?: Admission
  /** What they say of the agent that asks in somebody's name. */
  agentAdmission?: Admission
  /** Why what was shown of a device proves nothing. */
  deviceRefused?: 'device-unproved' | 'device-disabled' | 'device-missing'
  /** What the request shows was given to another device. */
  otherDevice?: true
  /** The client proves itself by an assertion (RFC 7523), not by a secret. */
  assertion?: true
  /** The assertion may be shown again until it expires. */
  repeatable?: true
  /** The user whom the answer is about, for `client_info`. */
  account?: { id: string; breakGlass: boolean }
  /** The first factor of `account` was proved here. */
  proved?: true
  /** What is thought of the sign-in that this request belongs to; absent where nobody has measured it, and that is unknown. */
  signInRisk?: SignInRisk
  /** Somebody tried to sign in: what detections will see of it later. */
  seen?: Seen
  /** What was found about somebody, to be kept. */
  found?: Found
  /** A sign-in whose doubts a second factor has answered. */
  passed?: { user: string; signIn: string }
  /** What the risk of this user will be once that is kept: decisions of this attempt know of it already. */
  foreseen?: { user: string; risk: RiskLevel; rises: boolean }
  /** A refresh token was presented that had been spent before: whose it is, when and where that was, and whether it is bound to a key. */
  replay?: Omit<Replay, 'bound'> & { user: string; sid: string; key: boolean }
  /** For the record of the decision. */
  trace: Trace
  /** What the log will say of the decision: kept together with what it lets out, or said on its own where that is nothing. */
  signIn?: SignIn
  /** A record of before that says more from now on. */
  completes?: { id: string; more: Partial<SignIn>; otherwise?: SignIn }
  /** What the sign-in page may show: the user code of a device that came with the link. */
  userCode?: string
}

export function createAttempt(iat: number, claims: ClaimsRequest, address: string): Attempt {
  return {
    ...{ iat, claims, address, readings: new Map(), known: new Map(), writes: new Map(), removedGrants: new Set() },
    ...{ mints: [], consents: [], endings: [], trace: { correlation: randomUUID() } },
  }
}

/** Keeps the first version seen: a row that moves between two looks of one attempt must not pass as unmoved. */
export function note(attempt: Attempt, reading: Reading, version: number): void {
  const key = reading.table === 'artifact' ? `artifact ${reading.model} ${reading.id}` : `${reading.table} ${reading.id}`
  if (!attempt.readings.has(key)) attempt.readings.set(key, { reading, version })
}

/** Reads once an attempt. What is read must be noted, or not decide anything. */
export function once<T>(name: string, read: () => Promise<T>): Promise<T> {
  const { known } = currentAttempt()
  const found = known.get(name) as Promise<T> | undefined
  if (found) return found
  const reading = read()
  known.set(name, reading)
  return reading
}

const current = new AsyncLocalStorage<Attempt>()

export function runAttempt<T>(attempt: Attempt, work: () => Promise<T>): Promise<T> {
  return current.run(attempt, work)
}

/** @throws outside of an attempt: nothing that mints may run there */
export function currentAttempt(): Attempt {
  const attempt = current.getStore()
  if (!attempt) throw new Error('the OpenID provider ran outside of an attempt')
  return attempt
}
