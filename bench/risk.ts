import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compilePolicies, decide, type PolicySet, parsePolicy } from '@caegis/policy'
import { insertSignal, readRecent } from '../packages/server/src/issuer/risk-signals.ts'
import { createLog } from '../packages/server/src/log.ts'
import { type Assessment, assess } from '../packages/server/src/risk/assess.ts'
import { HOUR, MOST } from '../packages/server/src/risk/detection.ts'
import { networkOf, type Signal } from '../packages/server/src/risk/signal.ts'
import { createStore } from '../packages/server/src/store/store.ts'
import { type Figure, quantile } from './figure.ts'

const PEOPLE = 1000
const NETWORKS = 50
const SECONDS = 10
const A_SECOND = 1000
const ROUNDS = 5
/** Sign-ins with a store, and how many of them at a time. */
const STORED = 1000
const AT_A_TIME = 16
const NOW = 1_800_000_000
const SETTINGS = { off: [], given: { countries: true, places: true, leaked: true, addresses: true } }

/**
 * What a thousand sign-ins a second cost in processor time of one core: each is recorded, judged by all detections over as much as is ever remembered, and decided by policies
 * that ask for its risk; then the same without the detections.
 */
export async function run(emit: (figure: Figure) => void): Promise<void> {
  const policies = compilePolicies(Array.from({ length: 20 }, (_, at) => policyOf(at)))
  const runs = { with: [] as number[], without: [] as number[] }
  for (let round = 0; round < ROUNDS; round++) {
    runs.with.push(turn(policies, true))
    runs.without.push(turn(policies, false))
  }
  const [time, plain] = [quantile(runs.with, 0.5), quantile(runs.without, 0.5)]
  const count = SECONDS * A_SECOND
  const rate = (microseconds: number) => (count * 1e6) / microseconds
  const held = { budget: `>= ${A_SECOND.toLocaleString('en')} /s`, holds: rate(time) >= A_SECOND }
  emit({
    suite: 'risk',
    name: 'sign-ins judged by all detections, one core',
    value: rate(time),
    unit: '/s',
    peer: 'without risk',
    ratio: plain / time,
    ...held,
  })
  emit({ suite: 'risk', name: 'the same without risk', value: rate(plain), unit: '/s' })
  emit({ suite: 'risk', name: 'what the detections cost a sign-in', value: (time - plain) / count, unit: 'us' })
  emit({
    suite: 'risk',
    name: `a core's share of ${A_SECOND.toLocaleString('en')} sign-ins/s, with risk`,
    value: (100 * time) / 1e6 / SECONDS,
    unit: '%',
  })
  await stored(emit)
}

/** The same from a store on the disk: what is remembered is read for each sign-in, and the sign-in is written. */
async function stored(emit: (figure: Figure) => void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'caegis-bench-risk-'))
  const store = await createStore({ file: join(folder, 'caegis.db'), now: Date.now, log: createLog('silent') })
  await store.transaction({ tenant: 't' }, async (db) => {
    for (let person = 0; person < PEOPLE; person++)
      for (const one of historyOf(person)) if (one.kind === 'interactive') await insertSignal(db, 't', one)
    for (let number = 0; number < NETWORKS; number++) {
      const one = (at: number) => signalOf(at * NETWORKS + number, home(number), NOW - (at % HOUR))
      for (let at = 0; at < MOST.network; at++) await insertSignal(db, 't', one(at))
    }
  })
  const levels = new Set<string>()
  const started = process.cpuUsage()
  await Promise.all(
    Array.from({ length: AT_A_TIME }, async (_, lane) => {
      for (let at = lane; at < STORED; at += AT_A_TIME) {
        const signal = signalAt(at)
        const recent = await readRecent(store, 't', signal)
        levels.add(assess({ signal, recent, leaked: false, listed: false }, SETTINGS).level ?? 'unknown')
        await store.transaction({ tenant: 't' }, (db) => insertSignal(db, 't', signal))
      }
    }),
  )
  const { user, system } = process.cpuUsage(started)
  await store.close()
  rmSync(folder, { recursive: true })
  if (!levels.has('none') || !levels.has('medium')) throw new Error(`the run is not the one that was meant: ${[...levels].join(' ')}`)
  emit({ suite: 'risk', name: 'read from the store, judged and written, one core', value: (STORED * 1e6) / (user + system), unit: '/s' })
}

