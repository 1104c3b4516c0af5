import type { DeliveryState, Stream } from '../../api/streams.ts'
import type { Tone } from '../../parts/status.tsx'
import { t, tn } from '../../texts/texts.ts'

/** Seconds that a receiver may be behind before it is worth a look. */
const LATE = 30

export interface Health {
  tone: Tone
  /** In a word or two. */
  word: string
  /** Why, and what it means. */
  why?: string
}

/** How a stream is doing: the worst of what can be said of it. */
export function healthOf(stream: Stream): Health {
  const { status, statusReason, statusSetByAdministrator, lane, guard, live, deadLetters, lag } = stream
  if (status !== 'enabled') {
    const why = statusReason ?? (statusSetByAdministrator ? t('streams.health.byAdministrator') : undefined)
    return { tone: status === 'paused' ? 'warn' : 'bad', word: t(`streams.health.${status}`), ...(why === undefined ? {} : { why }) }
  }
  if (lane && lane.failures > 0) return { tone: 'bad', word: t('streams.health.failing'), why: tn('streams.health.failures', lane.failures) }
  if (guard && live === false) return { tone: 'bad', word: t('streams.health.silent'), why: t('streams.health.silentWhy') }
  if (deadLetters > 0) return { tone: 'warn', word: tn('streams.health.letters', deadLetters), why: t('streams.health.lettersWhy') }
  if (lag.rows > 0 && lag.seconds >= LATE) return { tone: 'warn', word: t('streams.health.behind') }
  return { tone: 'good', word: t('streams.health.good') }
}

const RANK: Record<Tone, number> = { bad: 0, warn: 1, info: 2, quiet: 2, good: 2 }

/** Those in trouble first; otherwise by name. */
export function byTrouble(one: Stream, other: Stream): number {
  return RANK[healthOf(one).tone] - RANK[healthOf(other).tone] || nameOf(one).localeCompare(nameOf(other)) || (one.id < other.id ? -1 : 1)
}

export function nameOf({ displayName, appId }: Pick<Stream, 'displayName' | 'appId'>): string {
  return displayName ?? appId
}

/** How far behind it is. */
export function lagText({ lag }: Stream): string {
  if (lag.rows === 0) return t('streams.lag.none')
  return tn('streams.lag.rows', lag.rows, { seconds: lag.seconds })
}

const percent = new Intl.NumberFormat('en', { style: 'percent', maximumFractionDigits: 1 })

export function rateText({ successRate }: Stream): string {
  return successRate === null ? t('streams.rate.none') : percent.format(successRate)
}

export function methodText({ guard, delivery }: Stream): string {
  return t(guard ? 'streams.method.guard' : delivery.method.endsWith(':rfc:8935') ? 'streams.method.push' : 'streams.method.poll')
}

export const DELIVERY_TONES: Record<DeliveryState, Tone> = {
  ...{ pending: 'warn', sent: 'info', acked: 'good', applied: 'good', refused: 'good', dead: 'bad', notSent: 'quiet' },
}
