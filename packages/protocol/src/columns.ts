import { type Cutoff, type CutoffDepth, type CutoffKind, cutoffPlace, isDepth, isIdOf, isKind, mergeCutoffs } from './cutoff.ts'
import { CaegisError, PROTOCOL_ERRORS } from './errors.ts'

/**
 * Cutoffs of one issuer, kind and depth by columns: ids, their `t` after `from`, and for how many seconds each lasts. A third shorter than rows, and read in a fraction of
 * the time, because a million of them are a million strings and no million lists.
 */
export type CutoffColumns = [kind: CutoffKind, depth: CutoffDepth, from: number, ids: string[], t: number[], lasts: number[]]

/** Rows that are read from one list of columns at most. */
const MAX_ROWS = 100_000
/** Cutoffs handed over at once. */
const BATCH = 1000

/** The same text for the same cutoffs, in whatever order and however often they are given: merged, and sorted. */
export function packColumns(cutoffs: Iterable<Cutoff>): CutoffColumns[] {
  const merged = new Map<string, Cutoff>()
  for (const cutoff of cutoffs) {
    const place = cutoffPlace(cutoff)
    const known = merged.get(place)
    merged.set(place, known ? mergeCutoffs(known, cutoff) : cutoff)
  }
  const groups = Map.groupBy(merged.values(), ({ kind, depth }) => `${kind} ${depth}`)
  return [...groups].sort(byFirst).map(([, rows]) => {
    const { kind, depth } = rows[0] as Cutoff
    rows.sort((a, b) => (a.id < b.id ? -1 : 1))
    const from = rows.reduce((least, { t }) => Math.min(least, t), Number.MAX_SAFE_INTEGER)
    return [kind, depth, from, rows.map(({ id }) => id), rows.map(({ t }) => t - from), rows.map(({ t, until }) => Math.ceil(until) - t)]
  })
}

/**
 * Reads columns, batch by batch, so that whoever takes them in can do something else in between.
 * @throws CaegisError `invalid_cutoffs` while being read: what was handed over before is genuine all the same, if its source is
 */
export function* parseColumns(value: unknown, issuer: string): Generator<Cutoff[]> {
  if (!Array.isArray(value)) throw invalid('no columns')
  let rows = 0
  for (const group of value as unknown[]) {
    if (!Array.isArray(group) || group.length !== 6) throw invalid('columns')
    const [kind, depth, from, ids, times, lasts] = group as unknown[]
    if (!isKind(kind) || !isDepth(depth)) throw invalid('whom columns name')
    if (!Array.isArray(ids) || !Array.isArray(times) || !Array.isArray(lasts)) throw invalid('columns')
    rows += ids.length
    if (times.length !== ids.length || lasts.length !== ids.length || rows > MAX_ROWS) throw invalid('columns of different length, or too long')
    for (let at = 0; at < ids.length; at += BATCH) {
      const batch: Cutoff[] = []
      for (let i = at; i < Math.min(at + BATCH, ids.length); i++) {
        const id: unknown = ids[i]
        const after: unknown = times[i]
        const lasting: unknown = lasts[i]
        // A list that nests deep has no sum at all: to make a text of it would overflow.
        if (typeof from !== 'number' || typeof after !== 'number' || typeof lasting !== 'number') throw invalid('a time')
        const t = from + after
        const until = t + lasting
        if (!isIdOf(kind, id)) throw invalid('whom columns name')
        if (!isSecond(t) || !isSecond(until)) throw invalid('a time')
        batch.push({ issuer, kind, id, t, depth, until })
      }
      yield batch
    }
  }
}

function isSecond(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function byFirst([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1
}

function invalid(why: string): CaegisError {
  return new CaegisError('invalid_cutoffs', PROTOCOL_ERRORS.invalid_cutoffs, { detail: why })
}
