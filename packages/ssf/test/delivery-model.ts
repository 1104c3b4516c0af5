import { EVENT } from '@caegis/protocol'
import type { EventRow } from '../src/transmitter/index.ts'
import type { Kind, Observer, Party } from './delivery-world.ts'
import { ISSUER, merge, mergeEvent, type Table } from './loop.ts'

type Status = 'enabled' | 'paused' | 'disabled'

/** What a plain receiver must, may and must not have acted on. */
export interface Expectation {
  party: Party
  status: Status
  /** The host has stopped it: the receiver cannot start it. */
  fixed: boolean
  /** The transmitter has paused it by itself, and may start it by itself. */
  givenUp: boolean
  /** Committed while the stream was not disabled: acted on in the end, or a dead letter. */
  due: Set<string>
  /** Due once, until the stream was disabled or the log restored: it may have gone out before. */
  free: Set<string>
  /** The receiver said 202: from here on it is the receiver's. */
  accepted: Set<string>
  /** Sent again as dead letters: a crash in between leaves the letter where it is. */
  again: Set<string>
  /** Acted on, first time only. */
  applied: string[]
  /** The last status that the transmitter set by itself, as far as the receiver has to hear of it. */
  news: Status | undefined
  heard: string | undefined
  /** Statuses that it was sent, by the event. */
  words: Map<string, string>
  /** The last one that it refused to hear of: before it is seen here that the transmitter set it, perhaps. */
  refused: string | undefined
}

interface Fact {
  /** Over every incarnation of the log. */
  order: number
  subject: string
  /** A plain stream carries it. */
  matches: boolean
}

/** A delivery as simple as it can be said: which event must reach whom. Knows nothing of cursors, retries or snapshots. */
export interface Model {
  expectations: Map<Party, Expectation>
  guards: Set<Party>
  facts: Map<string, Fact>
  /** The log that counts now. */
  log: EventRow[]
  epoch: string
  /** Those of earlier epochs: a guard may still be told of one. */
  logs: Map<string, EventRow[]>
  /** Rows that a restore took away. */
  lost: EventRow[]
  violations: string[]
}

export const WANTED: readonly string[] = [EVENT.sessionRevoked, EVENT.accountDisabled, EVENT.accountEnabled]

export function createModel(): Model {
  return { expectations: new Map(), guards: new Set(), facts: new Map(), log: [], epoch: '', logs: new Map(), lost: [], violations: [] }
}

export function expectParty(model: Model, party: Party): void {
  if (party.kind === 'guard') model.guards.add(party)
  else {
    model.expectations.set(party, {
      party,
      status: 'enabled',
      fixed: false,
      givenUp: false,
      due: new Set(),
      free: new Set(),
      accepted: new Set(),
      again: new Set(),
      applied: [],
      ...{ news: undefined, words: new Map(), refused: undefined },
      heard: undefined,
    })
  }
}

export const idOf = (jti: string) => jti.slice(0, jti.indexOf('.'))

/** Compares what happens with what may happen, at the moment at which it does. */
export function observe(model: Model): Observer {
  const accuse = (what: string) => void model.violations.push(what)
  return {
    handedOut(party, claims, status) {
      const expected = model.expectations.get(party)
      if (EVENT.streamUpdated in claims.events) {
        expected?.words.set(idOf(claims.jti), claims.events[EVENT.streamUpdated].status)
        return
      }
      // What left before the call returned that stopped the stream is in time.
      if (status !== 'enabled' && expected?.status !== 'enabled') accuse(`${party.name}: handed out while ${status}`)
      if (EVENT.verification in claims.events) return
      const id = idOf(claims.jti)
      if (expected && !expected.due.has(id) && !expected.free.has(id)) accuse(`${party.name}: handed out, but not for it: ${describe(model, id)}`)
    },
    accepted(party, jti) {
      model.expectations.get(party)?.accepted.add(idOf(jti))
    },
    told(party, status) {
      const expected = model.expectations.get(party)
      if (expected) expected.heard = status
    },
    buried(party, id) {
      const expected = model.expectations.get(party)
      // Of an event about the stream there is no letter.
      if (!expected || model.facts.has(id)) return
      expected.news = undefined
      expected.refused = expected.words.get(id)
    },
    applied(party, jti) {
      const expected = model.expectations.get(party) as Expectation
      const id = idOf(jti)
      if (!expected.due.has(id) && !expected.free.has(id)) accuse(`${party.name}: acted on, but not for it: ${describe(model, id)}`)
      if (expected.applied.includes(id)) return
      const fact = model.facts.get(id)
      // What a restore took away is followed by nothing any more.
      const later = expected.applied
        .filter((one) => !model.lost.some((row) => row.id === one))
        .map((one) => model.facts.get(one))
        .find((one) => one?.subject === fact?.subject && (one?.order ?? 0) > (fact?.order ?? 0))
      if (later) accuse(`${party.name}: B7: ${describe(model, id)} acted on after number ${later.order}`)
      expected.applied.push(id)
    },
    synced(party) {
      const { heads, table } = party.guard as NonNullable<Party['guard']>
      const head = heads.at(-1)
      const log = head && (head.epoch === model.epoch ? model.log : model.logs.get(head.epoch))
      if (!head || !log) return accuse(`${party.name}: synced with a log that never was`)
      if (head.status !== 'enabled') accuse(`${party.name}: synced while ${head.status}`)
      if (!covers(table, cutoffsOf(log.slice(0, head.seq)))) accuse(`${party.name}: synced at ${head.seq} without everything up to it`)
    },
  }
}

