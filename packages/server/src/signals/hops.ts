import { isGivenUp, isLive, type LaneState, type StreamRecord } from '@caegis/ssf/transmitter'
import { sql } from 'kysely'
import { listedRows } from '../store/listed-rows.ts'
import type { Position, Store } from '../store/store.ts'
import { firstId, timeOf } from '../store/time-id.ts'

/** Seconds that are looked back, and events and deliveries of them that are looked at, newest first. */
const WINDOW = 3600
const MOST_EVENTS = 1000
const MOST_DELIVERIES = 10_000
/** Refusals whose subjects are followed to their next token, and seconds for which they are. */
const MOST_REFUSALS = 50
const RETURN = 600
/** Milliseconds beyond which 95 of 100 should not be. How soon a client comes with a dead token, and back with a new one, is for clients to say. */
const SLOW = { log: 1000, streams: 10_000, guards: 2000 } as const
/** Seconds that a receiver which is no guard may be behind. */
const MOST_LAG = 600
/** Problems that are told one by one. */
const MOST_PROBLEMS = 20

export const HOPS = ['change', 'log', 'streams', 'guards', 'refusals', 'signIns'] as const

/** One hop of the loop. Times count from the commit; those of `signIns` from the refusal. */
export interface Hop {
  hop: (typeof HOPS)[number]
  /** `idle`: nothing came this way within the window. */
  state: 'ok' | 'slow' | 'stale' | 'idle'
  /** What has come so far and no further. */
  backlog: number
  count: number
  p50Milliseconds: number | null
  p95Milliseconds: number | null
  detail: object
}

/** Why a receiver may not hear of a revocation. */
export interface StreamProblem {
  streamId: string
  appId: string
  displayName: string
  /** `silent`: not heard of. `lagging`: heard of, and behind. `failing`: what is pushed is not taken, now or for so long that the stream was paused. */
  problem: 'silent' | 'lagging' | 'failing' | 'deadLetters'
  count?: number
}

export interface Look {
  /** Seconds with a fraction. */
  asOf: number
  windowMinutes: number
  hops: Hop[]
  /** What may change of each stream, as a text to compare. */
  streams: ReadonlyMap<string, string>
}

export interface Hops {
  /** Whoever asks while somebody is looking gets the same. */
  look(): Promise<Look>
}

export interface HopsOptions {
  store: Store
  tenant: string
  streams: { head(): Promise<Position>; allStreams(): Promise<StreamRecord[]> }
  lanes(): Promise<readonly LaneState[]>
  countDeadLetters(): Promise<Map<string, number>>
  /** Seconds at which rows of the log were committed. */
  committedAt(seqs: number[]): Promise<Map<number, number>>
  /** Seconds. */
  maxStaleness: number
}

