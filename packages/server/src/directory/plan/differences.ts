import { isDeepStrictEqual } from 'node:util'

/** One property that becomes another. Neither value is there where nobody is to see it. */
export interface Difference {
  property: string
  old?: unknown
  new?: unknown
}

type Plain = Readonly<Record<string, unknown>>

/** The members of `after` that are not as in `before`, by their paths; what `after` does not name stays. */
export function differencesOf(before: Plain, after: Plain, path = ''): Difference[] {
  return Object.entries(after).flatMap(([name, value]): Difference[] => {
    const property = path === '' ? name : `${path}.${name}`
    const old = before[name]
    if (value === undefined || isDeepStrictEqual(value, old)) return []
    if (isPlain(value) && isPlain(old)) {
      // A member that is gone is a difference too, where the whole object is replaced.
      const gone = Object.keys(old).filter((one) => !Object.hasOwn(value, one))
      return differencesOf(old, { ...value, ...Object.fromEntries(gone.map((one) => [one, null])) }, property)
    }
    return [{ property, old: brief(old ?? null), new: brief(value) }]
  })
}

function isPlain(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Of a long list its beginning. */
const MOST = 20

function brief(value: unknown): unknown {
  return Array.isArray(value) && value.length > MOST ? [...value.slice(0, MOST), `… and ${value.length - MOST} more`] : value
}

/** What a new object is made of: every property that says something, by its path, from nothing. */
export function given(values: Plain, path = ''): Difference[] {
  return Object.entries(values).flatMap(([name, value]): Difference[] => {
    const property = path === '' ? name : `${path}.${name}`
    if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) return []
    return isPlain(value) ? given(value, property) : [{ property, new: brief(value) }]
  })
}

/** What holds a secret has changed, and that is all that is said. */
export const secret = (property: string): Difference => ({ property })
