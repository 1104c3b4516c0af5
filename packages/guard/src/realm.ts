import { CaegisError, type Cutoff } from '@caegis/protocol'
import type { Receiver } from '@caegis/ssf/receiver'
import type { GuardRequest } from './credentials.ts'
import { createCutoffTable } from './cutoff-table.ts'
import type { DecisionLog } from './decision-log.ts'
import { createDenials, type DenialDetail } from './denial.ts'
import { createDiscovery } from './discovery.ts'
import { GUARD_ERRORS, type VerdictCode } from './errors.ts'
import { isCapable, remember } from './examine.ts'
import { createFreshness } from './freshness.ts'
import { claimsHalf, createKeyedHash } from './hash.ts'
import { createJwksKeys } from './jwks.ts'
import type { VerifyKey } from './keys.ts'
import { createLive } from './live.ts'
import { resourceMetadataOf } from './metadata.ts'
import { type Needs, stepOf } from './needs.ts'
import { openSource } from './open-source.ts'
import type { GuardSettings } from './options.ts'
import { createRecentEvents } from './recent-events.ts'
import { type Revocation, readRevocation } from './revoke.ts'
import { createRules } from './rules.ts'
import { createSenders } from './sender.ts'
import type { Sink } from './source.ts'
import type { IssuerStatus } from './status.ts'
import { keepIn, loadStore } from './store.ts'
import { createTally } from './tally.ts'
import { checkTimes, type ParsedToken, parseToken, type TokenRules } from './token.ts'
import type { SeenToken, TokenCache } from './token-cache.ts'
import type { Denied, Verdict } from './verdict.ts'
import { createWitness } from './witness.ts'

type Shown = { token: string; dpop: boolean }

/** What a new token can mend. */
const CHALLENGED: ReadonlySet<VerdictCode> = new Set(['revoked', 'stale', 'token_key', 'location'])

/** One issuer's part of a guard: keys, cutoffs, staleness and live connections are its own, so nothing that one issuer says or is reaches another's tokens (threat A5). */
export interface Realm {
  firstSight(shown: Shown, request: GuardRequest, needs?: Needs): Verdict | Promise<Verdict>
  answer(seen: SeenToken, request: GuardRequest, shown: Shown, needs?: Needs): Verdict
  /** For a request whose token, if it has one, nobody looks at. */
  refuse(code: VerdictCode, request: GuardRequest, needs?: Needs, detail?: DenialDetail): Denied
  ready(): Promise<void>
  revoke(revocation: Revocation): Cutoff
  receiver(): Pick<Receiver, 'handler'>
  status(): IssuerStatus
  readonly hydrated: boolean
  close(): Promise<void>
}

/**
 * @param cache of all issuers; its entries know whose they are
 * @param decisions of the whole guard, too
 */
