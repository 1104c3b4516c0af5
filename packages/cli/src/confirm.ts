import { createInterface } from 'node:readline/promises'
import { CaegisError } from '@caegis/protocol'
import { CLI_ERRORS } from './errors.ts'

export interface Confirmation {
  /** What has to be typed. */
  wanted: string
  /** By `--confirm`, where nobody is there to type it. */
  given: string | undefined
  /** What will happen. */
  warning: string
  /** What has to be typed, in words: "the tenant's name". */
  name: string
}

/** What cannot be taken back, and hits many, is named twice. @throws CaegisError `not_confirmed` */
export async function confirm({ wanted, given, warning, name }: Confirmation): Promise<void> {
  if (given === undefined && !process.stdin.isTTY) {
    throw new CaegisError('not_confirmed', `Nobody is there to ask. To go on, add: --confirm ${wanted}`)
  }
  if ((given ?? (await ask(`${warning} Type ${name} to go on: `))) !== wanted) {
    throw new CaegisError('not_confirmed', `That is not ${name}. ${CLI_ERRORS.not_confirmed}`)
  }
}

/** A plain question, for what can be undone. @throws CaegisError `not_confirmed` */
export async function agree(question: string, flag: string): Promise<void> {
  if (!process.stdin.isTTY) throw new CaegisError('not_confirmed', `Nobody is there to ask. To go on, add: ${flag}`)
  if (!/^y(es)?$/i.test(await ask(`${question} [y/N] `))) throw new CaegisError('not_confirmed', CLI_ERRORS.not_confirmed)
}

async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return (await terminal.question(question)).trim()
  } finally {
    terminal.close()
  }
}