function signalAt(at: number): Signal {
  const person = (at * 7) % PEOPLE
  // One in ten comes from elsewhere, with a browser that is new.
  const from = at % 10 === 9 ? abroad(at % NETWORKS) : home(person % NETWORKS)
  return signalOf(person, from, NOW + Math.floor(at / A_SECOND))
}

/** Microseconds of processor time. */
function turn(policies: PolicySet, withRisk: boolean): number {
  const people = Array.from({ length: PEOPLE }, (_, person) => historyOf(person))
  const networks = new Map<string, Signal[]>()
  for (let number = 0; number < NETWORKS; number++) {
    for (const from of [home, abroad]) {
      const some = Array.from({ length: MOST.network }, (_, at) => signalOf(at * NETWORKS + number, from(number), NOW - (at % HOUR)))
      networks.set((some[0] as Signal).network, some)
    }
  }
  const levels = new Map<string, number>()
  const started = process.threadCpuUsage()
  for (let at = 0; at < SECONDS * A_SECOND; at++) {
    const signal = signalAt(at)
    const user = people[(at * 7) % PEOPLE] as Signal[]
    const network = networks.get(signal.network) as Signal[]
    const risk: Assessment | undefined = withRisk
      ? assess({ signal, recent: { user, network }, leaked: at % 5000 === 0, listed: at % 3000 === 0 }, SETTINGS)
      : undefined
    const { outcome } = decide(policies, signalsOf(signal, withRisk ? risk?.level : 'none'))
    const key = `${withRisk ? (risk?.level ?? 'unknown') : ''} ${outcome}`
    levels.set(key, (levels.get(key) ?? 0) + 1)
    user.unshift(signal)
    user.pop()
    network.unshift(signal)
    network.pop()
  }
  const { user, system } = process.threadCpuUsage(started)
  const expected = withRisk ? ['none allow', 'unknown require', 'high require'] : [' allow']
  if (expected.some((one) => !levels.has(one))) throw new Error(`the run is not the one that was meant: ${[...levels].join(' ')}`)
  return user + system
}

/** As much of a person as is ever looked at. */
function historyOf(person: number): Signal[] {
  const sorts = [
    { kind: 'interactive', outcome: 'success', every: 12 * HOUR },
    { kind: 'refresh', outcome: 'success', every: HOUR },
    { kind: 'interactive', outcome: 'failure', every: 300 },
  ] as const
  return sorts
    .flatMap(({ kind, outcome, every }) =>
      Array.from({ length: MOST.user }, (_, at): Signal => ({ ...signalOf(person, home(person % NETWORKS), NOW - (at + 1) * every), kind, outcome })),
    )
    .sort((a, b) => b.at - a.at)
}

type From = Pick<Signal, 'address' | 'country' | 'place'>

const home = (number: number): From => ({ address: `10.0.${number}.7`, country: 'DE', place: { latitude: 52.5, longitude: 13.4, radius: 50 } })
const abroad = (number: number): From => ({ address: `10.1.${number}.7`, country: 'JP', place: { latitude: 35.7, longitude: 139.7, radius: 50 } })

function signalOf(number: number, from: From, at: number): Signal {
  const user = `user-${number % PEOPLE}`
  const browser = from.country === 'DE' ? `browser-${user}` : `browser-${number}-${at}`
  return { at, kind: 'interactive', outcome: 'success', user, browser, network: networkOf(from.address), ...from }
}

function policyOf(at: number) {
  return parsePolicy({
    id: `policy-${at}`,
    displayName: `Policy ${at}`,
    state: 'enabled',
    conditions: {
      users: { includeUsers: ['All'] },
      applications: { includeApplications: at === 0 ? ['All'] : [`api-${at}`] },
      signInRiskLevels: ['medium', 'high'],
    },
    grantControls: { operator: 'OR', builtInControls: ['mfa'] },
  })
}

function signalsOf({ at, user, address, country }: Signal, signInRisk: Assessment['level']) {
  return {
    now: at,
    user: { id: user as string, groups: [], roles: [] },
    application: 'files-api',
    clientAppType: 'browser' as const,
    address,
    ...(country === undefined ? {} : { country }),
    device: null,
    userRisk: 'none' as const,
    ...(signInRisk === undefined ? {} : { signInRisk }),
    flow: 'none' as const,
    proof: { at, mfa: false, methods: ['password'] },
  }
}
