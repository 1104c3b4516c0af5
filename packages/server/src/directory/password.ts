import { argon2, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { CaegisError } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'

const hash = promisify(argon2)

/** OWASP's second recommendation for Argon2id: 19 MiB, two passes, one lane. */
const COST = { memory: 19_456, passes: 2, parallelism: 1, tagLength: 32 } as const
/** The thread pool is shared with everything else that hashes, resolves names or reads files: leave it room. */
const MAX_AT_ONCE = 2
/** About three seconds of work: who comes later is told to come back, instead of everybody waiting for ever. */
const MAX_WAITING = 128
const waiting: (() => void)[] = []
let running = 0

let begun = 0

/** How many passwords wait for their turn in this process, how many are worked on, and how many ever were. */
export const passwordWork = () => ({ waiting: waiting.length, running, begun })

/** Argon2id in the PHC string format, so that the cost can be raised later and old hashes still verify. */
export async function hashPassword(password: string): Promise<string> {
  if (password.length < 8 || password.length > 256) throw new CaegisError('invalid_password', SERVER_ERRORS.invalid_password)
  const salt = randomBytes(16)
  const tag = await derive(password, salt, COST)
  return `$argon2id$v=19$m=${COST.memory},t=${COST.passes},p=${COST.parallelism}$${salt.toString('base64url')}$${tag.toString('base64url')}`
}

/** A hash of nothing: verifying against it costs what a real one costs, so that unknown users cannot be told from known ones by the clock. */
const DECOY = `$argon2id$v=19$m=${COST.memory},t=${COST.passes},p=${COST.parallelism}$${'A'.repeat(22)}$${'A'.repeat(43)}`

/** @param stored `null` for a user who is unknown or has no password: takes as long, and is never true. */
export async function verifyPassword(password: string, stored: string | null): Promise<boolean> {
  const parts = (stored ?? DECOY).match(/^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([\w-]+)\$([\w-]+)$/)
  if (!parts) throw new TypeError('a stored password hash is not in the PHC format')
  const [, memory, passes, parallelism, salt, tag] = parts as unknown as [string, string, string, string, string, string]
  const expected = Buffer.from(tag, 'base64url')
  const actual = await derive(password.slice(0, 256), Buffer.from(salt, 'base64url'), {
    memory: Number(memory),
    passes: Number(passes),
    parallelism: Number(parallelism),
    tagLength: expected.length,
  })
  return timingSafeEqual(actual, expected) && stored !== null && password.length <= 256
}

async function derive(
  password: string,
  nonce: Buffer,
  cost: { memory: number; passes: number; parallelism: number; tagLength: number },
): Promise<Buffer> {
  if (waiting.length >= MAX_WAITING) throw new CaegisError('overloaded', SERVER_ERRORS.overloaded)
  if (running >= MAX_AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve))
  running++
  begun++
  try {
    return (await hash('argon2id', { message: password.normalize('NFC'), nonce, ...cost })) as Buffer
  } finally {
    running--
    waiting.shift()?.()
  }
}
