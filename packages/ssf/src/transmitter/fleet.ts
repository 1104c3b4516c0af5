import { type Head, SET_TYPE } from '@caegis/protocol'
import { fleetAudience, HEAD_TYPE } from '../wire.ts'
import { claimsOfEvent, jtiOf } from './mint.ts'
import type { EventRow } from './store.ts'

/** What is signed for a fleet: its claims and its JOSE `typ`. */
export interface FleetMessage {
  claims: Record<string, unknown>
  typ: string
}

/** A fleet is no stream: its SETs are those of a guard's stream with this name in their `jti`. */
const FLEET = { id: 'fleet', subjects: 'complex', guard: true } as const

/** The SET of a row as every guard of the issuer may read it. It names the log that it stands in: to its readers it comes without a head. */
export function fleetEvent(issuer: string, epoch: string, row: EventRow): FleetMessage {
  return { claims: { ...claimsOfEvent(issuer, { ...FLEET, aud: fleetAudience(issuer) }, row), caegis_epoch: epoch }, typ: SET_TYPE }
}

/** Where the log stands: what makes who has applied all up to there as fresh as it. */
export function fleetHead(issuer: string, { epoch, seq, asOf }: Omit<Head, 'status'>): FleetMessage {
  return { claims: { iss: issuer, aud: fleetAudience(issuer), caegis_head: { epoch, seq, asOf, status: 'enabled' } }, typ: HEAD_TYPE }
}

/** The `jti` under which a fleet hears of an event. */
export function fleetJti(id: string): string {
  return jtiOf(FLEET, id)
}
