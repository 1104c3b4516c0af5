import { randomInt } from 'node:crypto'
import { quantile } from '../bench/figure.ts'
import { hasNats } from '../test/nats.ts'
import { hasPostgres } from '../test/postgres.ts'
import { PAIRS, type Pair } from './network/pairs.ts'
import { createRandom, type Random } from './network/random.ts'
import { nameOf, play, type Ran, type Tried } from './network/scenario.ts'
import { createStage } from './network/stage.ts'
import type { WatchCounts } from './network/watch.ts'
import { type StoreKind, startWorld } from './network/world.ts'
import type { Outcome, RunOptions } from './run.ts'

/** How many of a pair's faults are tried, by store, and how many mixtures of several. */
const CHOSEN = { short: { postgres: 2, sqlite: 1 }, full: { postgres: Number.POSITIVE_INFINITY, sqlite: 3 } }
const MIXTURES = { short: 1, full: 8 }

interface Leg {
  store: StoreKind
  ran: (Ran & { pairs: readonly Pair[] })[]
  faults: string[]
  counts: WatchCounts
  latest: number
}

/**
 * Bad lines between every two parties that talk to each other, while tokens are issued and taken back: bytes that come late, never, in half or not at all, and messages that
 * come twice, out of order, without an answer. Every verdict is held against a model all the while, and once the line is good everything has to be right by itself.
 */
export async function run({ short, seed = randomInt(1, 1_000_000), only, store: wanted, emit, progress }: RunOptions): Promise<Outcome> {
  if (!hasNats() || !hasPostgres()) return { failed: ['PostgreSQL and nats-server are needed'], summary: 'nothing was tried' }
  progress(`seed ${seed}`)
  const legs: Leg[] = []
  const begun = performance.now()
  for (const store of ['postgres', 'sqlite'] as const) {
    if (wanted !== undefined && wanted !== store) continue
    const random = createRandom(seed)
    const tried = plan(store, short, random, only)
    if (tried.length > 0) legs.push(await runLeg(store, tried, random, progress))
  }
  for (const leg of legs) report(leg, emit)
  const sum = (of: (leg: Leg) => number) => legs.reduce((whole, leg) => whole + of(leg), 0).toLocaleString('en')
  const faults = legs.flatMap((leg) => leg.faults)
  return {
    failed: faults,
    summary: [
      `${sum(({ ran }) => ran.length)} bad lines between ${PAIRS.length} pairs in ${((performance.now() - begun) / 60_000).toFixed(1)} min (seed ${seed})`,
      `${sum(({ ran }) => ran.reduce((hits, one) => hits + one.hits, 0))} connections and messages hit`,
      `${sum(({ counts }) => counts.wrong)} wrong of ${sum(({ counts }) => counts.checks)} verdicts`,
      `${faults.length} faults in all`,
    ].join(', '),
  }
}

async function runLeg(store: StoreKind, all: readonly Tried[], random: Random, progress: (text: string) => void): Promise<Leg> {
  const world = await startWorld(store, random)
  const stage = createStage(world, random, (text) => progress(`${store}: DOES NOT HOLD: ${text}`))
  const ran: Leg['ran'] = []
  try {
    for (const tried of all) {
      const one = await play(stage, tried)
      ran.push({ ...one, pairs: tried.map(({ pair }) => pair) })
      progress(`${store}: ${one.name}: ${one.seconds.toFixed(1)} s, right again after ${Math.round(one.healed)} ms, ${one.hits} hit`)
    }
  } catch (error) {
    stage.fault(`it broke off: ${error instanceof Error ? error.stack : String(error)}`)
  } finally {
    world.heal()
    await stage.close()
    await world.close()
  }
  return { store, ran, faults: stage.faults.map((text) => `${store}: ${text}`), counts: stage.watch.counts, latest: stage.watch.latest }
}

function plan(store: StoreKind, short: boolean, random: Random, only: string | undefined): Tried[] {
  const pairs = PAIRS.filter(({ stores }) => stores.includes(store))
  const size = short ? 'short' : 'full'
  const single = pairs.flatMap((pair) =>
    random
      .shuffle(pair.faults)
      .slice(0, CHOSEN[size][store])
      .map((fault) => [{ pair, fault }]),
  )
  const mixed = Array.from({ length: MIXTURES[size] }, () =>
    random
      .shuffle(pairs)
      .slice(0, 3)
      .map((pair) => ({ pair, fault: random.pick(pair.faults), share: 0.5 })),
  )
  const all = [...random.shuffle(single), ...mixed]
  const words = only?.split('|')
  return words ? all.filter((tried) => words.some((word) => `${store}: ${nameOf(tried)}`.includes(word))) : all
}

function report({ store, ran, counts, latest, faults }: Leg, emit: RunOptions['emit']): void {
  const say = (name: string, value: number, unit: string, rest: object = {}) =>
    emit({ suite: 'network', name: `${store}: ${name}`, value: Number(value.toPrecision(4)), unit, ...rest })
  for (const pair of PAIRS) {
    const its = ran.filter(({ pairs }) => pairs.length === 1 && pairs[0] === pair)
    if (its.length === 0) continue
    say(`${pair.name}: ${its.length} of ${pair.faults.length} faults, right again after, longest`, Math.max(...its.map(({ healed }) => healed)), 'ms')
  }
  const healed = ran.map((one) => one.healed)
  say('good again -> all in sync, p50', quantile(healed, 0.5), 'ms')
  say(
    'connections and messages hit',
    ran.reduce((sum, { hits }) => sum + hits, 0),
    'times',
  )
  say('verdicts', counts.checks, 'checks')
  say('let in', counts.allowed, 'checks')
  say('refused as revoked', counts.revoked, 'checks')
  say('told that nobody knows at present (503)', counts.unknowing, 'checks')
  say('long-lived and no longer trusted', counts.stale, 'checks')
  say('longest that a strict guard let a revoked token in', latest, 'ms')
  say('wrong verdicts', counts.wrong, 'checks', { budget: '0', holds: counts.wrong === 0 })
  say('faults', faults.length, 'faults', { budget: '0', holds: faults.length === 0 })
}
