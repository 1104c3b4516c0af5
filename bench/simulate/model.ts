import { readFileSync } from 'node:fs'
import type { Random } from '../../fuzz/random.ts'
import { quantile } from '../figure.ts'
import { drawn, drawWait, line, type Station } from './queue.ts'

type Input = Record<string, { value: number; unit: string; from: string }>
const inputs = JSON.parse(readFileSync(new URL('../simulate-costs.json', import.meta.url), 'utf8')) as {
  measured: Input
  assumed: Input
  prices: Input
}
export type Costs = Record<string, number>

/** Every input by its name; the file says where each comes from. */
export const COSTS: Costs = Object.fromEntries(
  Object.values(inputs).flatMap((group) => Object.entries(group).map(([name, { value }]) => [name, value])),
)

export interface World {
  users: number
  apis: number
  /** More changes than people make by themselves, a second, all over: an incident. */
  extra?: number
  /** Ordinary tokens instead of those that live long. */
  short?: boolean
}

const DAY = 86_400
const MONTH = 30 * DAY
const GIB = 2 ** 30

/** What a world asks for, and what it takes: by tenants in cells, each a PostgreSQL with its replica, servers, and a broker. */
export function plan(world: World, costs: Costs = COSTS) {
  const c = costs as Record<keyof typeof COSTS, number> & Costs
  const get = (name: string): number => {
    const value = c[name]
    if (value === undefined) throw new TypeError(`there is no cost named ${name}`)
    return value
  }
  const { users, apis, extra = 0, short = false } = world
  const perSecond = (aDay: number) => (users * aDay) / DAY
  const busiest = get('busiest')
  const refreshes = (get('apisADay') * get('hoursADay')) / (get(short ? 'shortLife' : 'longLife') / 2)
  const rates = {
    signIns: perSecond(get('signInsADay')) * busiest,
    refreshes: perSecond(refreshes) * busiest,
    changes: perSecond(get('changesADay')) * busiest + extra,
    checks: perSecond(get('checksADay')) * busiest,
  }
  const tenants = Math.max(1, Math.round(users / get('tenantUsers')))
  const largest = Math.max(get('tenantUsers'), users * get('largestShare'))
  const work = (kind: 'Server' | 'Database') =>
    rates.signIns * get(`signIn${kind}`) + rates.refreshes * get(`refresh${kind}`) + rates.changes * get(`change${kind}`)
  const requests = rates.signIns + rates.refreshes + rates.changes

  // Records: each mint and each sign-in is one.
  const mints = users * (get('signInsADay') + refreshes)
  const storage = users * get('user') + mints * get('recordDays') * get('record')

  // A head a second for each tenant, and each event once, for the fleet.
  const published = tenants + rates.changes
  const needs = {
    'CPU of the database': work('Database') / (get('databaseCores') * get('target')),
    'disk of the database': storage / GIB / get('databaseDisk') / 0.7,
    'messages of the broker': published / (get('brokerPublish') * get('target')),
  }
  const cells = Math.max(1, ...Object.values(needs).map(Math.ceil))
  const [[bottleneck]] = Object.entries(needs).sort(([, a], [, b]) => b - a) as [[string, number]]
  const regions = Math.min(get('regions'), cells)
  // One that signs the heads, two at least, and room for one that is replaced.
  const serverWork = (work('Server') + published * get('sign')) / cells
  const servers = Math.max(2, Math.ceil(serverWork / (get('serverCores') * get('target'))))
  const databaseCores = Math.min(get('databaseCores'), Math.max(2, 2 ** Math.ceil(Math.log2(work('Database') / cells / get('target')))))

  // Who listens: replicas of APIs of one tenant, and of those that serve many, a log for each of their tenants.
  const shared = Math.round(apis * get('sharedApis'))
  const tenantsOfShared = Math.max(1, tenants * get('tenantsOfShared'))
  const logs = get('replicas') * (apis - shared + shared * tenantsOfShared)
  const changesOfTenant = rates.changes / busiest / tenants
  const fanOut = logs * (changesOfTenant * get('fleetEvent') + get('fleetHead'))
  const cutoffs = (users * get('changesADay') * get('horizon')) / 24
  const snapshots = (logs * get('startsADay') * (cutoffs / tenants) * get('cutoffInSegment')) / DAY

  const money = {
    servers: cells * servers * get('serverCores') * (MONTH / 3600) * get('vcpuHour'),
    databases: cells * 2 * databaseCores * (MONTH / 3600) * get('vcpuHour'),
    brokers: cells * 3 * 2 * (MONTH / 3600) * get('vcpuHour'),
    disks: ((2 * storage) / GIB) * get('gibMonth'),
    regions: ((fanOut * get('away') * MONTH) / GIB) * (regions > 1 ? get('gibRegion') : 0),
    caches: ((snapshots * MONTH) / GIB) * get('gibOut'),
  }
  const month = Object.values(money).reduce((sum, one) => sum + one, 0)

  const stations: Record<'server' | 'database' | 'lock', Station> = {
    server: { arrivals: requests / cells, service: (serverWork * cells) / requests, workers: servers * get('serverCores') },
    database: { arrivals: requests / cells, service: work('Database') / requests, workers: databaseCores },
    // A change has its tenant to itself for as long as its transaction takes.
    lock: { arrivals: (largest / users) * rates.changes, service: get('changeDatabase') + get('syncReplica'), workers: 1 },
  }
  return {
    ...{ rates, tenants, largest, cells, bottleneck, regions, servers, databaseCores, logs, fanOut, snapshots, storage, money, month, stations },
    perMillion: (month / users) * 1e6,
    checkCores: (rates.checks * get('check')) / get('target'),
    guardBytes: ((largest * get('changesADay') * get('horizon')) / 24) * get('cutoffMemory'),
    logsOfShared: tenantsOfShared,
  }
}

