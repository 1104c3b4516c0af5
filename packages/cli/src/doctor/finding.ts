/** What was looked at, how it is, and what to do next where it is not well. */
export interface Finding {
  check: string
  state: 'ok' | 'warn' | 'fail' | 'skipped'
  says: string
  next?: string
}

export const ok = (check: string, says: string): Finding => ({ check, state: 'ok', says })
export const warn = (check: string, says: string, next: string): Finding => ({ check, state: 'warn', says, next })
/** @param next where what it says does not tell already */
export const fail = (check: string, says: string, next?: string): Finding => ({ check, state: 'fail', says, ...(next === undefined ? {} : { next }) })
/** It could not be looked at, and why. */
export const skipped = (check: string, says: string): Finding => ({ check, state: 'skipped', says })
