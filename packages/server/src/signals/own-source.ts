import type { Sink, Source } from '@caegis/guard'
import { cutoffOf, type SecurityEvent, trustOwn } from '@caegis/protocol'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'
import { liveCutoffs, toEvent } from './stream-store.ts'

/** Milliseconds between two looks when nothing is committed: the guard's knowledge stays fresh although nothing happens. */
const IDLE = 1000
const BATCH = 500

/**
 * Feeds the server's own guard from the log, in process: no token, no stream and no listener is needed for it, so that nothing that is revoked, stopped or not
 * yet started can keep the server from protecting itself.
 */
export function createOwnSource(store: Store, tenant: string, issuer: string, horizon: number, log: Log): Source {
  const closed = new AbortController()
  const trust = trustOwn(issuer)
  let running: Promise<void> | undefined

  async function follow(sink: Sink): Promise<void> {
    let applied: { epoch: string; seq: number } | undefined
    while (!closed.signal.aborted) {
      try {
        const head = { ...(await store.position(tenant)), status: 'enabled' as const }
        if (!applied || applied.epoch !== head.epoch || applied.seq > head.seq) {
          // Position before content: what is committed in between is in both.
          for await (const cutoffs of liveCutoffs(store, tenant, issuer)) sink.merge(cutoffs)
          applied = { epoch: head.epoch, seq: head.seq }
        }
        while (applied.seq < head.seq) applied.seq = await apply(sink, applied.seq)
        sink.synced(head)
        await store.wait(tenant, applied.seq, AbortSignal.any([closed.signal, AbortSignal.timeout(IDLE)]))
      } catch (error) {
        if (closed.signal.aborted) return
        log.error('the server cannot read its own log', { tenant, message: (error as Error).message })
        await new Promise((resolve) => setTimeout(resolve, IDLE / 4))
      }
    }
  }

  async function apply(sink: Sink, after: number): Promise<number> {
    const rows = await store.db
      .selectFrom('events')
      .selectAll()
      .where('tenant', '=', tenant)
      .where('seq', '>', after)
      .orderBy('seq')
      .limit(BATCH)
      .execute()
    let seq = after
    for (const row of rows) {
      const { subject, ...event } = toEvent(row)
      if (event.seq !== seq + 1) throw new Error('the log has a hole')
      const set: SecurityEvent = {
        iss: issuer,
        jti: event.id,
        iat: event.at,
        aud: [issuer],
        subject: subject.complex,
        type: event.type,
        payload: event.payload,
      }
      const meaning = cutoffOf(set, trust, horizon)
      if (meaning.outcome === 'cutoff') sink.merge([meaning.cutoff])
      sink.count(meaning.outcome === 'cutoff' ? 'applied' : meaning.outcome)
      seq = event.seq
    }
    return seq
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