export const PARTS = ['commit', 'publish', 'way', 'apply'] as const
export type Latency = Record<(typeof PARTS)[number] | 'all' | 'guest', { p50: number; p99: number }>

/** How long a revocation takes from the administrator's request to the guard, drawn many times; `undefined` where something on its way is saturated. */
export function latencyOf(world: World, random: Random, draws = 20_000, costs: Costs = COSTS): Latency | { saturated: string } {
  const { stations, regions } = plan(world, costs)
  const full = Object.entries(stations).find(([, station]) => line(station).saturated)
  if (full) return { saturated: full[0] === 'lock' ? 'the lock of the largest tenant' : `the ${full[0]}` }
  const get = (name: string) => costs[name] as number
  const way = () =>
    (regions > 1 && random.below(1000) < get('away') * 1000 ? get('acrossRegions') : get('withinRegion')) + drawn(get('withinRegion'), random)
  const commit = () =>
    drawWait(stations.server, random) +
    get('changeServer') +
    drawWait(stations.lock, random) +
    drawWait(stations.database, random) +
    get('changeDatabase') +
    get('syncReplica')
  const publish = () => drawWait(stations.server, random) + get('sign') + drawn(get('brokerHop'), random)
  const samples = Array.from({ length: draws }, () => {
    const one = { commit: commit(), publish: publish(), way: way(), apply: get('apply') }
    const all = one.commit + one.publish + one.way + one.apply
    // A guest's own cell tells the other one as any transmitter does; there it is a change of its own.
    return { ...one, all, guest: all + publish() + get('acrossRegions') + commit() }
  })
  const of = (name: keyof Latency) => {
    const all = samples.map((one) => one[name])
    return { p50: quantile(all, 0.5), p99: quantile(all, 0.99) }
  }
  return { commit: of('commit'), publish: of('publish'), way: of('way'), apply: of('apply'), all: of('all'), guest: of('guest') }
}

/** What of the design ends first, and where. */
export function limits(costs: Costs = COSTS) {
  const get = (name: string) => costs[name] as number
  const lock = get('target') / (get('changeDatabase') + get('syncReplica'))
  const perUser = (get('changesADay') * get('busiest')) / DAY
  return {
    /** Changes a second of one tenant, and the users who make them. */
    lockChanges: lock,
    lockUsers: lock / perUser,
    /** Users of one tenant whose cutoffs fill a GiB in each guard. */
    memoryUsers: GIB / ((get('changesADay') * get('horizon') * get('cutoffMemory')) / 24),
    /** Tenants of one broker: each has a head a second. */
    brokerTenants: get('brokerPublish') * get('target'),
    /** Tenants of one publishing process, which signs each head. */
    signingTenants: get('target') / get('sign'),
    /** Tenants that one guard of many can follow with a tenth of a core: a head of each is verified every second, at about the price of a signature and a half. */
    followedTenants: 0.1 / (get('sign') * 1.5),
  }
}
