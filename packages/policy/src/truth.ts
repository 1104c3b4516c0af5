/** Three-valued logic (Kleene): AND is the lesser, OR the greater of two, NOT is `YES - x`. */
export const NO = 0
export const UNKNOWN = 1
export const YES = 2
export type Truth = 0 | 1 | 2

export function truth(known: boolean): Truth {
  return known ? YES : NO
}

export function not(value: Truth): Truth {
  return (YES - value) as Truth
}

/** What was included and not excluded. */
export function butNot(included: Truth, excluded: Truth): Truth {
  return Math.min(included, YES - excluded) as Truth
}
