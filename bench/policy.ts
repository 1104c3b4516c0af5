import { BlockList, isIP } from 'node:net'
import {
  compilePolicies,
  compileRanges,
  type Decision,
  decide,
  type Policy,
  parseAddress,
  parseLocation,
  parsePolicy,
  type RangeTable,
  type Signals,
} from '@caegis/policy'
import ipaddr from 'ipaddr.js'
import type { Figure } from './figure.ts'

const ROUNDS = 11
const PROBES = 1024
const ROUND_MICROSECONDS = 40_000

/** Decisions, and look-ups of addresses beside what others do: medians of interleaved rounds in one process. */
export async function run(emit: (figure: Figure) => void): Promise<void> {
  if (!globalThis.gc) throw new Error('run with --expose-gc: memory cannot be measured without')
  for (const count of [10, 100, 1000]) decisions(emit, count)
  for (const count of [1000, 10_000, 100_000, 1_000_000]) ranges(emit, `${count.toLocaleString('en')} v4 ranges`, count, v4)
  ranges(emit, '1,000,000 v6 ranges', 1_000_000, v6)
}

/** Policies of every kind, of which one in twenty applies and none blocks: all of them have to be looked at. */
function decisions(emit: (figure: Figure) => void, count: number): void {
  const location = parseLocation({
    id: 'office',
    displayName: 'Office',
    isTrusted: true,
    ipRanges: Array.from({ length: 1000 }, (_, at) => `10.${at >>> 8}.${at & 255}.0/25`),
  })
  const set = compilePolicies(
    Array.from({ length: count }, (_, at) => policy(at)),
    [location],
  )
  const sample = Array.from({ length: PROBES }, (_, at) => signals(at))
  let last: Decision | undefined
  const [time] = rounds([(at) => (last = decide(set, sample[at % PROBES] as Signals))]) as [number]
  if (last?.policies.length !== count || last.outcome === 'block') throw new Error('the decision is not the one that was meant')
  const applied = last.policies.filter(({ applies }) => applies !== false).length
  const name = `decision over ${count.toLocaleString('en')} policies (${applied} apply)`
  emit({ suite: 'policy', name, value: time / 1000, unit: 'us', ...(count === 1000 ? { budget: '<= 100 us', holds: time <= 100_000 } : {}) })
}

function policy(at: number): Policy {
  const some = at % 20 === 0
  const conditions = [
    { locations: { includeLocations: ['All'], excludeLocations: ['office'] } },
    { platforms: { includePlatforms: ['all'], excludePlatforms: ['windows'] } },
    { userRiskLevels: ['high'] },
    { clientAppTypes: ['exchangeActiveSync', 'other'] },
    { devices: { deviceFilter: { mode: 'exclude', rule: 'device.isCompliant -eq True -and device.model -startsWith "Surface"' } } },
  ][at % 5]
  return parsePolicy({
    id: `policy-${at}`,
    displayName: `Policy ${at}`,
    state: at % 10 === 9 ? 'enabledForReportingButNotEnforced' : 'enabled',
    conditions: {
      users: some
        ? { includeUsers: ['All'], excludeGroups: ['emergency'] }
        : { includeGroups: [`group-${at}`, `group-${at + 1}`], excludeUsers: ['root'] },
      applications:
        at % 2 ? { includeApplications: ['files-api', `api-${at}`] } : { includeApplications: ['All'], excludeApplications: [`api-${at}`] },
      ...(some ? {} : conditions),
    },
    grantControls: some ? { operator: 'OR', builtInControls: ['mfa', 'compliantDevice'] } : { operator: 'OR', builtInControls: ['block'] },
    sessionControls: some ? { signInFrequency: { isEnabled: true, type: 'hours', value: 1 + (at % 23) } } : null,
  })
}

function signals(at: number): Signals {
  const now = 1_800_000_000 + at
  return {
    now,
    user: { id: `user-${at}`, groups: Array.from({ length: 30 }, (_, n) => `team-${at}-${n}`), roles: [] },
    application: 'files-api',
    clientAppType: 'browser',
    platform: 'windows',
    address: `10.0.${at & 255}.7`,
    country: 'DE',
    device: { id: 'd', isCompliant: true, model: 'Surface Pro' },
    userRisk: 'none',
    signInRisk: 'none',
    insiderRisk: 'none',
    flow: 'none',
    proof: { at: now - 60, mfa: true, methods: ['password', 'softwareOath'] },
  }
}

