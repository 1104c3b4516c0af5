/** A server process that lives. */
export interface NodeRow {
  id: string
  /** Milliseconds, by the store's clock: not renewed by then, it counts as dead. */
  until: number
}

/** Who does what one node at a time does. */
export interface LeaseRow {
  name: string
  /** The node. One that has no row any more holds nothing. */
  holder: string
  /** JSON: what the holder says of its work. */
  report: string | null
}

/** How often something was done since a window of time began. */
export interface LimitRow {
  tenant: string
  key: string
  /** Seconds. */
  since: number
  count: number
}