export function describe(model: Model, id: string): string {
  const fact = model.facts.get(id)
  return fact ? `number ${fact.order} about ${fact.subject}` : id
}

/** The host commits: from here on it is due on every stream that is not disabled. */
export function commit(model: Model, rows: EventRow[], hasStream: (party: Party) => boolean): void {
  for (const row of rows) {
    const { simple } = row.subject
    const matches = simple !== undefined && WANTED.includes(row.type)
    model.facts.set(row.id, { order: model.facts.size + 1, subject: simple?.format === 'iss_sub' ? simple.sub : 'a session', matches })
    model.log.push(row)
    for (const expected of model.expectations.values()) {
      if (matches && expected.status !== 'disabled' && hasStream(expected.party)) expected.due.add(row.id)
    }
  }
}

/** A stream's status changes. Disabled: nothing is held (SSF 1.0 section 8.1.2), and only what the receiver has taken stays its business. */
export function enter(expected: Expectation, status: Status, by: 'host' | 'transmitter' | 'receiver'): void {
  if (expected.status !== status) {
    // What was to be told of an earlier status is moot by now.
    expected.news = by === 'receiver' || (by === 'transmitter' && expected.refused === status) ? undefined : status
    expected.refused = undefined
  }
  expected.status = status
  expected.givenUp = status === 'paused' && by === 'transmitter'
  if (by === 'host') expected.fixed = status !== 'enabled'
  if (status === 'disabled') release(expected, () => true)
}

/** The log ends at a position again, as a new incarnation. */
export function restore(model: Model, epoch: string, seq: number): void {
  const gone = model.log.slice(seq)
  model.logs.set(model.epoch, model.log)
  model.log = model.log.slice(0, seq)
  model.epoch = epoch
  model.lost.push(...gone)
  const ids = new Set(gone.map(({ id }) => id))
  for (const expected of model.expectations.values()) release(expected, (id) => ids.has(id))
}

function release(expected: Expectation, which: (id: string) => boolean): void {
  for (const id of expected.due) {
    if (!which(id)) continue
    expected.free.add(id)
    if (!expected.accepted.has(id) && !expected.applied.includes(id)) expected.due.delete(id)
  }
}

export function cutoffsOf(rows: EventRow[]): Table {
  const table: Table = new Map()
  for (const { id, at, txn, type, subject, payload, seq } of rows) {
    mergeEvent(table, { iss: ISSUER, jti: id, iat: at, aud: [ISSUER], txn, subject: subject.complex, type, payload, seq })
  }
  return table
}

/** Whether merging changes nothing: everything is in there already. */
export function covers(table: Table, wanted: Table): boolean {
  const merged: Table = new Map(table)
  for (const cutoff of wanted.values()) merge(merged, cutoff)
  return (
    merged.size === table.size &&
    [...merged].every(([key, { t, depth, until }]) => {
      const own = table.get(key)
      return own?.t === t && own.depth === depth && own.until === until
    })
  )
}

export type { Kind, Party }
