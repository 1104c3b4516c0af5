import { CaegisError, cutoffsOf, EVENT, isIdentifier, type SecurityEvent, trustOwn } from '@caegis/protocol'
import { type Channel, follow } from '@caegis/ssf/receiver'
import { type Discovery, fetchJson } from './discovery.ts'
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
  const { issuer, fetch, now, log, horizon, waitSeconds, evaluates, fleet } = options
  const token = createClientToken(options)
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
    ...(fleet && { status: () => ({ fleet: following?.status().channel }) }),
    async close() {
      await following?.close()
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

/** Seconds before its end at which a token is no longer used. */
const MARGIN = 60

/** The API's own token for its stream, by client credentials (RFC 6749 section 4.4); one request serves all who ask at once. */
export function createClientToken({
  clientId,
  clientSecret,
  discovery,
  fetch,
  now,
}: Pick<FollowSourceOptions, 'clientId' | 'clientSecret' | 'discovery' | 'fetch' | 'now'>): (options: { fresh: boolean }) => Promise<string> {
  let cached: { token: string; until: number } | undefined
  let asking: Promise<string> | undefined
  return ({ fresh }) => {
    if (!fresh && cached && now() < cached.until) return Promise.resolve(cached.token)
    asking ??= ask().finally(() => {
      asking = undefined
    })
    return asking
  }

  async function ask(): Promise<string> {
    cached = undefined
    const { tokenEndpoint, tokenAuthMethods } = await discovery.read()
    if (tokenEndpoint === undefined) throw failed('the metadata names no token_endpoint')
    const form = new URLSearchParams({ grant_type: 'client_credentials', scope: 'ssf.read ssf.manage' })
    const headers: Record<string, string> = { 'content-type': 'application/x-www-form-urlencoded' }
    if (tokenAuthMethods.includes('client_secret_post') || !tokenAuthMethods.includes('client_secret_basic')) {
      form.set('client_id', clientId)
      form.set('client_secret', clientSecret)
    } else {
      // Both halves are form-encoded first (RFC 6749 section 2.3.1).
      const pair = [clientId, clientSecret].map((half) => new URLSearchParams({ half }).toString().slice('half='.length)).join(':')
      headers.authorization = `Basic ${Buffer.from(pair).toString('base64')}`
    }
    const answer = await fetchJson(fetch, tokenEndpoint, { method: 'POST', headers, body: form.toString() }).catch((cause: unknown) => {
      throw failed('the token endpoint refused or failed', cause)
    })
    const { access_token: token, expires_in: seconds } = answer
    if (!isIdentifier(token, 16_384)) throw failed('the answer holds no access_token')
    const life = typeof seconds === 'number' && Number.isFinite(seconds) && seconds > 0 ? seconds : 300
    cached = { token, until: now() + (life - Math.min(MARGIN, life / 4)) * 1000 }
    return token
  }
}

function failed(detail: string, cause?: unknown): CaegisError {
  return new CaegisError('client_token_failed', GUARD_ERRORS.client_token_failed, { detail, cause })
}