export function createRealm(settings: GuardSettings, cache: TokenCache, decisions: DecisionLog | undefined): Realm {
  const { issuer, now, monotonic, log, fetch, maxStaleness, horizon } = settings
  const rules: TokenRules = settings
  const closing = new AbortController()
  const discovery = createDiscovery({ issuer, fetch, metadataUrl: settings.metadataUrl, signal: closing.signal })
  // First what may throw: keys would be fetched for ever for nobody.
  const source = openSource(settings, discovery, (cutoffs) => keepIn(settings.store, cutoffs, log))
  const keys = settings.keys ?? createJwksKeys({ issuer, discovery, fetch, monotonic, log })
  /** Some key has come. */
  let keyed = settings.keys !== undefined
  keys.ready().then(
    () => {
      keyed = true
    },
    () => {},
  )
  const hash = createKeyedHash()
  const table = createCutoffTable(settings.leeway)
  const freshness = createFreshness({ now, monotonic })
  const places = createRules(settings)
  const senders = createSenders(settings)
  const live = createLive({
    now,
    judge: (seen) => judge(seen, isStale()),
    isOutside: places.isOutside,
    edition: () => places.edition,
  })
  const tally = createTally()
  const recent = createRecentEvents()
  const deny = createDenials({
    ...{ issuer, clientId: settings.clientId },
    resourceMetadata: resourceMetadataOf(settings.resource),
    authorizationUri: () => settings.authorizationUri ?? keys.authorizationUri,
  })
  const witness = createWitness({
    ...{ issuer, monotonic, decisions, telemetry: settings.telemetry },
    head: () => freshness.head,
    rules: () => places.version,
  })
  const started = { wall: now(), monotonic: monotonic() }
  const hydration = Promise.withResolvers<void>()
  hydration.promise.catch(() => {})
  let closed: Promise<void> | undefined
  let sweptAt = 0

  const sink: Sink = {
    merge,
    rules(parts) {
      places.load(parts)
      log.info('location rules loaded', { issuer, ...places.status() })
      live.sweep()
    },
    get rulesVersion() {
      return places.version
    },
    synced(head) {
      freshness.synced(head)
      if (!freshness.inSync) {
        log.warn('out of sync', { issuer, reason: freshness.reason })
        return
      }
      hydration.resolve()
      // Only the issuer's own clock may make the guard forget: ours may be set wrong for a minute.
      forgetUntil(head.asOf)
    },
    heard() {
      freshness.heard()
      hydration.resolve()
      forgetUntil(ownSeconds())
    },
    outOfSync(reason) {
      freshness.outOfSync(reason)
      // Positions may mean other events from here on.
      recent.forgetPositions()
      log.warn('out of sync', { issuer, reason })
      if (settings.staleness === 'strict') live.sweep()
    },
    keysChanged() {
      keys.changed().then(
        () => {
          cache.dropGone()
          live.sweep()
        },
        (error: unknown) => log.warn('signing keys not refetched', { issuer, error: String(error) }),
      )
    },
    count: tally.count,
  }
  begin()

  return {
    ...{ firstSight, answer, refuse, status },
    get hydrated() {
      return freshness.hydrated
    },
    async ready() {
      await Promise.all([hydration.promise, keys.ready()])
    },
    revoke(revocation) {
      const cutoff = readRevocation(revocation, { issuer, now: now() / 1000, horizon })
      merge([cutoff])
      keepIn(settings.store, [cutoff], log)
      // There is no head that would ever make room.
      if (source.proof === 'none') forgetUntil(ownSeconds())
      return cutoff
    },
    receiver() {
      if (source.receiver === undefined) throw new TypeError('receiver: no transmitter pushes events to this guard')
      return source.receiver
    },
    close() {
      closed ??= close()
      return closed
    },
  }

  async function close(): Promise<void> {
    closing.abort()
    hydration.reject(new CaegisError('guard_closed', GUARD_ERRORS.guard_closed))
    live.close()
    keys.close()
    await source.close()
  }

  function firstSight(shown: Shown, request: GuardRequest, needs?: Needs): Verdict | Promise<Verdict> {
    const ended = witness.firstSight()
    const told = <T extends Verdict>(verdict: T): T => {
      ended(verdict.allowed ? 'allowed' : verdict.code)
      return verdict
    }
    const verdict = examine(shown, request, needs)
    return verdict instanceof Promise ? verdict.then(told) : told(verdict)
  }

  function examine(shown: Shown, request: GuardRequest, needs?: Needs): Verdict | Promise<Verdict> {
    const parsed = parseToken(shown.token, rules)
    if (typeof parsed === 'string') return refuse(parsed, request, needs)
    const untimely = checkTimes(parsed.times, rules, now() / 1000, table.forgotten)
    if (untimely !== undefined) return refuse(untimely, request, needs)
    const candidates = keys.find(issuer, parsed.kid)
    if (candidates.length > 0) return verify(parsed, candidates, request, shown, needs)
    const learning = keys.learn(issuer)
    if (learning === undefined) return verify(parsed, candidates, request, shown, needs)
    return learning.then(() => verify(parsed, keys.find(issuer, parsed.kid), request, shown, needs))
  }

  function verify(parsed: ParsedToken, candidates: readonly VerifyKey[], request: GuardRequest, shown: Shown, needs?: Needs): Verdict {
    // Where no key has ever come, nobody's token can be known to be bad.
    if (candidates.length === 0 && !keyed) return refuse('not_ready', request, needs)
    // A client that can be challenged must be, or it would serve the token of a removed key from its cache until that expires.
    if (candidates.length === 0)
      return refuse('token_key', request, needs, isCapable(parsed.claims) ? { dpop: shown.dpop, challenge: { nbf: parsed.times.iat + 1 } } : {})
    const key = candidates.find(({ algorithms }) => algorithms.includes(parsed.algorithm))
    if (key === undefined) return refuse('token_algorithm', request, needs)
    if (!key.verify(parsed.algorithm, parsed.signed, parsed.signature)) return refuse('token_signature', request, needs)
    const seen = remember(parsed, key, shown.token, issuer, hash)
    if (seen === undefined) return refuse('token_actor', request, needs)
    cache.set(seen)
    return answer(seen, request, shown, needs)
  }

  function refuse(code: VerdictCode, request: GuardRequest, needs?: Needs, detail?: DenialDetail, seen?: SeenToken, txn?: string): Denied {
    const denied = deny(code, detail)
    witness.denied(code, detail?.challenge !== undefined && denied.status === 401, request, needs, seen, txn)
    return denied
  }

  function allow(seen: SeenToken, stale: boolean, request: GuardRequest, needs?: Needs, address?: string): Verdict {
    witness.allowed(request, needs, seen)
    return live.allow(seen, stale, address, needs)
  }

  function answer(seen: SeenToken, request: GuardRequest, shown: Shown, needs?: Needs): Verdict {
    const dpop = seen.bound?.jkt !== undefined
    if (shown.dpop || seen.bound !== undefined) {
      const { user, app = '' } = seen.subject
      const fault = senders.fault(request, { ...shown, owner: user ?? app }, seen.bound)
      if (fault !== undefined) return refuse(fault, request, needs, { dpop, nonce: fault === 'use_dpop_nonce' ? senders.nonce() : undefined }, seen)
    }
    const stale = isStale()
    const place = seen.late === undefined ? undefined : places.placeOf(seen, seen.late, request)
    const outside = place !== undefined && place.unmet.length > 0
    const code = judge(seen, stale) ?? (outside ? 'location' : undefined)
    const own = needs?.of(seen)
    const isOld = own !== undefined && own.freshUntil < now() / 1000
    if (code === undefined) {
      if (own === undefined || needs === undefined) return allow(seen, stale, request, needs, place?.address)
      // What no sign-in mends comes first: nobody is asked for a second factor in vain.
      if (own.forbidden)
        return refuse('insufficient_scope', request, needs, { dpop, needs: { scope: needs.scope.length > 0 ? needs.scope : undefined } }, seen)
      if (!own.missesContext && !isOld) return allow(seen, stale, request, needs, place?.address)
      const step = stepOf(needs, isOld)
      // A daemon has no sign-in that could be newer, whatever else it understands.
      const challenged = seen.capable && !(own.appOnly && isOld)
      const detail = challenged ? { dpop, challenge: step } : { dpop, needs: { acrValues: step.acrs, maxAge: step.maxAge } }
      return refuse('insufficient_user_authentication', request, needs, detail, seen)
    }
    const { iat } = seen.times
    const behind = code === 'revoked' ? recent.refused(seen.hashes, iat) : undefined
    for (const seq of behind?.first ?? []) source.refused?.(seq, now() / 1000)
    const placed = outside && place.address !== ''
    // Where nobody knows the address, no new token would be good either.
    if (!seen.capable || !CHALLENGED.has(code) || (code === 'location' && !placed)) return refuse(code, request, needs, { dpop }, seen, behind?.txn)
    // Everything that is wrong at once: the client tries again once only.
    const challenge = { nbf: Math.max(seen.cutoff, iat) + 1, ...(needs ? stepOf(needs, isOld && own?.appOnly === false) : {}) }
    const seenAt = placed ? { rpAddress: place.address, evidence: places.evidence(seen, place.address) } : {}
    return refuse(code, request, needs, { dpop, challenge: { ...challenge, ...seenAt } }, seen, behind?.txn)
  }

  /** Why a verified token is not good now; asked at every request, and of every live connection. */
  function judge(seen: SeenToken, stale: boolean): VerdictCode | undefined {
    if (closing.signal.aborted) return 'not_ready'
    if (seen.key.gone) return 'token_key'
    const untimely = checkTimes(seen.times, rules, now() / 1000, table.forgotten)
    if (untimely !== undefined) return untimely
    if (seen.version !== table.version) {
      seen.version = table.version
      seen.cutoff = latestCutoff(seen.hashes)
    }
    if (seen.times.iat <= seen.cutoff) return 'revoked'
    if (!stale) return undefined
    if (settings.staleness === 'strict') return 'out_of_sync'
    if (seen.longLived && freshness.age() > settings.trustStale + seen.spread * settings.trustStaleSpread) return 'stale'
    return undefined
  }

  function latestCutoff(hashes: Int32Array): number {
    let latest = -1
    for (let i = 0; i < hashes.length; i += 2) latest = Math.max(latest, table.find(hashes[i] as number, hashes[i + 1] as number))
    return latest
  }

  function isStale(): boolean {
    // Where nobody tells of revocations, nothing can be late.
    if (source.proof === 'none') return false
    return !freshness.inSync || freshness.age() > maxStaleness
  }

  function merge(cutoffs: Iterable<Cutoff>, seq?: number, txn?: string): void {
    const learn = seq === undefined && txn === undefined ? undefined : recent.learnFrom({ seq, txn })
    try {
      for (const { issuer: whose, kind, id, t, depth, until } of cutoffs) {
        hash.ofCutoff(whose, kind, id)
        const h1 = hash.out[0] as number
        const h2 = depth === 'claims' ? claimsHalf(hash.out[1] as number) : (hash.out[1] as number)
        learn?.(h1, h2, t)
        if (table.raise(h1, h2, t, until)) live.touch(h1, t, txn)
      }
    } finally {
      // What was applied before a cutoff that makes no sense is in force.
      live.drain()
    }
  }

  /** Without a store at once: a source that is in this process may hydrate the guard before it is returned. */
  function begin(): void {
    if (settings.store === undefined) {
      source.start(sink)
      return
    }
    loadStore(settings.store, { issuer, log, signal: closing.signal }).then(
      (cutoffs) => {
        merge(cutoffs)
        source.start(sink)
      },
      () => {},
    )
  }

  function forgetUntil(seconds: number): void {
    table.advance(seconds)
    if (monotonic() - sweptAt < 1000) return
    sweptAt = monotonic()
    table.sweep()
  }

  /** The slower of our clocks: one that is set ahead for a minute makes nothing forgotten (threat A8). */
  function ownSeconds(): number {
    return Math.min(now(), started.wall + monotonic() - started.monotonic) / 1000
  }

  /** Whoever waits is told what fails meanwhile, a wrong secret above all. */
  function unready(reason: string | undefined): string {
    const failure = source.failure?.() ?? keys.fetches?.failure
    return failure === undefined ? String(reason) : `${reason} (${failure})`
  }

  function status(): IssuerStatus {
    const { hydrated, inSync, reason, head } = freshness
    return {
      ...{
        hydrated,
        inSync,
        reason: hydrated ? reason : unready(reason),
        head,
        age: source.proof === 'none' ? 0 : freshness.age(),
        stale: isStale(),
      },
      ...{ proof: source.proof ?? 'heads', source: source.status?.() },
      ...tally.read(),
      ...witness.read(),
      rules: places.status(),
      ...{ cutoffs: table.size, cutoffBytes: table.bytes, live: live.size },
      keyFetches: keys.fetches && { ...keys.fetches },
    }
  }
}
