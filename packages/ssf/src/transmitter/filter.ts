import type { ComplexSubject, SimpleSubject, Subject } from '@caegis/protocol'
import { canonical } from './canonical.ts'
import type { EventRow, StreamRecord } from './store.ts'

type Row = Pick<EventRow, 'type' | 'subject' | 'from'>

/**
 * Whether an event of the log goes to a stream: by its type (SSF 1.0 section 8.1.1: `events_delivered`), by what its subject form can say, and by the subjects
 * that were added and removed (section 8.1.3).
 */
export function createFilter(stream: StreamRecord): (row: Row) => boolean {
  // A guard proves by contiguous positions that it missed nothing, so it gets everything.
  if (stream.guard) return () => true
  const types = new Set(stream.eventsDelivered)
  const onByDefault = stream.defaultSubjects !== 'NONE'
  const rules = (stream.subjectRules ?? [])
    .map(({ subject, included }) => ({ included, matches: included ? includes(subject) : covers(subject) }))
    .reverse()
  return (row) => {
    // Two that tell each other everything would tell it for ever.
    if (row.from === stream.receiver) return false
    if (!types.has(row.type) || (stream.subjects === 'simple' && row.subject.simple === undefined)) return false
    if (rules.length === 0) return onByDefault
    const names = namesOf(row)
    return rules.find(({ matches }) => matches(names))?.included ?? onByDefault
  }
}

/** What an event says of its subject: each simple form of it, and the members of the complex one. */
interface Names {
  simple: string[]
  members?: ReadonlyMap<string, string>
}

function namesOf({ subject: { simple, complex } }: Row): Names {
  const names: Names = { simple: simple ? [canonical(simple)] : [] }
  if (!isComplex(complex)) names.simple.push(canonical(complex))
  else {
    names.members = membersOf(complex)
    // A simple subject and a complex one are the same principal where the user is it.
    const user = names.members.get('user')
    if (user !== undefined) names.simple.push(user)
  }
  return names
}

/** An added subject (section 8.1.3.1): a member that either side leaves out is a wildcard, in both directions. */
function includes(subject: Subject): (names: Names) => boolean {
  if (!isComplex(subject)) return sameAs(subject)
  const members = [...membersOf(subject)]
  return (names) => names.members !== undefined && members.every(([name, text]) => (names.members?.get(name) ?? text) === text)
}

/**
 * A removed subject takes away only what it names, so that nobody loses the events about a whole tenant by removing one user: every member of it must be in the
 * event. Sending more than was asked for is allowed (section 8.1.3.3), and safe.
 */
function covers(subject: Subject): (names: Names) => boolean {
  if (!isComplex(subject)) return sameAs(subject)
  const members = [...membersOf(subject)]
  return (names) => members.every(([name, text]) => names.members?.get(name) === text)
}

function sameAs(subject: SimpleSubject): (names: Names) => boolean {
  const text = canonical(subject)
  return (names) => names.simple.includes(text)
}

function isComplex(subject: Subject): subject is ComplexSubject {
  return subject.format === 'complex'
}

function membersOf(subject: ComplexSubject): Map<string, string> {
  const members = new Map<string, string>()
  for (const [name, value] of Object.entries(subject)) if (typeof value === 'object') members.set(name, canonical(value))
  return members
}

/** What two events must share for their order to matter: the user where one is named, else the whole subject. */
export function orderOf({ subject: { simple, complex } }: Pick<EventRow, 'subject'>): string {
  return canonical((isComplex(complex) ? complex.user : undefined) ?? simple ?? complex)
}
