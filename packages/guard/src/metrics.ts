import { FIGURES, FIRST_SIGHT, type Sample } from './figures.ts'
import type { Guard } from './guard.ts'
import { FIRST_SIGHT_BOUNDS } from './verdict-counts.ts'

export type { Sample } from './figures.ts'

/** The `Content-Type` of {@link metricsText}. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** What a guard counted and knows, in the text format of Prometheus (exposition format 0.0.4). Serve it where only your own network asks. */
export function metricsText(guard: Pick<Guard, 'status'>): string {
  const status = guard.status()
  const lines: string[] = []
  for (const { name, kind, unit, help, read } of FIGURES) {
    const samples = read(status)
    lines.push(...figureLines(nameOf(name, kind, unit), kind, help, samples))
  }
  const name = nameOf(FIRST_SIGHT.name, 'histogram', FIRST_SIGHT.unit)
  lines.push(...headOf(name, 'histogram', FIRST_SIGHT.help))
  for (const [issuer, { firstSights }] of Object.entries(status.issuers)) {
    let below = 0
    for (const [i, bound] of [...FIRST_SIGHT_BOUNDS, Number.POSITIVE_INFINITY].entries()) {
      below += firstSights.counts[i] as number
      lines.push(`${name}_bucket${labelsOf({ issuer, le: numberOf(bound) })} ${below}`)
    }
    lines.push(`${name}_sum${labelsOf({ issuer })} ${numberOf(firstSights.seconds)}`, `${name}_count${labelsOf({ issuer })} ${below}`)
  }
  return `${lines.join('\n')}\n`
}

/** One figure in the text format, its labels escaped; nothing where there is nothing to say. @param name as Prometheus writes names */
export function figureLines(name: string, kind: 'counter' | 'gauge', help: string, samples: readonly Sample[]): string[] {
  if (samples.length === 0) return []
  return [...headOf(name, kind, help), ...samples.map(({ labels, value }) => `${name}${labelsOf(labels)} ${numberOf(value)}`)]
}

const UNITS: Record<string, string> = { s: '_seconds', By: '_bytes' }

/** As OpenTelemetry's names become Prometheus's: the unit and, of a counter, `total` follow. */
export function nameOf(name: string, kind: string, unit: string): string {
  return `${name.replaceAll('.', '_')}${UNITS[unit] ?? ''}${kind === 'counter' ? '_total' : ''}`
}

function headOf(name: string, kind: string, help: string): string[] {
  return [`# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`, `# TYPE ${name} ${kind}`]
}

function labelsOf(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

function numberOf(value: number): string {
  return value === Number.POSITIVE_INFINITY ? '+Inf' : String(value)
}
