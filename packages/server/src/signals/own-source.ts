import type { RulesPart, Sink, Source } from '@caegis/guard'
import { cutoffsOf, EVENT, type SecurityEvent, trustOwn } from '@caegis/protocol'
import type { Log } from '../log.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Position, Store } from '../store/store.ts'
import { ruleParts } from './rules.ts'
import { liveCutoffs, toEvent } from './stream-store.ts'

/** Up to where, and which event stood there, if one was read. */
type Applied = Omit<Position, 'asOf'> & { id?: string }

/** Milliseconds between two looks when nothing is committed: the guard's knowledge stays fresh although nothing happens. */
const IDLE = 1000
const BATCH = 500
/** Seconds by which two readings of one clock may be in the wrong order. */
const CLOCK_SET_BACK = 1

export interface OwnSourceOptions {
  store: Store
  secrets: Secrets
  tenant: string
  issuer: string
  /** The audience that the guard protects. */
  api: string
  /** Seconds. */
  horizon: number
  log: Log
}

/**
 * Feeds the server's own guard from the log, in process: no token, no stream and no listener is needed for it, so that nothing that is revoked, stopped or not
 * yet started can keep the server from protecting itself.
 */
export function createOwnSource({ store, secrets, tenant, issuer, api, horizon, log }: OwnSourceOptions): Source {
  const closed = new AbortController()
  const trust = trustOwn(issuer)
  let running: Promise<void> | undefined

  async function follow(sink: Sink): Promise<void> {
    let applied: Applied | undefined
    let asOf = Number.NEGATIVE_INFINITY
    let failure: string | undefined
    while (!closed.signal.aborted) {
      try {
        const head = { ...(await store.position(tenant)), status: 'enabled' as const }
        // A guard measures how old the log is by the latest time that it has seen, which may have been ahead.
        if (applied && head.asOf < asOf - CLOCK_SET_BACK) {
          sink.outOfSync('the clock was set back')
          applied = undefined
        }
        asOf = head.asOf
        if (applied && applied.epoch === head.epoch && (applied.seq > head.seq || (applied.seq === head.seq && (await isReplaced(applied))))) {
          await renew(applied, head.seq)
          continue
        }
        if (!applied || applied.epoch !== head.epoch || applied.seq > head.seq) {
          // A guard takes no position of another log until it was told that it begins anew.
          if (applied) sink.outOfSync('the log has another epoch')
          // Position before content: what is committed in between is in both.
          for await (const cutoffs of liveCutoffs(store, tenant, issuer)) sink.merge(cutoffs)
          await bringRules(sink, 0)
          applied = withId(head, await idAt(head.seq))
          // What was removed from the keys meanwhile stands in rows that are not read any more.
          sink.keysChanged()
        }
        while (applied && applied.seq < head.seq) applied = await apply(sink, applied)
        if (!applied) continue
        if (failure !== undefined) log.info('the server reads its own log again', { tenant })
        failure = undefined
        sink.synced(head)
        await store.wait(tenant, applied.seq, AbortSignal.any([closed.signal, AbortSignal.timeout(IDLE)]))
      } catch (error) {
        if (closed.signal.aborted) return
        const { message } = error as Error
        // Once: an outage is one thing to know.
        if (message !== failure) log.error('the server cannot read its own log', { tenant, message })
        failure = message
        await new Promise((resolve) => setTimeout(resolve, IDLE / 4))
      }
    }
  }

  async function idAt(seq: number): Promise<string | undefined> {
    const row = await store.db.selectFrom('events').select('id').where('tenant', '=', tenant).where('seq', '=', seq).executeTakeFirst()
    return row?.id
  }

  /** Nobody may have committed anything since, so there may be nothing to read that would show it. */
  async function isReplaced({ seq, id }: Applied): Promise<boolean> {
    const now = id === undefined ? undefined : await idAt(seq)
    return now !== undefined && now !== id
  }

  /**
   * This server knows more than the log holds, or another event at its place: the database was restored from an older copy while it ran, or one has taken over that had not
   * got everything. From here on positions mean other events, and every guard has to know (threat B5).
   */
  async function renew({ epoch, seq }: Applied, now: number): Promise<void> {
    log.error('the log has gone back: was the database restored, or did another one take over?', { tenant, applied: seq, seq: now })
    if (await store.renewEpoch(tenant, epoch)) log.warn('the log has a new epoch: every guard loads a snapshot', { tenant })
  }

  /** Applies what follows a position. Undefined when the log does not say everything: then the live cutoffs do, and the guard is out of sync until it has them. */
  async function apply(sink: Sink, applied: Applied): Promise<Applied | undefined> {
    const { epoch, seq: after } = applied
    const found = await store.db
      .selectFrom('events')
      .selectAll()
      .where('tenant', '=', tenant)
      .where('seq', '>=', after)
      .orderBy('seq')
      .limit(BATCH)
      .execute()
    const [last] = found
    if (last?.seq === after && applied.id !== undefined && last.id !== applied.id) {
      await renew(applied, (await store.position(tenant)).seq)
      return lost(sink, 'the log was replaced')
    }
    const rows = found.filter(({ seq }) => seq > after)
    if (rows.length === 0) return lost(sink, 'the log has a hole')
    let seq = after
    let id = applied.id
    for (const row of rows) {
      const { subject, ...event } = toEvent(row)
      if (event.seq !== seq + 1) return lost(sink, 'the log has a hole')
      // It cuts nothing off by itself: what the removed key vouched for goes with it.
      if (event.type === EVENT.keysChanged) sink.keysChanged()
      const set: SecurityEvent = {
        iss: issuer,
        jti: event.id,
        iat: event.at,
        aud: [issuer],
        subject: subject.complex,
        type: event.type,
        payload: event.payload,
      }
      const meaning = cutoffsOf(set, trust, horizon)
      if (meaning.outcome === 'cutoffs') sink.merge(meaning.cutoffs)
      sink.count(meaning.outcome === 'cutoffs' ? 'applied' : meaning.outcome, 'reason' in meaning ? meaning.reason : undefined)
      if (meaning.outcome === 'unmappable' && event.type === EVENT.cutoffs) return lost(sink, meaning.reason)
      seq = event.seq
      id = event.id
    }
    if (rows.some(({ type }) => type === EVENT.locationRulesChanged)) await bringRules(sink, sink.rulesVersion)
    return withId({ epoch, seq }, id)
  }

  /** The location rules as they are now: in force before the position of the event that told of them counts as applied. */
  async function bringRules(sink: Sink, since: number): Promise<void> {
    const parts: RulesPart[] = []
    for await (const part of ruleParts(store, secrets, { tenant, api, since, horizon })) parts.push(part)
    sink.rules(parts)
  }

  function lost(sink: Sink, reason: string): undefined {
    log.error('the server cannot apply its own log', { tenant, reason })
    sink.outOfSync(reason)
  }

  return {
    start(sink) {
      running ??= follow(sink)
    },
    async close() {
      closed.abort()
      await running
    },
  }
}

function withId({ epoch, seq }: Applied, id: string | undefined): Applied {
  return { epoch, seq, ...(id !== undefined && { id }) }
}