/** Says how the loop of a tenant is doing, hop by hop, out of what is recorded anyway. */
export function createHops({ store, tenant, streams, lanes, countDeadLetters, committedAt, maxStaleness }: HopsOptions): Hops {
  const { db } = store
  let looking: Promise<Look> | undefined

  async function look(): Promise<Look> {
    const [head, all] = await Promise.all([streams.head(), streams.allStreams()])
    const now = head.asOf
    const recent = await readEvents(now)
    const times = await readTimes(recent.first)
    const returns = await readReturns(recent.first, now)
    const problems = await findProblems(all, head)
    const { running, stoppedAt } = await readTenant()

    const enabled = all.filter(({ status }) => status === 'enabled')
    const guards = enabled.filter(({ guard }) => guard)
    const behind = (positions: number[]) => Math.max(0, head.seq - Math.min(head.seq, ...positions))
    const told = Math.max(0, ...enabled.map(({ acked, applied }) => Math.max(acked, applied?.seq ?? 0)))
    const ofGuards = problems.filter(({ streamId }) => all.some(({ id, guard }) => guard && id === streamId))
    const ofOthers = problems.filter((one) => !ofGuards.includes(one))
    const statuses = Object.fromEntries(
      ['enabled', 'paused', 'disabled'].map((status) => [status, all.filter((one) => one.status === status).length]),
    )
    const hops: Hop[] = [
      hop('change', { count: recent.changes, backlog: running }, { tenant: stoppedAt === null ? 'running' : 'stopped', reevaluations: running }),
      hop('log', { times: times.sent, count: recent.count, backlog: enabled.length === 0 ? 0 : Math.max(0, head.seq - told) }, { seq: head.seq }),
      hop(
        'streams',
        { times: times.taken, backlog: behind(enabled.map(({ acked, applied }) => Math.max(acked, applied?.seq ?? 0))), problems: ofOthers },
        { streams: all.length, ...statuses, ...listed(ofOthers) },
      ),
      hop(
        'guards',
        { times: times.applied, backlog: behind(guards.map(({ applied, start }) => applied?.seq ?? start.seq)), problems: ofGuards },
        { guards: guards.length, live: guards.filter((one) => isLive(one, now, maxStaleness, head.epoch)).length, ...listed(ofGuards) },
      ),
      hop('refusals', { times: times.refused }, {}),
      hop('signIns', { times: returns.times, backlog: returns.away }, { followed: returns.times.length + returns.away }),
    ]
    const texts = all.map((one): [string, string] => {
      const { id, status, statusReason, statusFixed, acked, verifiedAt } = one
      const own = problems.filter(({ streamId }) => streamId === id).map(({ problem, count }) => [problem, count])
      return [id, JSON.stringify([status, statusReason, statusFixed, head.seq - acked, verifiedAt, isLive(one, now, maxStaleness, head.epoch), own])]
    })
    return { asOf: now, windowMinutes: WINDOW / 60, hops, streams: new Map(texts) }
  }

  async function readEvents(now: number): Promise<{ first: number; count: number; changes: number }> {
    const { rows } = await sql<{ first: number | null; count: number; changes: number }>`
      select min(seq) as first, count(*) as count, count(distinct txn) as changes from
        (select seq, txn, at from events where tenant = ${tenant} order by seq desc limit ${MOST_EVENTS}) as newest where at >= ${Math.ceil(now - WINDOW)}`.execute(
      db,
    )
    const { first = null, count = 0, changes = 0 } = rows[0] ?? {}
    return { first: first ?? Number.MAX_SAFE_INTEGER, count, changes }
  }

  /** Milliseconds from the commit: to the first SET of an event, until a receiver took it, until a guard had applied it, to its first refusal anywhere. */
  async function readTimes(first: number): Promise<Record<'sent' | 'taken' | 'applied' | 'refused', number[]>> {
    const span = sql`(named.at - events.at) * 1000 - events.ms`
    const collect = store.engine === 'postgres' ? sql`json_agg(${span})::text` : sql`json_group_array(${span})`
    const { rows } = await sql<{ hop: string; times: string }>`
      with found as materialized (select seq, stream, state, at from deliveries where tenant = ${tenant} and seq >= ${first}
          and state in ('sent', 'acked', 'applied', 'refused') order by seq desc limit ${MOST_DELIVERIES}),
        named as (
          select 'sent' as hop, seq, min(at) as at from found where state = 'sent' group by seq
          union all select 'taken', seq, min(at) from found where state in ('acked', 'applied') group by seq, stream
          union all select 'applied', seq, at from found where state = 'applied'
          union all select 'refused', seq, min(at) from found where state = 'refused' group by seq)
      select hop, ${collect} as times
        from named join events on events.tenant = ${tenant} and events.seq = named.seq group by hop`.execute(db)
    const of = (name: string) =>
      (JSON.parse(rows.find(({ hop: one }) => one === name)?.times ?? '[]') as number[]).map((time) => Math.max(0, Math.round(time)))
    return { sent: of('sent'), taken: of('taken'), applied: of('applied'), refused: of('refused') }
  }

  /** Milliseconds from a refusal to the next token of that user, and how many have not come back; of events about many at once nobody knows whom they refused. */
  async function readReturns(first: number, now: number): Promise<{ times: number[]; away: number }> {
    const { rows: refused } = await sql<{ at: number; user: string | null }>`
      select min(deliveries.at) as at, max(events.user_id) as "user"
        from deliveries join events on events.tenant = deliveries.tenant and events.seq = deliveries.seq
        where deliveries.tenant = ${tenant} and deliveries.seq >= ${first} and deliveries.state = 'refused'
        group by deliveries.seq order by deliveries.seq desc limit ${MOST_REFUSALS}`.execute(db)
    const asked = refused.filter(({ user, at }) => user !== null && at <= now)
    const spans = asked.map(({ at, user }) => [user, firstId(at * 1000), firstId((at + RETURN) * 1000)])
    const { rows } = await sql<{ id: string | null }>`
      select (select min(id) from sign_ins where tenant = ${tenant} and user_id = one.person and id >= one.since and id < one.before
        and denied = 0) as id from ${listedRows(store, { person: 'text', since: 'text', before: 'text' }, spans)} as one order by one.place`.execute(
      db,
    )
    const times = rows.flatMap(({ id }, index) => (id === null ? [] : [Math.max(0, Math.round(timeOf(id) - (asked[index]?.at ?? 0) * 1000))]))
    return { times, away: asked.length - times.length }
  }

  async function readTenant(): Promise<{ running: number; stoppedAt: number | null }> {
    const { stopped_at: stoppedAt } = await db.selectFrom('tenants').select('stopped_at').where('id', '=', tenant).executeTakeFirstOrThrow()
    const found = await db
      .selectFrom('reevaluations')
      .select((eb) => eb.fn.countAll<number>().as('running'))
      .where('tenant', '=', tenant)
      .where('state', '=', 'running')
      .executeTakeFirstOrThrow()
    return { running: found.running, stoppedAt }
  }

  async function findProblems(all: readonly StreamRecord[], head: Position): Promise<StreamProblem[]> {
    const letters = await countDeadLetters()
    const failures = new Map((await lanes()).map((lane) => [lane.stream, lane.failures]))
    const missing = all.filter(({ guard, status, acked }) => !guard && status === 'enabled' && acked < head.seq).map(({ acked }) => acked + 1)
    const since = await committedAt([...new Set(missing)])
    const found: Omit<StreamProblem, 'displayName'>[] = []
    for (const stream of all) {
      const { id: streamId, receiver: appId, status, statusReason, guard, acked } = stream
      const add = (problem: StreamProblem['problem'], count = 0) => void found.push({ streamId, appId, problem, ...(count > 0 ? { count } : {}) })
      if (letters.has(streamId)) add('deadLetters', letters.get(streamId))
      if (status === 'disabled' && statusReason === 'lagging') add('lagging', head.seq - acked)
      if (isGivenUp(stream)) add('failing', failures.get(streamId))
      if (status !== 'enabled') continue
      const behind = head.asOf - (since.get(acked + 1) ?? head.asOf)
      // Who has just come is still loading.
      if (guard && head.asOf - stream.createdAt > maxStaleness && !isLive(stream, head.asOf, maxStaleness, head.epoch))
        add(head.asOf - (stream.seenAt ?? 0) > maxStaleness ? 'silent' : 'lagging')
      else if (!guard && behind > MOST_LAG) add('lagging', head.seq - acked)
      if (failures.get(streamId)) add('failing', failures.get(streamId))
    }
    return nameProblems(found)
  }

  async function nameProblems(found: readonly Omit<StreamProblem, 'displayName'>[]): Promise<StreamProblem[]> {
    const ids = [...new Set(found.map(({ appId }) => appId))]
    if (ids.length === 0) return []
    const apps = await db
      .selectFrom('applications')
      .select(['app_id', 'display_name'])
      .where('tenant', '=', tenant)
      .where('app_id', 'in', ids)
      .execute()
    const names = new Map(apps.map((one) => [one.app_id, one.display_name]))
    return found.map((one) => ({ ...one, displayName: names.get(one.appId) || one.appId }))
  }

  return {
    look() {
      looking ??= look().finally(() => {
        looking = undefined
      })
      return looking
    },
  }
}

/** @param times milliseconds of what came through */
function hop(
  name: Hop['hop'],
  {
    times = [],
    count = times.length,
    backlog = 0,
    problems = [],
  }: { times?: number[]; count?: number; backlog?: number; problems?: StreamProblem[] },
  detail: object,
): Hop {
  const sorted = Float64Array.from(times).sort()
  const [p50, p95] = [percentile(sorted, 0.5), percentile(sorted, 0.95)]
  const slow = p95 !== null && p95 > ((SLOW as Partial<Record<string, number>>)[name] ?? Number.POSITIVE_INFINITY)
  const state = problems.length > 0 ? 'stale' : slow ? 'slow' : count + backlog > 0 ? 'ok' : 'idle'
  return { hop: name, state, backlog, count, p50Milliseconds: p50, p95Milliseconds: p95, detail }
}

/** The smallest value that is not below the given share of them. */
function percentile(sorted: Float64Array, share: number): number | null {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? null
}

function listed(problems: readonly StreamProblem[]) {
  return { problems: problems.slice(0, MOST_PROBLEMS), problemsTotal: problems.length }
}
