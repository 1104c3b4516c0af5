import { afterEach } from 'vitest'
import type { Receiver } from '../src/receiver/index.ts'
import { receive, THEM } from './foreign.ts'

export const open: Receiver[] = []
/** Ends those of each test after it. */
export function endReceivers(): void {
  afterEach(async () => {
    await Promise.all(open.splice(0).map((one) => one.close()))
  })
}
export function started(...args: Parameters<typeof receive>) {
  const made = receive(...args)
  open.push(made.receiver)
  return made
}
export const forSubject = (sub: string) => ({ sub_id: { format: 'iss_sub', iss: THEM, sub } })
