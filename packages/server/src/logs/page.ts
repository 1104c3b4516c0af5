/** A page of a log, newest first. */
export interface Paging {
  limit: number
  /** The id of the last entry of the page before. */
  before?: string
  /** Milliseconds, included. */
  from?: number
  /** Milliseconds, excluded. */
  to?: number
}

export interface Page<T> {
  value: T[]
  /** `before` of the next page; absent after the last one. */
  next?: string
}

/** Rows that one page looks at where no index serves its filter: what is looked for may be far away, and everybody else waits meanwhile. */
export const LOOK = 10_000