function ranges(emit: (figure: Figure) => void, name: string, count: number, text: () => string): void {
  const size = text === v4 ? 8 : 16
  const list = Array.from({ length: count }, () => `${text()}/${(text === v4 ? 24 : 48) + (random() % size)}`)
  const started = process.cpuUsage()
  const table = compileRanges(list)
  const { user, system } = process.cpuUsage(started)
  const held = memory(list)
  const probes = Array.from({ length: PROBES }, (_, at) => (at % 2 ? text() : inside(list[(at * 7919) % count] as string)))
  const addresses = probes.map(parseAddress)
  const texts = [(at: number) => table.has(addresses[at % PROBES]), (at: number) => table.has(probes[at % PROBES])]
  // What looks at one range after the other is asked less often; beyond 100,000 nobody would wait for it.
  const peers = count <= 100_000 ? [blockList(list, probes), ipaddrJs(list, probes)] : []
  const [parsed, asText] = rounds(texts) as [number, number]
  const [list1, list2] = rounds(peers)
  const suite = 'policy'
  const look = { budget: '<= 200 ns', holds: parsed <= 200 }
  const against = (peer: string, time: number | undefined) => (time === undefined ? {} : { peer, ratio: parsed / time })
  emit({ suite, name: `look-up in ${name}`, value: parsed, unit: 'ns', ...against('net.BlockList', list1), ...look })
  emit({ suite, name: `look-up in ${name}, address as text`, value: asText, unit: 'ns' })
  if (list1 !== undefined && list2 !== undefined) {
    emit({ suite, name: `net.BlockList, ${name}`, value: list1, unit: 'ns' })
    emit({ suite, name: `ipaddr.js, ${name}`, value: list2, unit: 'ns' })
  }
  const budget = text === v4 ? { budget: '<= 24', holds: held <= 24 } : {}
  emit({ suite, name: `memory a range of ${name}`, value: held, unit: 'bytes', ...budget })
  emit({ suite, name: `compile ${name} (processor time)`, value: (user + system) / 1000, unit: 'ms' })
}

/** Node's own; it takes an address as text. */
function blockList(list: string[], probes: string[]): (at: number) => boolean {
  const peer = new BlockList()
  for (const one of list) {
    const [address, bits] = one.split('/') as [string, string]
    peer.addSubnet(address, Number(bits), isIP(address) === 4 ? 'ipv4' : 'ipv6')
  }
  return (at) => peer.check(probes[at % PROBES] as string, isIP(probes[at % PROBES] as string) === 4 ? 'ipv4' : 'ipv6')
}

/** The library of most frameworks; ranges and addresses are parsed before. */
function ipaddrJs(list: string[], probes: string[]): (at: number) => boolean {
  const peer = { in: list.map((one) => ipaddr.parseCIDR(one)) }
  const parsed = probes.map((one) => ipaddr.parse(one))
  return (at) => ipaddr.subnetMatch(parsed[at % PROBES] as ipaddr.IPv4, peer, 'out') === 'in'
}

/** Nanoseconds of processor time a call: the median of rounds in which each has its turn. Nothing here waits, and what neighbours do counts less so. */
function rounds(calls: ((at: number) => unknown)[]): number[] {
  const contestants = calls.map((call) => ({ call, times: 1, samples: [] as number[] }))
  for (const one of contestants) while (turn(one.call, one.times) < ROUND_MICROSECONDS) one.times *= 2
  for (let round = 0; round < ROUNDS; round++) {
    for (const { call, times, samples } of contestants) samples.push((turn(call, times) * 1000) / times)
  }
  return contestants.map(({ samples }) => samples.sort((a, b) => a - b)[ROUNDS >>> 1] as number)
}

/** Microseconds; the clock of the processor ticks in thousands of them. */
function turn(call: (at: number) => unknown, times: number): number {
  const started = process.threadCpuUsage()
  for (let at = 0; at < times; at++) call(at)
  const { user, system } = process.threadCpuUsage(started)
  return user + system
}

let seed = 20_260_101
function random(): number {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
  return seed >>> 8
}

function v4(): string {
  return [random() % 223, random() & 255, random() & 255, random() & 255].join('.')
}

function v6(): string {
  const group = () => (random() & 0xffff).toString(16)
  return `2${(random() & 0xfff).toString(16).padStart(3, '0')}:${group()}:${group()}:${group()}::1`
}

function inside(range: string): string {
  return range.slice(0, range.indexOf('/'))
}

/** Bytes a range; small tables are measured by the dozen, because the compiler's own memory would be counted with one. */
function memory(list: string[]): number {
  const copies = Math.max(1, 200_000 / list.length)
  const before = used()
  const tables = Array.from({ length: copies }, () => compileRanges(list))
  const held = used() - before
  const [{ size, bytes }] = tables as [RangeTable]
  if (held < (bytes * copies) / 2) throw new Error('the memory was not measured')
  return held / size / copies
}

function used(): number {
  globalThis.gc?.()
  globalThis.gc?.()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
