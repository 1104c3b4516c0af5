import type { GuardStatus, IssuerStatus } from './status.ts'

/** One figure that a guard can be asked for: what OpenTelemetry and Prometheus say of it, they say by this table. */
export interface Figure {
  /** As OpenTelemetry writes names. */
  readonly name: string
  readonly kind: 'counter' | 'gauge'
  /** UCUM; what is only counted stands in braces. */
  readonly unit: string
  readonly help: string
  read(status: GuardStatus): Sample[]
}

export interface Sample {
  /** Issuers, codes and outcomes: what is configured or written in a table, never what a request says. */
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export const FIRST_SIGHT = {
  name: 'caegis.guard.first_sight.duration',
  unit: 's',
  help: 'How long the check of a token took that was not seen before, with the fetch of a key where there was one',
} as const

const OUTCOMES = ['applied', 'none', 'unmappable', 'refused'] as const

export const FIGURES: readonly Figure[] = [
  {
    ...{ name: 'caegis.guard.verdicts', kind: 'counter', unit: '{verdict}', help: 'Verdicts by their code; allowed is one' },
    read: (status) => [
      ...Object.entries(status.issuers).flatMap(([issuer, { verdicts }]) => coded({ issuer }, verdicts)),
      ...(Object.keys(status.issuers).length > 1 ? coded({ issuer: '' }, status.unassigned.verdicts) : []),
    ],
  },
  counter('caegis.guard.challenges', '{challenge}', 'Refusals with a claims challenge', ({ challenges }) => challenges),
  gauge('caegis.guard.cutoffs', '{cutoff}', 'Cutoffs in force', ({ cutoffs }) => cutoffs),
  gauge('caegis.guard.cutoffs.memory', 'By', 'Memory that the cutoffs take', ({ cutoffBytes }) => cutoffBytes),
  gauge('caegis.guard.connections', '{connection}', 'Connections whose end is waited for', ({ live }) => live),
  {
    ...{ name: 'caegis.guard.tokens', kind: 'gauge', unit: '{token}', help: 'Verified tokens that are remembered' },
    read: ({ tokens }) => [{ labels: {}, value: tokens }],
  },
  gauge('caegis.guard.staleness', 's', 'How old the knowledge of revocations is; infinite before the first', ({ age }) => age),
  gauge('caegis.guard.in_sync', '1', '1 while the source of revocations is followed, 0 while not', ({ inSync }) => Number(inSync)),
  {
    ...{ name: 'caegis.guard.events', kind: 'counter', unit: '{event}', help: 'Events by what became of them' },
    read: ({ issuers }) =>
      Object.entries(issuers).flatMap(([issuer, one]) => OUTCOMES.map((outcome) => ({ labels: { issuer, outcome }, value: one[outcome] }))),
  },
  {
    ...{ name: 'caegis.guard.key_fetches', kind: 'counter', unit: '{fetch}', help: "Fetches of an issuer's signing keys by their outcome" },
    read: ({ issuers }) =>
      Object.entries(issuers).flatMap(([issuer, { keyFetches }]) =>
        Object.entries(keyFetches ?? {}).map(([outcome, value]) => ({ labels: { issuer, outcome }, value })),
      ),
  },
  {
    ...{ name: 'caegis.guard.decisions', kind: 'counter', unit: '{record}', help: 'Records of the decision log by what became of them' },
    read: ({ decisions }) => Object.entries(decisions ?? {}).map(([outcome, value]) => ({ labels: { outcome }, value })),
  },
]

function counter(name: string, unit: string, help: string, of: (one: IssuerStatus) => number): Figure {
  return { ...{ name, kind: 'counter', unit, help }, read: each(of) }
}

function gauge(name: string, unit: string, help: string, of: (one: IssuerStatus) => number): Figure {
  return { ...{ name, kind: 'gauge', unit, help }, read: each(of) }
}

function each(of: (one: IssuerStatus) => number): Figure['read'] {
  return ({ issuers }) => Object.entries(issuers).map(([issuer, one]) => ({ labels: { issuer }, value: of(one) }))
}

function coded(labels: Record<string, string>, verdicts: Record<string, number>): Sample[] {
  return Object.entries(verdicts).map(([code, value]) => ({ labels: { ...labels, code }, value }))
}
