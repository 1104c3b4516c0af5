import type { Outcome } from '../../api/sign-ins.ts'

/** Of Mantine's palette. */
export const OUTCOME_COLORS: Record<Outcome, string> = { allowed: 'blue.6', blocked: 'red.7', challenged: 'orange.5', failed: 'gray.6' }

const TIME = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hour12: false })
const DAY = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short' })
const BOTH = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', hour12: false })

/** The beginning of an interval on an axis: the time within a day, days beyond it. */
export function axisTime(at: string, hours: number): string {
  return (hours > 24 ? DAY : TIME).format(new Date(at))
}

export function intervalTime(at: string): string {
  return BOTH.format(new Date(at))
}
