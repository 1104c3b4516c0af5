import { parseAddress } from './address.ts'
import type { Caller, CompiledLocation } from './location.ts'
import { butNot, NO, type Truth, UNKNOWN, YES } from './truth.ts'

/** Locations under numbers, so that one look-up each is enough for any number of policies. */
export interface Places {
  readonly list: readonly CompiledLocation[]
  readonly numbers: ReadonlyMap<string, number>
}

/** Where one caller is; filled as it is asked. */
export interface Whereabouts {
  readonly caller: Caller
  readonly places: Places
  readonly known: Int8Array
  trusted: Truth | -1
}

/** The location condition of a policy, compiled: what the issuer and a guard both ask. */
export interface LocationCondition {
  /** Everywhere: nothing could be decided later. */
  readonly everywhere: boolean
  readonly needs: 'ip' | 'country'
  holds(where: Whereabouts): Truth
  /** Whether one of the locations that are included *by id* holds the caller: a list of places, rather than all but some. */
  named(where: Whereabouts): Truth
}

export function placesOf(locations: readonly CompiledLocation[]): Places {
  return { list: locations, numbers: new Map(locations.map(({ id }, at) => [id, at])) }
}

export function whereaboutsOf(places: Places, address: string | undefined, country: string | null | undefined): Whereabouts {
  const caller = { address: address === undefined ? undefined : parseAddress(address), country }
  return { caller, places, known: new Int8Array(places.list.length).fill(-1), trusted: -1 }
}

/** @param include ids, `All` or `AllTrusted`; an id that is not among the places is unknown, and so is whether it holds anybody */
export function compileLocationCondition(include: readonly string[], exclude: readonly string[], places: Places): LocationCondition {
  const included = side(include, places)
  const excluded = side(exclude, places)
  const ids = side(
    include.filter((one) => one !== 'All' && one !== 'AllTrusted'),
    places,
  )
  const country = [...included.numbers, ...excluded.numbers].some((number) => places.list[number]?.kind === 'country')
  return {
    everywhere: included.all && exclude.length === 0,
    needs: country ? 'country' : 'ip',
    holds: (where) => butNot(holds(included, where), holds(excluded, where)),
    named: (where) => holds(ids, where),
  }
}

interface Side {
  readonly all: boolean
  readonly trusted: boolean
  readonly unknown: boolean
  readonly numbers: readonly number[]
}

function side(words: readonly string[], places: Places): Side {
  const ids = words.filter((one) => one !== 'All' && one !== 'AllTrusted')
  const numbers = ids.map((id) => places.numbers.get(id))
  return {
    all: words.includes('All'),
    trusted: words.includes('AllTrusted'),
    unknown: numbers.includes(undefined),
    numbers: numbers.filter((number) => number !== undefined),
  }
}

function holds({ all, trusted, unknown, numbers }: Side, where: Whereabouts): Truth {
  if (all) return YES
  let found: Truth = unknown ? UNKNOWN : NO
  for (const number of numbers) {
    const one = inPlace(number, where)
    if (one === YES) return YES
    if (one > found) found = one
  }
  if (trusted) {
    const one = inTrusted(where)
    if (one > found) found = one
  }
  return found
}

function inPlace(number: number, where: Whereabouts): Truth {
  let known = where.known[number] as Truth | -1
  if (known === -1) {
    known = (where.places.list[number] as CompiledLocation).holds(where.caller)
    where.known[number] = known
  }
  return known
}

function inTrusted(where: Whereabouts): Truth {
  if (where.trusted === -1) {
    const found = where.places.list.some((place, number) => place.trusted && inPlace(number, where) === YES)
    where.trusted = found ? YES : NO
  }
  return where.trusted
}
