import type { Cutoff } from '@caegis/protocol'
import type { Receiver } from '@caegis/ssf/receiver'
import { type GuardRequest, readCredentials } from './credentials.ts'
import { createDecisionLog } from './decision-log.ts'
import { createDenials, type DenialDetail } from './denial.ts'
import type { VerdictCode } from './errors.ts'
import { namedIssuer, readIssuers, type SeveralIssuers } from './issuers.ts'
import { describeResource, type ResourceMetadata, resourceMetadataOf } from './metadata.ts'
import { compileNeeds, type Needs, type Requirement } from './needs.ts'
import type { GuardOptions, GuardSettings } from './options.ts'
import { createRealm, type Realm } from './realm.ts'
import type { Revocation } from './revoke.ts'
import { type GuardStatus, sumOf } from './status.ts'
import { createTokenCache } from './token-cache.ts'
import type { Denied, Verdict } from './verdict.ts'
import { createWitness } from './witness.ts'

/** What adapters put in front of handlers: a guard, or one that was derived from it. */
export interface Checker {
  /** The verdict on one request: at once, unless a signing key must be fetched first. Never throws or rejects because of what a request holds. */
  check(request: GuardRequest): Verdict | Promise<Verdict>
}

export interface Guard extends Checker {
  /**
   * The same guard for a route that asks for more: scopes, roles, authentication contexts, a sign-in that is not too old.
   * @throws TypeError for a requirement that asks for nothing, or for what no token could have
   */
  require(requirement: Requirement): Checker
  /**
   * What the API says of itself (RFC 9728), to be served where its resource identifier says.
   * @throws TypeError for a guard that was made without `resource`
   */
  metadata(): ResourceMetadata
  /**
   * Resolves when revocations and keys are loaded: before that, nothing is allowed. Waits through whatever fails, since it may be over any moment: the log says what, and so
   * does `status()` (`reason`, `keyFetches.failure`).
   * @throws CaegisError `guard_closed`
   */
  ready(): Promise<void>
  /**
   * Cuts off by the word of the API's owner: at once, for tokens and live connections alike, whatever the source is. @returns the cutoff, to be given to other replicas,
   * whose `revoke` takes it as it is
   * @throws TypeError for what would cut off nobody, or everybody for ever
   */
  revoke(revocation: Revocation): Cutoff
  /**
   * Takes what a transmitter pushes: for the adapters of `@caegis/ssf/receiver`, at the path that its `endpointUrl` names.
   * @param issuer only to be left out where the guard has one issuer
   * @throws TypeError without such a transmitter
   */
  receiver(issuer?: string): Pick<Receiver, 'handler'>
  status(): GuardStatus
  /** Ends the subscription and every live signal; nothing is allowed afterwards. */
  close(): Promise<void>
}

/**
 * A guard for one API: checks tokens of one issuer or of several, follows what each issuer revokes, and answers each request with a verdict.
 * @throws TypeError without issuer, audience, or a way to hear of revocations
 */
export function createGuard(options: GuardOptions | SeveralIssuers): Guard {
  const all = readIssuers(options)
  const { maxTokens, monotonic, resource, scopes, decisionLog, telemetry, ...whole } = all[0] as GuardSettings
  const cache = createTokenCache(maxTokens)
  const decisions = decisionLog && createDecisionLog(decisionLog, whole)
  const realms = new Map<string, Realm>()
  try {
    for (const settings of all) realms.set(settings.issuer, createRealm(settings, cache, decisions))
  } catch (error) {
    for (const realm of realms.values()) void realm.close()
    throw error
  }
  const first = realms.get((all[0] as GuardSettings).issuer) as Realm
  const only = realms.size === 1 ? first : undefined
  // To whom a request without a token should turn, only one issuer can say.
  const deny = createDenials({ issuer: '', clientId: undefined, authorizationUri: () => undefined, resourceMetadata: resourceMetadataOf(resource) })
  const witness = createWitness({ issuer: undefined, monotonic, decisions, telemetry, head: () => undefined, rules: () => 0 })
  const unwatch = telemetry?.watch(status)
  let closed = false

  return {
    check: (request) => check(request),
    require(requirement) {
      const needs = compileNeeds(requirement)
      return { check: (request) => check(request, needs) }
    },
    metadata() {
      if (resource === undefined) throw new TypeError('createGuard needs a resource: the URL that the metadata are about')
      return describeResource(resource, [...realms.keys()], scopes)
    },
    async ready() {
      await Promise.all([...realms.values()].map((realm) => realm.ready()))
    },
    revoke: (revocation) => named('revoke', revocation.issuer).revoke(revocation),
    receiver: (issuer) => named('receiver', issuer).receiver(),
    status,
    async close() {
      closed = true
      unwatch?.()
      await Promise.all([...realms.values()].map((realm) => realm.close()))
      decisions?.close()
    },
  }

  function check(request: GuardRequest, needs?: Needs): Verdict | Promise<Verdict> {
    if (closed || (only !== undefined && !only.hydrated)) return refuse('not_ready', request, needs)
    const credentials = readCredentials(request)
    if ('code' in credentials) return refuse(credentials.code, request, needs, credentials)
    const seen = cache.get(credentials.token)
    if (seen !== undefined && !seen.key.gone) return (only ?? realmOf(seen.subject.issuer) ?? first).answer(seen, request, credentials, needs)
    const realm = only ?? realmOf(namedIssuer(credentials.token))
    // Of no issuer that is known here: whichever is asked refuses it, for this or for what is worse.
    if (realm === undefined) return first.firstSight(credentials, request, needs)
    // An issuer whose revocations are not loaded keeps nobody from using another's tokens.
    return realm.hydrated ? realm.firstSight(credentials, request, needs) : realm.refuse('not_ready', request, needs)
  }

  function refuse(code: VerdictCode, request: GuardRequest, needs?: Needs, detail?: DenialDetail): Denied {
    if (only !== undefined) return only.refuse(code, request, needs, detail)
    witness.denied(code, false, request, needs)
    return deny(code, detail)
  }

  function status(): GuardStatus {
    const issuers = Object.fromEntries([...realms].map(([issuer, realm]) => [issuer, realm.status()]))
    return sumOf(issuers, { tokens: cache.size, unassigned: witness.read(), decisions: decisions?.status() })
  }

  function realmOf(issuer: unknown): Realm | undefined {
    return typeof issuer === 'string' ? realms.get(issuer) : undefined
  }

  function named(what: string, issuer: string | undefined): Realm {
    const realm = issuer === undefined ? only : realms.get(issuer)
    if (realm === undefined)
      throw new TypeError(`${what}: ${issuer === undefined ? 'which issuer? There are several' : 'the guard has no such issuer'}`)
    return realm
  }
}
