import { type CutoffDepth, cutoffsOf, EVENT, type EventPayload, type EventType, type SecurityEvent, trustOwn } from '@caegis/protocol'
import { UPSTREAM_EVENTS, type UpstreamAction, type UpstreamActions, type UpstreamEventName } from '../directory/upstream.ts'

/** What an event causes: the action, and the event that it becomes here. */
export interface Meaning {
  action: UpstreamAction
  type: EventType
  payload: EventPayload
}

const SHORT = new Map<string, UpstreamEventName>(
  Object.values(EVENT).flatMap((uri) => {
    const name = shortName(uri) as UpstreamEventName
    return UPSTREAM_EVENTS.includes(name) ? [[uri, name] as const] : []
  }),
)
/** Known, and nothing to act on: they say nothing that is bad for a token. */
const HARMLESS = new Set<string>([EVENT.identifierChanged, EVENT.identifierRecycled])

export function shortName(type: string): string {
  return type.slice(type.search(/[^/:]+$/))
}

/** The event types worth asking a transmitter for. */
export function wantedTypes(actions: UpstreamActions): string[] {
  return [...SHORT].filter(([, name]) => actions[name] !== 'ignore').map(([uri]) => uri)
}

/**
 * Reads an event by the one function that says what events mean for tokens, as if it were our own: nothing of what its transmitter says about times or depths counts.
 * @returns `unmapped` for a type that nobody here knows
 */
export function meaningOf({ type, payload }: Pick<SecurityEvent, 'type' | 'payload'>, actions: UpstreamActions): Meaning | 'ignored' | 'unmapped' {
  const plain = Object.fromEntries(Object.entries(payload).filter(([name]) => !name.startsWith('caegis_')))
  const outcome = depthOf(type, plain)
  const name = SHORT.get(type)
  if (name === 'account-enabled') {
    return actions[name] === 'ignore' ? 'ignored' : { action: 'enable', type: EVENT.accountEnabled, payload: {} }
  }
  if (outcome === 'none' || HARMLESS.has(type)) return 'ignored'
  if (name === undefined || outcome === 'unknown') return 'unmapped'
  const ends = name === 'account-disabled' || name === 'account-purged'
  const action = actions[name] ?? (ends ? 'disable' : outcome === 'sign-in' ? 'revoke' : 'reevaluate')
  switch (action) {
    case 'ignore':
      return 'ignored'
    case 'disable':
      return { action, type: EVENT.accountDisabled, payload: {} }
    case 'revoke':
      return { action, type: EVENT.sessionRevoked, payload: {} }
    case 'reevaluate':
      // A type whose name alone says more than that becomes the one that can say less.
      return outcome === 'access'
        ? { action, type: type as EventType, payload: sanitize(type, plain) }
        : { action, type: EVENT.sessionRevoked, payload: {} }
  }
}

/** Of an event about a whole user of ours. */
function depthOf(type: string, payload: EventPayload): CutoffDepth | 'none' | 'unknown' {
  const iss = 'https://us.invalid'
  const set: SecurityEvent = { iss, jti: '-', iat: 0, aud: [iss], subject: { format: 'iss_sub', iss, sub: '-' }, type, payload }
  const meant = cutoffsOf(set, trustOwn(iss), 0)
  if (meant.outcome === 'none') return 'none'
  return (meant.outcome === 'cutoffs' ? meant.cutoffs[0]?.depth : undefined) ?? 'unknown'
}

const MAX_TEXT = 128
const MAX_CLAIMS = 32
const RISK = ['LOW', 'MEDIUM', 'HIGH']

/** Only members that the specification names, with values that it allows: what somebody else wrote freely does not become our word. */
function sanitize(type: string, payload: EventPayload): EventPayload {
  const text = (name: string) => (typeof payload[name] === 'string' ? { [name]: payload[name].replace(/\p{C}/gu, '').slice(0, MAX_TEXT) } : {})
  const among = (name: string, values: readonly string[]) => (values.includes(payload[name] as string) ? { [name]: payload[name] } : {})
  switch (type) {
    case EVENT.credentialChange:
      return { ...text('credential_type'), change_type: 'update', ...among('change_type', ['create', 'revoke', 'update', 'delete']) }
    case EVENT.riskLevelChange:
      return { principal: 'USER', current_level: 'HIGH', ...among('current_level', RISK), ...among('previous_level', RISK) }
    case EVENT.deviceComplianceChange:
      return { previous_status: 'compliant', ...among('previous_status', ['compliant', 'not-compliant']), current_status: 'not-compliant' }
    case EVENT.assuranceLevelChange:
      return { ...text('namespace'), ...text('current_level'), ...text('previous_level'), ...among('change_direction', ['increase', 'decrease']) }
    case EVENT.tokenClaimsChange:
      // The values are of their tokens and not of ours: only which they were is passed on.
      return {
        claims: {
          upstream: Object.keys((payload.claims as object) ?? {})
            .map((one) => one.slice(0, MAX_TEXT))
            .slice(0, MAX_CLAIMS),
        },
      }
    default:
      return {}
  }
}
