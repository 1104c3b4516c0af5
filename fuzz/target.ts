import { readFileSync } from 'node:fs'
import { CaegisError } from '../packages/protocol/src/index.ts'
import type { ArbitraryKind } from './arbitrary.ts'
import { mutateJson, mutateText } from './mutate.ts'
import type { Random } from './random.ts'

/** Something that reads what strangers write. */
export interface Target {
  name: string
  /** How many of a hundred inputs are for it, about. */
  weight: number
  /** What fast-check draws for it, now and then. */
  arbitrary: ArbitraryKind
  make(random: Random): string
  /**
   * Reads one input. Throws when something is wrong with the reader: an exception that is no refusal, an answer that may not be.
   * @returns whether the input was taken
   */
  run(input: string): boolean | Promise<boolean>
}

/** A file beside these. */
export const read = <T>(path: string): T => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as T

/** A refusal is an answer; anything else that is thrown is a fault. */
export async function taken(work: () => unknown, isRefusal: (error: unknown) => boolean = (error) => error instanceof CaegisError): Promise<boolean> {
  try {
    await work()
    return true
  } catch (error) {
    if (isRefusal(error)) return false
    throw error
  }
}

export function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(what)
}

/** What the reader gets after the host has parsed the body. */
export function reading(read: (value: unknown) => unknown, isRefusal?: (error: unknown) => boolean): Target['run'] {
  return (input) => {
    let value: unknown
    try {
      value = JSON.parse(input)
    } catch {
      return false
    }
    return taken(() => read(value), isRefusal)
  }
}

export const json = (texts: readonly string[]) => (random: Random) =>
  (random.below(5) === 0 ? mutateText : mutateJson)(random.pick(texts), texts, random)
export const texts = (values: unknown[]) => values.map((one) => JSON.stringify(one)).filter((one) => one !== undefined)

/** Texts that are no JSON: changed like any text. */
export const text = (all: readonly string[]) => (random: Random) => mutateText(random.pick(all), all, random)
