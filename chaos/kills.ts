import { randomInt } from 'node:crypto'
import { type Figure, quantile } from '../bench/figure.ts'
import { hasNats } from '../test/nats.ts'
import { hasPostgres } from '../test/postgres.ts'
import { TRAVEL } from './kills/ledger.ts'
import { type Leg, runLeg } from './kills/leg.ts'
import type { Kind } from './kills/parts.ts'
import { BOUND } from './kills/world.ts'
import type { Outcome, RunOptions } from './run.ts'

/**
 * `kill -9` of servers, guards, broker and database at random instants, several of them at once if it comes so, while people sign in and administrators change things: what was
 * acknowledged is there, in the directory, the log, at a receiver and in the guards, and nobody is let in for longer than a guard may be late.
 */
export async function run({
  short,
  kills = short ? 60 : 1000,
  seed = randomInt(1, 1_000_000),
  store: only,
  emit,
  progress,
}: RunOptions): Promise<Outcome> {
  if (!hasNats() || !hasPostgres()) return { failed: ['PostgreSQL and nats-server are needed'], summary: 'nothing was tried' }
  progress(`seed ${seed}; at SIGTERM it ends with what is known by then`)
  const stop = new AbortController()
  process.once('SIGTERM', () => stop.abort())
  const legs: Leg[] = []
  const stores = only ? [only] : (['sqlite', 'postgres'] as const)
  for (const store of stores) {
    const leg = await runLeg({ store, kills: Math.ceil(kills / stores.length), seed, stopping: stop.signal, progress })
    legs.push(leg)
    report(leg, emit)
    if (stop.signal.aborted) break
  }
  const sum = (of: (leg: Leg) => number) => legs.reduce((whole, leg) => whole + of(leg), 0).toLocaleString('en')
  const faults = legs.flatMap((leg) => leg.faults)
  return {
    failed: faults,
    summary: [
      `${sum((leg) => leg.kills)} kills in ${Math.round(legs.reduce((whole, { seconds }) => whole + seconds, 0) / 60)} min (seed ${seed})`,
      `${sum((leg) => acknowledged(leg).length)} changes acknowledged, ${sum((leg) => leg.events)} events`,
      `${sum((leg) => leg.ledger.counts.wrong)} wrong grants and ${sum((leg) => leg.ledger.counts.falseDenials)} false denials in ${sum((leg) => leg.ledger.counts.checks)} checks`,
      `${sum((leg) => leg.wrongs)} faults in all`,
    ].join(', '),
  }
}

const acknowledged = ({ ledger }: Leg) => ledger.changes.filter(({ acked }) => acked !== undefined)

function report(leg: Leg, emit: (figure: Figure) => void): void {
  const { store, ledger, load, parts, backends } = leg
  const say = (name: string, value: number, unit: string, rest: Partial<Figure> = {}) =>
    emit({ suite: 'kills', name: `${store}: ${name}`, value: Number(value.toPrecision(4)), unit, ...rest })
  const all = (kind: Kind) => parts.filter(({ unit }) => unit.kind === kind)
  const count = (kind: Kind, of: 'kills' | 'early') => all(kind).reduce((sum, part) => sum + part[of], 0)
  const quantiles = (name: string, times: readonly number[]) => {
    if (times.length === 0) return
    say(`${name}, p50 of ${times.length}`, quantile(times, 0.5), 'ms')
    say(`${name}, p99`, quantile(times, 0.99), 'ms')
  }
  say('time', leg.seconds, 's')
  for (const kind of ['server', 'guard', 'nats', 'postgres'] as const) {
    if (all(kind).length > 0) say(`kills of ${kind}, of them at its start: ${count(kind, 'early')}`, count(kind, 'kills'), 'kills')
  }
  if (backends.kills > 0) say('kills of a backend of PostgreSQL', backends.kills, 'kills')
  const done = acknowledged(leg)
  for (const [op, its] of Map.groupBy(done, (change) => change.op)) say(`acknowledged: ${op}`, its.length, 'changes')
  say('acknowledged, in all', done.length, 'changes')
  say('asked for, and never answered', ledger.changes.length - done.length, 'changes')
  say('sign-ins, refreshes and tokens of a daemon', load.signIns + load.refreshes + load.daemonTokens, 'answered')
  say('the same, and codes, without an answer', load.unanswered, 'asked')
  say('refresh tokens shown long after they were spent', load.reuses, 'refused')
  say('events in the log', leg.events, 'events')
  say(`events at the receiver, and ${leg.duplicates} of them again`, leg.got, 'events')
  const { counts, lags, late } = ledger
  say('checks', counts.checks, 'checks')
  say('let in', counts.allowed, 'checks')
  say('let in by what the broker had brought', counts.byBroker, 'checks')
  say('told that nobody knows at present (503)', counts.unknowing, 'checks')
  quantiles('acknowledged -> refused, each guard', lags)
  say(
    'longest that a revoked token was let in',
    late.reduce((most, one) => Math.max(most, one), 0),
    'ms',
    {
      budget: `<= ${BOUND} s of staleness and ${TRAVEL / 1000} s on its way`,
      holds: counts.wrong === 0,
    },
  )
  say('oldest knowledge by which somebody was let in', ledger.oldest(), 's')
  say('of that, the way of the fastest head, which no guard can know', ledger.travelled(), 's')
  say('let in by what was older than that', counts.stale, 'checks', { budget: '0', holds: counts.stale === 0 })
  quantiles(
    'server, started -> ready',
    all('server').flatMap(({ times }) => times),
  )
  quantiles(
    'guard, started -> lets somebody in',
    all('guard').flatMap(({ times }) => times),
  )
  quantiles(
    'PostgreSQL, started -> takes connections',
    all('postgres').flatMap(({ times }) => times),
  )
  quantiles('PostgreSQL, backend killed -> answers', backends.times)
  quantiles(
    'NATS, started -> listens',
    all('nats').flatMap(({ times }) => times),
  )
  const stillborn = parts.filter(({ stillborn }) => stillborn.length > 0)
  for (const { unit, stillborn: words } of stillborn) say(`${unit.name} could not start, and was started again`, words.length, 'times')
  say('wrong grants', counts.wrong, 'checks', { budget: '0', holds: counts.wrong === 0 })
  say('false denials', counts.falseDenials, 'checks', { budget: '0', holds: counts.falseDenials === 0 })
  say('faults', leg.wrongs, 'faults', { budget: '0', holds: leg.wrongs === 0 })
}
