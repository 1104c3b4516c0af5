import { readdirSync, readFileSync } from 'node:fs'
import { parse } from 'yaml'
import type { Assessed, Given } from '../src/risk/detection.ts'
import type { DetectionType, Finding } from '../src/risk/finding.ts'
import { networkOf, type Signal } from '../src/risk/signal.ts'

export const NOW = 1_800_000_000
export const ALL_GIVEN: Given = { countries: true, places: true, leaked: true, addresses: true }

/** A signal as the vectors write it: of alice, right, and interactive, unless they say otherwise. */
interface Written extends Partial<Omit<Signal, 'at' | 'user'>> {
  /** `null` = nobody. */
  user?: string | null
  /** `30m` before the one that is looked at. */
  ago?: string
  times?: number
  /** What is another one each time. */
  each?: 'user' | 'name'
}

interface WrittenCase {
  name: string
  signal?: Written
  user?: Written[]
  network?: Written[]
  given?: Partial<Given>
  leaked?: boolean | 'unknown'
  listed?: boolean | 'unknown'
  replay?: { ago: string; network: string; grace: boolean; bound: boolean }
  want: 'none' | 'unknown' | Partial<Finding>
}

export interface RiskCase {
  name: string
  input: Assessed
  given: Given
  want: WrittenCase['want']
}

/** Everything in `risk/*.yaml`. */
export function readRiskCases(): { file: string; detection: DetectionType; cases: RiskCase[] }[] {
  const folder = new URL('risk/', import.meta.url)
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => {
      const { detection, cases } = parse(readFileSync(new URL(file, folder), 'utf8'), { merge: true }) as {
        detection: DetectionType
        cases: WrittenCase[]
      }
      return { file, detection, cases: cases.map(readCase) }
    })
}

function readCase({ name, signal = {}, user = [], network = [], given, leaked, listed, replay, want }: WrittenCase): RiskCase {
  const input: Assessed = {
    signal: signalsOf({ address: '192.0.2.1', ...signal })[0] as Signal,
    recent: { user: user.flatMap(signalsOf), network: network.flatMap(signalsOf) },
  }
  if (leaked !== undefined) input.leaked = leaked
  if (listed !== undefined) input.listed = listed
  if (replay) {
    const { ago, ...rest } = replay
    input.replay = { at: NOW - secondsOf(ago), ...rest }
  }
  return { name, input, given: { ...ALL_GIVEN, ...given }, want }
}

function signalsOf({ ago = '0s', times = 1, each, user = 'alice', ...rest }: Written): Signal[] {
  return Array.from({ length: times }, (_, number) => {
    const address = rest.address ?? ''
    const signal: Signal = { at: NOW - secondsOf(ago), kind: 'interactive', outcome: 'success', network: networkOf(address), ...rest, address }
    if (user !== null) signal.user = each === 'user' ? `${user}-${number}` : user
    if (each === 'name') signal.name = `${rest.name}-${number}`
    return signal
  })
}

const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 }

function secondsOf(text: string): number {
  const [, count, unit] = /^(-?\d+)([smhd])$/.exec(text) ?? []
  if (count === undefined) throw new Error(`${text} is no time`)
  return Number(count) * (SECONDS[unit as string] as number)
}
