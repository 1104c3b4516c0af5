import { EVENT } from '@caegis/protocol'
import { describe, expect, it } from 'vitest'
import { type Affected, affectedBy, isOf } from '../src/graph/affected.ts'

const ISSUER = 'https://id.test/contoso/v2.0'

describe('what a change is about', () => {
  const row = (complex: object, more: object = {}) => ({ type: EVENT.sessionRevoked, payload: {}, subject: { complex }, ...more }) as never
  const opaque = (id: string) => ({ format: 'opaque', id })
  const user = { format: 'iss_sub', iss: ISSUER, sub: 'u' }

  it.each<[object, Omit<Affected, 'count'>]>([
    [user, { kind: 'user', id: 'u', user: 'u' }],
    [
      { format: 'jwt_id', iss: ISSUER, jti: 'j' },
      { kind: 'token', id: 'j' },
    ],
    [
      { format: 'complex', user },
      { kind: 'user', id: 'u', user: 'u' },
    ],
    [
      { format: 'complex', user, session: opaque('s') },
      { kind: 'session', id: 's', user: 'u' },
    ],
    [
      { format: 'complex', user, application: opaque('a') },
      { kind: 'grant', id: 'a', user: 'u', app: 'a' },
    ],
    [
      { format: 'complex', user, device: opaque('d') },
      { kind: 'device', id: 'd', user: 'u' },
    ],
    [
      { format: 'complex', device: opaque('d') },
      { kind: 'device', id: 'd' },
    ],
    [
      { format: 'complex', application: opaque('a') },
      { kind: 'app', id: 'a', app: 'a' },
    ],
    [
      { format: 'complex', tenant: opaque('t') },
      { kind: 'tenant', id: 't' },
    ],
  ])('is the narrowest that its subject names: %o', (subject, expected) => {
    expect(affectedBy([row(subject)], 't')).toEqual({ ...expected, count: 1 })
  })

  it('is read out of lists, and is one user where all of it is theirs', () => {
    const list = (...cutoffs: string[][]) => row({ format: 'complex', tenant: opaque('t') }, { type: EVENT.cutoffs, payload: { cutoffs } })
    expect(affectedBy([list(['user', 'u'])], 't')).toEqual({ kind: 'user', id: 'u', user: 'u', count: 1 })
    expect(affectedBy([list(['grant', 'u\na'], ['user', 'u'])], 't')).toEqual({ kind: 'user', id: 'u', user: 'u', count: 2 })
    expect(affectedBy([list(['user', 'u'], ['user', 'v'])], 't')).toEqual({ kind: 'tenant', id: 't', count: 2, users: new Set(['u', 'v']) })
    expect(affectedBy([list(['session', 's'], ['user', 'v'])], 't')).toEqual({ kind: 'tenant', id: 't', count: 2, users: new Set(['v']) })
  })

  it('finds the sign-ins of those it reached', () => {
    const of = (more: object) => ({ user: { id: 'u', name: '' }, app: { id: 'a' }, device: { id: 'd' }, ...more }) as never
    expect(isOf({ kind: 'grant', id: 'a', user: 'u', app: 'a', count: 1 }, of({ app: { id: 'b' } }))).toBe(false)
    expect(isOf({ kind: 'device', id: 'd', count: 1 }, of({}))).toBe(true)
    expect(isOf({ kind: 'device', id: 'd', user: 'v', count: 1 }, of({}))).toBe(false)
    expect(isOf({ kind: 'tenant', id: 't', users: new Set(['v']), count: 2 }, of({}))).toBe(false)
    expect(isOf({ kind: 'tenant', id: 't', count: 2 }, of({}))).toBe(true)
  })
})
