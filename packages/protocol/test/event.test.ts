import { describe, expect, expectTypeOf, it } from 'vitest'
import {
  type CutoffRow,
  EVENT,
  type EventPayload,
  type EventPayloads,
  type EventType,
  event,
  isEvent,
  parseSet,
  type SecurityEvent,
  type WrittenType,
} from '../src/index.ts'
import { vectors } from './vectors/load.ts'

const cases = [...vectors('events'), ...vectors('refused-events')]
const write = event as (type: string, ...rest: unknown[]) => { type: string; payload: EventPayload; subject?: unknown }
const uri = (name: string) => EVENT[name as keyof typeof EVENT] ?? name

describe('writing an event', () => {
  it.each(cases)('$spec: $in.type: $description', ({ in: { type, payload, subject }, want, error }) => {
    if (error !== undefined) {
      const run = () => write(uri(type), payload, subject)
      expect(run).toThrow(TypeError)
      expect(run).toThrow(error)
      return
    }
    const written = payload === undefined ? write(uri(type)) : write(uri(type), payload, subject)
    expect(written).toEqual({ type: uri(type), payload: want, ...(subject && { subject }) })
    // What is written can be read.
    const set = parseSet({
      ...{ iss: 'https://id.example', jti: 'j', iat: 1_753_000_010, aud: 'rp', sub_id: subject ?? { format: 'opaque', id: 'x' } },
      events: { [written.type]: JSON.parse(JSON.stringify(written.payload)) },
    })
    expect(set.payload).toEqual(want)
  })

  it('every type has a vector that is written, and every member of its own one that is refused', () => {
    const written = vectors('events')
    const types = new Set<string>(Object.values(EVENT))
    types.delete(EVENT.sessionsRevoked)
    expect(new Set(written.map(({ in: { type } }) => uri(type)))).toEqual(types)
    const refused = new Set(vectors('refused-events').map(({ in: { type }, error = '' }) => `${type}${/^: \S+/.exec(error)}`))
    const shared = /^(event_timestamp|initiating_entity|reason_admin|reason_user|caegis_.*)$/
    for (const { in: given } of written) {
      for (const member of Object.keys(given.payload ?? {})) {
        if (given.type === 'sessionRevoked' || !shared.test(member)) expect.soft(refused).toContain(`${given.type}: ${member}`)
      }
    }
  })

  it.each([
    ['undefined', { roles: undefined }],
    ['a date', { at: new Date(0) }],
    ['no number', { level: Number.NaN }],
    ['a function', { level: () => 1 }],
    ['a bigint', { level: 1n }],
    [
      'a circle',
      (() => {
        const circle: Record<string, unknown> = {}
        circle.self = circle
        return circle
      })(),
    ],
  ])('new values of claims that JSON would lose or change are refused: %s', (_, claims) => {
    expect(() => event(EVENT.tokenClaimsChange, { claims })).toThrow(TypeError)
  })

  it('a member that is undefined is left out', () => {
    expect(write(EVENT.sessionRevoked, { event_timestamp: undefined }).payload).toEqual({})
  })

  it('what was handed in may change afterwards', () => {
    const payload = { initiating_entity: 'admin' as const }
    const written = event(EVENT.sessionRevoked, payload)
    Object.assign(payload, { initiating_entity: 'robot' })
    expect(written.payload.initiating_entity).toBe('admin')
  })

  it('an error names the member, never a value', () => {
    expect(() => event(EVENT.identifierRecycled, {}, { format: 'iss_sub', iss: 'x', sub: 'secret-sub' } as never)).toThrow(/^(?!.*secret-sub)/)
    expect(() => event(EVENT.credentialChange, { credential_type: 'password', change_type: 'secret-value' as never })).toThrow(/^(?!.*secret-value)/)
  })

  it('a list of cutoffs must fit into one SET', () => {
    const list = (length: number, size: number): CutoffRow[] => Array.from({ length }, () => ['user', 'x'.repeat(size), 1, 'access', 2])
    expect(event(EVENT.cutoffs, { cutoffs: list(1000, 8) }).payload.cutoffs).toHaveLength(1000)
    expect(() => event(EVENT.cutoffs, { cutoffs: list(1001, 8) })).toThrow(TypeError)
    expect(() => event(EVENT.cutoffs, { cutoffs: list(1000, 40) })).toThrow(TypeError)
  })
})

describe('the types say the same', () => {
  it('of every event type there is a payload', () => {
    expectTypeOf<keyof EventPayloads>().toEqualTypeOf<EventType>()
    expectTypeOf<WrittenType>().toEqualTypeOf<Exclude<EventType, typeof EVENT.sessionsRevoked>>()
  })

  it('what is written goes wherever a payload goes', () => {
    const written = event(EVENT.credentialChange, { credential_type: 'smartcard', change_type: 'update' })
    const row: { type: EventType; payload: EventPayload } = written
    expect(row.payload.change_type).toBe('update')
    expectTypeOf(written.payload.change_type).toEqualTypeOf<'create' | 'revoke' | 'update' | 'delete'>()
    expectTypeOf(event(EVENT.identifierRecycled, {}, { format: 'email', email: 'a@b.test' }).subject.format).toEqualTypeOf<'email' | 'phone_number'>()
  })

  it('mistakes are seen before they are run', () => {
    const mistakes = [
      // @ts-expect-error a payload is needed
      () => event(EVENT.credentialChange),
      // @ts-expect-error a required member is missing
      () => event(EVENT.credentialChange, { credential_type: 'password' }),
      // @ts-expect-error no such value
      () => event(EVENT.riskLevelChange, { principal: 'USER', current_level: 'high' }),
      // @ts-expect-error no such member
      () => event(EVENT.accountDisabled, { raeson: 'hijacking' }),
      // @ts-expect-error a subject is needed
      () => event(EVENT.identifierChanged, {}),
      // @ts-expect-error of one of two formats
      () => event(EVENT.identifierChanged, {}, { format: 'opaque', id: 'x' }),
      // @ts-expect-error deprecated
      () => event(EVENT.sessionsRevoked),
    ]
    for (const mistake of mistakes) expect(mistake).toThrow(TypeError)
  })

  it('reading: a type narrows to the names of its members, whose values stay to be checked', () => {
    const set = { type: EVENT.credentialChange, payload: { change_type: 'update' } } as unknown as SecurityEvent
    expect(isEvent(set, EVENT.sessionRevoked)).toBe(false)
    if (!isEvent(set, EVENT.credentialChange)) return expect.unreachable()
    expectTypeOf(set.type).toEqualTypeOf<typeof EVENT.credentialChange>()
    expectTypeOf(set.payload.change_type).toEqualTypeOf<unknown>()
    expect(set.payload.change_type).toBe('update')
  })
})
