import { type Cutoff, type CutoffKind, cutoffsOf, EVENT, type SecurityEvent, trustForeign } from '@caegis/protocol'
import { createReceiver, type ReceivedEvent, type Receiver, type ReceiverOptions, type ReceiverStatus, reasonOf } from '@caegis/ssf/receiver'
import type { Log } from './log.ts'
import { sleep } from './sleep.ts'
import type { Sink, Source } from './source.ts'

/** Somebody else's SSF 1.0 transmitter, which speaks about the tokens of one issuer. */
export interface ForeignEvents {
  /** The transmitter's issuer URL, default: the tokens' own issuer. */
  transmitter?: string
  /** The API's credentials there. */
  credentials: ReceiverOptions['credentials']
  /** Where it pushes to (RFC 8935): give what arrives there to `guard.receiver()`. Without it the stream is polled (RFC 8936). */
  push?: { endpointUrl: string; authorizationHeader?: string }
  /** When given, the stream must be for this audience. */
  audience?: string
  /** `iss` values in its subjects that mean users of this issuer, default: the tokens' own issuer alone. Whom else it names is refused and counted. */
  subjects?: readonly string[]
  /** Kinds of cutoff that it may cause, default: all but `tenant` and `app`. */
  kinds?: readonly CutoffKind[]
}

export interface ForeignSourceOptions {
  issuer: string
  events: ForeignEvents
  fetch: typeof globalThis.fetch
  /** Milliseconds. */
  now: () => number
  log: Log
  /** Seconds after which a cutoff may be forgotten. */
  horizon: number
  /** Is handed what was merged: nobody would tell it again after a restart. */
  keep: (cutoffs: readonly Cutoff[]) => void
  /** Milliseconds between two looks at the receiver, default 1000. */
  lookEvery?: number
  /** Default: as the receiver has it. */
  timing?: ReceiverOptions['timing']
}

/** Milliseconds between two attempts at a transmitter that refuses. */
const AGAIN = 30_000
/** All that SSF names, so that an event about a group is judged here and counted, not passed over by the receiver. */
const MEMBERS = ['session', 'application', 'device', 'user', 'tenant', 'group', 'org_unit']
/** What may end a token; SSF lets a receiver ask for what it will act on only. */
const WANTED = [
  ...[EVENT.sessionRevoked, EVENT.credentialChange, EVENT.tokenClaimsChange, EVENT.riskLevelChange, EVENT.deviceComplianceChange],
  ...[EVENT.assuranceLevelChange, EVENT.accountDisabled, EVENT.accountPurged, EVENT.credentialCompromise, EVENT.accountCredentialChangeRequired],
  EVENT.sessionsRevoked,
]

/**
 * Follows a transmitter that knows neither snapshots nor heads: what arrives becomes cutoffs, and what was said before this process listened is not known. A poll that
 * was answered shows that the transmitter lives, and an empty push stream not even that: best effort, and called so in the status.
 */
export function createForeignSource({ issuer, events, fetch, now, log, horizon, keep, lookEvery = 1000, timing }: ForeignSourceOptions): Source {
  const { transmitter = issuer, credentials, push, audience, subjects = [issuer], kinds } = events
  const trust = trustForeign(subjects, kinds)
  const closing = new AbortController()
  let sink: Sink | undefined
  const receiver: Receiver = createReceiver({
    transmitter,
    credentials,
    delivery: push ? { push } : 'poll',
    ...(audience === undefined ? {} : { audience }),
    description: 'CAEgis guard',
    events: WANTED,
    on: { '*': take },
    understands: MEMBERS,
    // Whom it may name is decided below, where it is counted.
    trust: { issuers: 'any', wide: ['tenant', 'application'] },
    onFailed: (event) => sink?.count('unmappable', `${event.type} could not be applied`),
    reenable: true,
    ...{ fetch, now, log, insecure: transmitter.startsWith('http:') },
    ...(timing === undefined ? {} : { timing }),
  })
  let timer: NodeJS.Timeout | undefined
  let started: Promise<void> | undefined
  let heardAt: number | undefined
  let gaps = 0
  let fault: string | undefined
  /** By the transmitter, at the start. */
  let refused: string | undefined

  return {
    proof: 'contact',
    start(given) {
      sink = given
      started ??= begin()
    },
    receiver,
    status: () => ({ ...receiver.status() }),
    failure: () => receiver.status().error ?? refused,
    async close() {
      closing.abort()
      clearInterval(timer)
      await receiver.close()
      await started
    },
  }

  async function begin(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        await receiver.start()
        refused = undefined
        look()
        timer = setInterval(look, lookEvery)
        timer.unref()
        if (closing.signal.aborted) clearInterval(timer)
        return
      } catch (error) {
        if (closing.signal.aborted) return
        refused = reasonOf(error)
        log.warn('the transmitter refuses; it is tried again', { issuer, transmitter, reason: refused })
        await sleep(AGAIN, closing.signal)
      }
    }
  }

  function look(): void {
    const status = receiver.status()
    const wrong = faultOf(status)
    if (wrong !== fault || status.gaps > gaps) {
      fault = wrong
      gaps = status.gaps
      if (wrong !== undefined) sink?.outOfSync(wrong)
    }
    if (wrong !== undefined || (!push && heardAt !== undefined && status.heardAt === heardAt)) return
    heardAt = status.heardAt
    sink?.heard()
  }

  function take(event: ReceivedEvent): void {
    if (event.type === EVENT.streamUpdated) return
    const meaning = cutoffsOf(asSet(event), trust, horizon)
    if (meaning.outcome === 'cutoffs') {
      // Whom it calls by another name is a subject of this issuer: the configuration says so.
      const cutoffs = meaning.cutoffs.map((cutoff) => ({ ...cutoff, issuer }))
      sink?.merge(cutoffs)
      keep(cutoffs)
      sink?.count('applied')
    } else if (meaning.outcome === 'none') sink?.count('none')
    else sink?.count(meaning.outcome, meaning.reason)
  }
}

function asSet({ type, subject, payload, jti, iat, issuer }: ReceivedEvent): SecurityEvent {
  return { iss: issuer, jti, iat, aud: [], subject, type, payload }
}

function faultOf({ state, error }: ReceiverStatus): string | undefined {
  if (state !== 'running') return `the stream is ${state}`
  return error === undefined ? undefined : `the transmitter cannot be heard: ${error}`
}
