import { type ChallengeClaims, type JsonObject, scopesOf, wordsOf } from '@caegis/protocol'
import type { SeenToken } from './token-cache.ts'

/** What a route asks of a token beyond that it is good. */
export interface Requirement {
  /** All of these: a list, or words with blanks between. */
  scope?: string | readonly string[]
  /** Any one of these. A token without a user is judged by its roles alone. */
  roles?: string | readonly string[]
  /** Authentication contexts, all of these. */
  acrs?: string | readonly string[]
  /** Seconds: how old the sign-in may be. */
  maxAge?: number
}

/** A requirement, compiled once. */
export interface Needs {
  /** As it was asked. */
  readonly asked: Requirement
  readonly scope: readonly string[]
  readonly acrs: readonly string[]
  readonly maxAge: number | undefined
  /** What a token lacks: worked out when the token is first seen here. */
  of(seen: SeenToken): TokenNeeds
}

/** The same for one token: only time can still change it. */
export interface TokenNeeds {
  /** A scope or a role is missing: no sign-in would help. */
  readonly forbidden: boolean
  readonly missesContext: boolean
  /** The second after which the sign-in is too old; `Infinity` where none is asked for, `-Infinity` where nobody knows when it was. */
  readonly freshUntil: number
  /** Nobody signed in, so nobody can sign in again. */
  readonly appOnly: boolean
}

/** Seconds by which an issuer's clock may differ from itself: later than its own token, a sign-in is no instant. */
const AHEAD = 60
/** RFC 6749 section 3.3, a scope-token. */
const WORD = /^[\x21\x23-\x5b\x5d-\x7e]{1,1024}$/

/** @throws TypeError for what asks for nothing, or for what no token could have */
export function compileNeeds(requirement: Requirement): Needs {
  const unknown = Object.keys(requirement).find((name) => !['scope', 'roles', 'acrs', 'maxAge'].includes(name))
  if (unknown !== undefined) throw new TypeError('A requirement has scope, roles, acrs and maxAge, and nothing else')
  const scope = words('scope', requirement.scope)
  const roles = words('roles', requirement.roles)
  const acrs = words('acrs', requirement.acrs)
  const { maxAge } = requirement
  if (maxAge !== undefined && !(Number.isSafeInteger(maxAge) && maxAge > 0 && maxAge < 1e9))
    throw new TypeError('maxAge is a whole number of seconds')
  if (scope.length + roles.length + acrs.length === 0 && maxAge === undefined) throw new TypeError('A requirement asks for something')
  const known = new WeakMap<SeenToken, TokenNeeds>()
  return {
    ...{ asked: Object.freeze({ ...requirement }), scope, acrs, maxAge },
    of(seen) {
      const found = known.get(seen)
      if (found !== undefined) return found
      const fresh = judge(seen.claims, seen.times.iat)
      known.set(seen, fresh)
      return fresh
    },
  }

  function judge(claims: Readonly<JsonObject>, iat: number): TokenNeeds {
    const appOnly = isAppOnly(claims)
    const held = new Set(scopesOf(claims))
    const scoped = appOnly ? roles.length > 0 || scope.length === 0 : scope.every((one) => held.has(one))
    const own = Array.isArray(claims.roles) ? claims.roles : []
    const inRole = roles.length === 0 || roles.some((one) => own.includes(one))
    const contexts = [...wordsOf(claims.acrs), ...(typeof claims.acr === 'string' ? [claims.acr] : [])]
    return {
      ...{ appOnly, forbidden: !scoped || !inRole, missesContext: !acrs.every((one) => contexts.includes(one)) },
      freshUntil: maxAge === undefined ? Number.POSITIVE_INFINITY : signedInAt(claims, iat) + maxAge,
    }
  }
}

/** What a sign-in has to bring: all contexts, since those that the old token held may be lost with it, and the age if it is why. */
export function stepOf({ acrs, maxAge }: Needs, isOld: boolean): Pick<ChallengeClaims, 'acrs' | 'maxAge'> {
  return { ...(acrs.length > 0 ? { acrs } : {}), ...(isOld && maxAge !== undefined ? { maxAge } : {}) }
}

/** When the user signed in. One that lies after the token, or is written in milliseconds, would be fresh for ever. */
function signedInAt({ auth_time: at }: Readonly<JsonObject>, iat: number): number {
  return typeof at === 'number' && at >= 0 && at <= iat + AHEAD ? at : Number.NEGATIVE_INFINITY
}

/** What only tokens of users have. */
const OF_USERS = ['idtyp', 'scp', 'scope', 'sid', 'amr', 'auth_time', 'name', 'upn', 'preferred_username']

/** By the claim that says so; Entra leaves it out unless asked, and then names the application as `oid` and `sub` and says nothing of a sign-in. */
function isAppOnly(claims: Readonly<JsonObject>): boolean {
  const { idtyp, oid, sub } = claims
  return idtyp === 'app' || (oid !== undefined && oid === sub && !OF_USERS.some((name) => claims[name] !== undefined))
}

function words(name: string, given: string | readonly string[] | undefined): readonly string[] {
  if (given === undefined) return []
  const list = typeof given === 'string' ? given.split(' ').filter((one) => one !== '') : [...given]
  // An empty list comes from a setting that is missing, and would let everybody in.
  if (list.length === 0) throw new TypeError(`${name} names nothing`)
  if (!list.every((one) => typeof one === 'string' && WORD.test(one))) throw new TypeError(`${name} holds something that no token can say`)
  return Object.freeze(list)
}
