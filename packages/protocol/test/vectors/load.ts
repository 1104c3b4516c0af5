import { readFileSync } from 'node:fs'

/** One case of a specification: what goes in, and what must come out (or the code that is thrown). */
export interface Vector {
  description: string
  spec: string
  in?: any
  json?: any
  with?: any
  without?: string[]
  want?: any
  error?: string
}

/** Read as text and parsed here, so that a `__proto__` member stays a member. */
export function vectors(name: string): Vector[] {
  return JSON.parse(readFileSync(new URL(`./${name}.json`, import.meta.url), 'utf8'))
}
