import { type Api, searchOf } from './api.ts'
import { badRequest } from './errors.ts'
import type { LoopLook } from './signals.ts'

/** Intervals of one answer, each of a length that divides an hour or a day. */
const MOST_INTERVALS = 96
const MINUTES = [1, 5, 15, 30, 60, 120, 240, 480] as const
const MOST_HOURS = 720

/** How the loop is doing: hop by hop, and what was decided over time. */
export function registerLoop({ origin, route }: Api): void {
  route('GET', '/caegis/loop', { does: 'Shows how each hop of the loop is doing', needs: ['SecurityEvents.Read.All'] }, async ({ signals }) => ({
    '@odata.context': `${origin}/v1.0/$metadata#caegis/loop`,
    ...shapeLoop(await signals.hops.look()),
  }))

  route(
    'GET',
    '/caegis/activity',
    { does: 'Counts what was decided at sign-ins, over time', needs: ['AuditLog.Read.All'], options: ['hours'] },
    async (caller, request) => {
      const hours = readHours(searchOf(request).get('hours'))
      const minutes = MINUTES.find((one) => (hours * 60) / one <= MOST_INTERVALS) as number
      const found = await caller.tenant.signIns.activity(minutes * 60_000, Math.ceil((hours * 60) / minutes))
      return {
        '@odata.context': `${origin}/v1.0/$metadata#caegis/activity`,
        intervalMinutes: minutes,
        value: found.map(({ from, ...counts }) => ({ startDateTime: new Date(from).toISOString(), ...counts })),
      }
    },
  )
}

export function shapeLoop({ asOf, windowMinutes, hops }: LoopLook): object {
  return { asOfDateTime: new Date(asOf * 1000).toISOString(), windowMinutes, hops }
}

function readHours(text: string | null): number {
  const hours = text === null ? 24 : /^\d{1,3}$/.test(text) ? Number(text) : 0
  if (hours < 1 || hours > MOST_HOURS) throw badRequest(`hours must be 1 to ${MOST_HOURS}.`)
  return hours
}
