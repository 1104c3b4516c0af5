import { CaegisError, cutoffsOf, EVENT, type SecurityEvent, trustOwn } from '@caegis/protocol'
import { type Channel, createClientToken, follow, type TokenEndpoint } from '@caegis/ssf/receiver'
import type { Discovery } from './discovery.ts'
import { GUARD_ERRORS } from './errors.ts'
import type { Log } from './log.ts'
import type { Sink, Source } from './source.ts'

export interface FollowSourceOptions {
  issuer: string
  clientId: string
  clientSecret: string
  discovery: Discovery
  fetch: typeof globalThis.fetch
  /** Milliseconds. */
  now: () => number
  log: Log
  /** Seconds after which a cutoff without a named end may be forgotten. */
  horizon: number
  /** Longest hold of a long poll, seconds. */
  waitSeconds: number
  /** What location conditions the guard can evaluate. */
  evaluates: readonly ('ip' | 'country')[]
  /** The log comes over a broker too, which counts as silent after that many seconds without a head. */
  fleet?: { channel: Channel; quiet: number }
}

/** Follows the issuer's own event stream: snapshot first, then every event, over a poll stream of this process. */
export function createFollowSource(options: FollowSourceOptions): Source {
  const { issuer, discovery, fetch, now, log, horizon, waitSeconds, evaluates, fleet } = options
  const closing = new AbortController()
  const token = createClientToken({ ...options, endpoint: () => tokenEndpointOf(discovery), signal: closing.signal })
  const trust = trustOwn(issuer)
  let following: ReturnType<typeof follow> | undefined
  // A snapshot tells cutoffs only: that keys were removed may stand in what it took the place of (threat E2).
  let resynced = true
  return {
    start(sink) {
      following ??= follow({
        issuer,
        token,
        fetch,
        now,
        log,
        waitSeconds,
        // A pause that outlasts a hold would make the guard stale after the issuer is back already.
        timing: { backoff: [Math.min(100, waitSeconds * 100), waitSeconds * 500], ...(fleet && { quiet: fleet.quiet * 1000 }) },
        ...(fleet && { channel: fleet.channel }),
        // Only a loopback issuer can be plain http: the guard's options refuse all others.
        insecure: issuer.startsWith('http:'),
        stream: { subjects: 'complex', alg: 'ES256', guard: true, evaluates, description: 'CAEgis guard' },
        on: {
          snapshot: (cutoffs) => sink.merge(cutoffs),
          event: (set) => apply(set, sink),
          rules: { since: () => sink.rulesVersion, load: (parts) => sink.rules(parts) },
          synced(head) {
            sink.synced(head)
            if (resynced) sink.keysChanged()
            resynced = false
          },
          outOfSync(reason) {
            resynced = true
            sink.outOfSync(reason)
          },
        },
      })
    },
    refused: (seq, at) => following?.refused(seq, at),
    status() {
      const { error, detail, channel } = following?.status() ?? {}
      return { ...(error !== undefined && { error }), ...(detail !== undefined && { detail }), ...(fleet && { fleet: channel }) }
    },
    failure() {
      const { error, detail } = following?.status() ?? {}
      return detail === undefined ? error : `${error}: ${detail}`
    },
    async close() {
      // Its stream is deleted with a token: that is the last that is asked for.
      await following?.close()
      closing.abort()
    },
  }

  function apply(set: SecurityEvent, sink: Sink): void {
    if (set.type === EVENT.keysChanged) {
      sink.keysChanged()
      sink.count('applied')
      return
    }
    const meaning = cutoffsOf(set, trust, horizon)
    if (meaning.outcome === 'cutoffs') {
      sink.merge(meaning.cutoffs, set.seq, set.txn)
      sink.count('applied')
    } else if (meaning.outcome === 'none') sink.count('none')
    else {
      sink.count(meaning.outcome, meaning.reason)
      // Cutoffs that are surely there and cannot be read: what throws is out of sync, until a snapshot has brought them.
      if (set.type === EVENT.cutoffs) throw new Error(meaning.reason)
    }
  }
}

/** Where the API gets its own token for its stream, and how. @throws CaegisError `discovery_failed` */
export async function tokenEndpointOf(discovery: Discovery): Promise<TokenEndpoint> {
  const { tokenEndpoint: url, tokenAuthMethods: methods } = await discovery.read()
  if (url === undefined) throw new CaegisError('discovery_failed', GUARD_ERRORS.discovery_failed, { detail: 'no token_endpoint' })
  return { url, post: methods.includes('client_secret_post') || !methods.includes('client_secret_basic') }
}
