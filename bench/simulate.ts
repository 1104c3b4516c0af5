/**
 * A paper plan: what a world of users and APIs would take, by what was measured here (`simulate-costs.json`), and where it would break. No load is made: queues are computed.
 */
import { createRandom } from '../fuzz/random.ts'
import type { Figure } from './figure.ts'
import { latencyOf, limits, PARTS, plan, type World } from './simulate/model.ts'

const SEED = 1
/** Draws of what is drawn: one row of numbers. */
function randomOf() {
  let index = 0
  const draw = () => createRandom(SEED, index++).below(2 ** 31)
  return { below: (end: number) => Math.floor((draw() / 2 ** 31) * end), pick: <T>(list: readonly T[]) => list[draw() % list.length] as T }
}

export const STEPS: World[] = [
  { users: 1e5, apis: 10 },
  { users: 1e6, apis: 100 },
  { users: 1e7, apis: 1000 },
  { users: 1e8, apis: 10_000 },
  { users: 1e9, apis: 100_000 },
]

const short = (value: number) =>
  value === 0 ? '0' : value.toLocaleString('en', { maximumSignificantDigits: 3, notation: value >= 1e5 ? 'compact' : 'standard' })
const ms = (seconds: number) => short(seconds * 1000)

export function table(head: readonly string[], rows: readonly string[][]): string {
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}

/** The tables of docs/scale.md. */
export function tables(): string[] {
  const world = table(
    [
      'users',
      'APIs',
      'cells',
      'regions',
      'servers of a cell',
      'vCPU of its database',
      'bottleneck',
      'changes/s',
      'fan-out MB/s',
      'USD a month and million users',
    ],
    STEPS.map((one) => {
      const p = plan(one)
      return [one.users, one.apis, p.cells, p.regions, p.servers, p.databaseCores]
        .map(short)
        .concat([p.bottleneck, ...[p.rates.changes, p.fanOut / 1e6, p.perMillion].map(short)])
    }),
  )
  const money = table(
    ['users', 'servers', 'databases', 'brokers', 'disks', 'between regions', 'caches', 'the same with ordinary tokens'],
    STEPS.map((one) => {
      const p = plan(one)
      const share = (value: number) => short((value / one.users) * 1e6)
      return [short(one.users), ...Object.values(p.money).map(share), short(plan({ ...one, short: true }).perMillion)]
    }),
  )
  const latency = table(
    ['users', ...PARTS.map((part) => `${part} p50 / p99`), 'all p50 / p99', 'guest in another cell p50 / p99'],
    STEPS.map((one) => [short(one.users), ...latencyRow(one)]),
  )
  const storm = table(
    [
      'changes/s beyond the usual, at 10 M users',
      'cells',
      'lock of the largest tenant',
      ...PARTS.map((part) => `${part} p50 / p99`),
      'all p50 / p99',
      'guest p50 / p99',
    ],
    [0, 100, 1000, 3000, 10_000, 20_000].map((extra) => {
      const one = { users: 1e7, apis: 1000, extra }
      const p = plan(one)
      const { arrivals, service } = p.stations.lock
      return [short(extra), short(p.cells), `${short(arrivals * service * 100)} %`, ...latencyRow(one)]
    }),
  )
  const l = limits()
  const ends = table(
    ['what', 'ends at'],
    [
      ['changes of one tenant (its lock, at 60 %)', `${short(l.lockChanges)} a second: ${short(l.lockUsers)} users`],
      ['tenants of one publishing process (it signs a head each, every second)', short(l.signingTenants)],
      ['tenants of one broker', short(l.brokerTenants)],
      ['tenants that one guard of a shared API follows with a tenth of a core', short(l.followedTenants)],
      ['users of one tenant whose cutoffs take a GiB in each of its guards', short(l.memoryUsers)],
    ],
  )
  return [world, money, latency, storm, ends]
}

function latencyRow(one: World): string[] {
  const found = latencyOf(one, randomOf())
  if ('saturated' in found) return [...PARTS.map(() => '-'), `saturated: ${found.saturated}`, '-']
  return [...PARTS, 'all' as const, 'guest' as const].map((part) => `${ms(found[part].p50)} / ${ms(found[part].p99)} ms`)
}

export async function run(emit: (figure: Figure) => void): Promise<void> {
  const out = process.argv.includes('--json') ? process.stderr : process.stdout
  for (const text of tables()) out.write(`\n${text}\n`)
  out.write('\n')
  for (const one of STEPS) {
    const p = plan(one)
    const name = `${short(one.users)} users, ${short(one.apis)} APIs`
    emit({ suite: 'simulate', name: `${name}: cells`, value: p.cells, unit: '' })
    emit({ suite: 'simulate', name: `${name}: a million users`, value: p.perMillion, unit: 'USD a month' })
  }
}
