import {
  EVENT,
  type EventClaims,
  type EventPayload,
  type EventType,
  isObject,
  type SecurityEvent,
  type Subject,
  type EventPayloads as WrittenPayloads,
} from '@caegis/protocol'

/** Extensions of CAEgis are for guards, verification is the receiver's own business. */
type Named = Exclude<EventType, typeof EVENT.verification | `urn:caegis:${string}`>
type NameOf<Type> = Type extends `${string}/event-type/${infer Name}` ? Name : never
/** As somebody else wrote it: the required members are there, with a value of the spec's list or another. */
type AsRead<Payload> = EventPayload & {
  [Member in keyof Payload as Exclude<Member, keyof EventClaims>]: Payload[Member] extends string | undefined
    ? Payload[Member] | (string & {})
    : Payload[Member]
}

/** What each event carries, by its short name. */
export type EventPayloads = { [Type in Named as NameOf<Type>]: AsRead<WrittenPayloads[Type]> }

export type EventName = keyof EventPayloads

/** An event as a handler gets it: verified, about a subject that the transmitter may speak of, and (but for a crash or a failed attempt) not seen before. */
export interface ReceivedEvent<Payload = EventPayload> {
  /** The event type's URI. */
  type: string
  /** Its short name, where there is one. */
  name?: EventName
  subject: Subject
  payload: Payload
  /** Shared by every event of one cause. */
  txn?: string
  jti: string
  /** Seconds: when the SET was written. */
  iat: number
  /** Seconds: when the event happened, by `event_timestamp` unless that is later than the SET itself (milliseconds, another year). Compare this, never your own clock. */
  at: number
  issuer: string
}

/** Throwing, or a promise that rejects, means "not done": the event comes again. */
export type Handler<Payload = EventPayload> = (event: ReceivedEvent<Payload>) => void | Promise<void>

/** By short name, or by URI for events that have none; `*` gets what has no handler of its own. */
export type Handlers = { [Name in EventName]?: Handler<EventPayloads[Name]> } & {
  '*'?: Handler
  [uri: `${string}:${string}`]: Handler
}

const NAMED = Object.values(EVENT).filter((uri) => uri !== EVENT.verification && !uri.startsWith('urn:caegis:'))
const NAME_OF = new Map<string, EventName>(NAMED.map((uri) => [uri, uri.slice(uri.lastIndexOf('/') + 1) as EventName]))
const URI_OF = new Map<string, string>([...NAME_OF].map(([uri, name]) => [name, uri]))

/** The URI of an event that was named either way; undefined for a name that nothing has. */
export function eventUri(name: string): string | undefined {
  return URI_OF.get(name) ?? (name.includes(':') && URL.canParse(name) ? name : undefined)
}

/** Members that a payload cannot do without. Their values are not judged: a level that nobody has heard of may still be bad news. */
const REQUIRED: { [type: string]: Record<string, 'string' | 'object'> } = {
  [EVENT.tokenClaimsChange]: { claims: 'object' },
  [EVENT.credentialChange]: { credential_type: 'string', change_type: 'string' },
  [EVENT.assuranceLevelChange]: { namespace: 'string', current_level: 'string' },
  [EVENT.deviceComplianceChange]: { previous_status: 'string', current_status: 'string' },
  [EVENT.riskLevelChange]: { principal: 'string', current_level: 'string' },
  [EVENT.credentialCompromise]: { credential_type: 'string' },
  [EVENT.streamUpdated]: { status: 'string' },
}

/** Whether the payload has what its type requires, so that a handler may rely on the types above. */
export function hasPayload({ type, payload }: SecurityEvent): boolean {
  const required = Object.hasOwn(REQUIRED, type) ? Object.entries(REQUIRED[type] as object) : []
  return required.every(([member, kind]) => (kind === 'object' ? isObject(payload[member]) : typeof payload[member] === 'string'))
}

/** Seconds that a transmitter's event time may be ahead of its own SET. */
const EVENT_AHEAD = 5

export function receivedEvent({ type, subject, payload, txn, jti, iat, iss }: SecurityEvent): ReceivedEvent {
  const stamp = payload.event_timestamp
  const plausible = typeof stamp === 'number' && stamp >= 0 && stamp <= iat + EVENT_AHEAD
  const name = NAME_OF.get(type)
  return {
    type,
    ...(name && { name }),
    subject,
    payload,
    ...(txn !== undefined && { txn }),
    jti,
    iat,
    at: plausible ? Math.floor(stamp) : iat,
    issuer: iss,
  }
}

/** @throws TypeError for a name that no event has: a typing error there would mean silence */
export function createDispatch(handlers: Handlers): (type: string) => Handler | undefined {
  const byUri = new Map<string, Handler>()
  for (const [name, handler] of Object.entries(handlers) as [string, Handler | undefined][]) {
    if (handler === undefined) continue
    if (typeof handler !== 'function') throw new TypeError(`on['${name}'] must be a function`)
    const uri = name === '*' ? name : eventUri(name)
    if (uri === undefined) throw new TypeError(`on['${name}']: there is no event of that name`)
    byUri.set(uri, handler)
  }
  if (byUri.size === 0) throw new TypeError('on needs a handler')
  return (type) => byUri.get(type) ?? byUri.get('*')
}
