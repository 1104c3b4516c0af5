import { CaegisError } from '@caegis/protocol'
import { POLICY_ERRORS } from './errors.ts'

/** One thing that is wrong with a document: where (RFC 6901 JSON pointer) and what. The message never repeats what was found there. */
export interface Mistake {
  path: string
  message: string
}

/** A value of a document that is being read, with its place; all mistakes of the document go to one list. */
export interface Place {
  readonly value: unknown
  readonly path: string
  readonly mistakes: Mistake[]
}

/** What a document of a million mistakes is answered with. */
const MOST = 100

export function placeOf(value: unknown): Place {
  return { value, path: '', mistakes: [] }
}

export function note({ path, mistakes }: Place, message: string): undefined {
  const told = mistakes.length >= MOST || mistakes.some((one) => one.path === path && one.message === message)
  if (!told) mistakes.push({ path, message })
}

export function child({ value, path, mistakes }: Place, name: string | number): Place {
  const inside = typeof value === 'object' && value !== null && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined
  return { value: inside, path: `${path}/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`, mistakes }
}

export function absent({ value }: Place): boolean {
  return value === undefined || value === null
}

/** Whether this is an object; notes every member that is neither known nor an annotation (`@odata.type`, `x@odata.context`). */
export function isRecord(place: Place, known: readonly string[]): boolean {
  const { value } = place
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    note(place, 'must be an object')
    return false
  }
  for (const name of Object.keys(value)) {
    if (place.mistakes.length >= MOST) break
    if (!known.includes(name) && !name.includes('@odata.')) note(child(place, name), 'is not known here')
  }
  return true
}

export function readText(place: Place, longest = 256): string {
  const { value } = place
  if (typeof value !== 'string' || value === '') note(place, 'must be a text')
  else if (value.length > longest) note(place, `must have at most ${longest} characters`)
  else return value
  return ''
}

export function readOptionalText(place: Place, longest = 256): string | null {
  if (absent(place)) return null
  if (place.value === '') return ''
  return readText(place, longest)
}

export function readBoolean(place: Place): boolean {
  if (typeof place.value !== 'boolean') note(place, 'must be true or false')
  return place.value === true
}

export function readOneOf<T extends string>(place: Place, allowed: readonly T[]): T {
  const { value } = place
  if (!allowed.includes(value as T)) note(place, `must be one of ${allowed.join(', ')}`)
  return value as T
}

export function readNumber(place: Place, least: number, most: number): number {
  const { value } = place
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > most)
    note(place, `must be a whole number from ${least} to ${most}`)
  return value as number
}

/** A list of texts; absent and null are an empty one. */
export function readTexts(place: Place, { most = 10_000, longest = 256 } = {}): string[] {
  return readList(place, most, (one) => readText(one, longest))
}

export function readList<T>(place: Place, most: number, read: (one: Place) => T): T[] {
  if (absent(place)) return []
  if (!Array.isArray(place.value)) {
    note(place, 'must be a list')
    return []
  }
  if (place.value.length > most) {
    note(place, `must have at most ${most} entries`)
    return []
  }
  return place.value.map((_, at) => read(child(place, at)))
}

/** A list of words out of a table. */
export function readWords<T extends string>(place: Place, allowed: readonly T[]): T[] {
  return readList(place, 64, (one) => readOneOf(one, allowed))
}

/** Flags as Graph writes them (`"a,b"`), or as a list. */
export function readFlags<T extends string>(place: Place, allowed: readonly T[]): T[] {
  if (typeof place.value !== 'string') return readWords(place, allowed)
  const words = place.value === '' ? [] : place.value.split(',').map((word) => word.trim())
  if (words.length <= 64 && words.every((word): word is T => allowed.includes(word as T))) return words
  note(place, `must be made of ${allowed.join(', ')}`)
  return []
}

/** A member that exists elsewhere and that nothing here could enforce: only its absence is taken. */
export function refuse(place: Place, what = 'is not supported'): void {
  const { value } = place
  if (!absent(place) && !(Array.isArray(value) && value.length === 0)) note(place, `${what}: a policy that cannot be enforced is not taken`)
}

/** @throws CaegisError with the list of mistakes as `detail`, when there are any */
export function settle({ mistakes }: Place, code: keyof typeof POLICY_ERRORS): void {
  if (mistakes.length > 0) throw new CaegisError(code, POLICY_ERRORS[code], { detail: mistakes })
}
