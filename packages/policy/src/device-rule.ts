import { CaegisError } from '@caegis/protocol'
import { POLICY_ERRORS } from './errors.ts'
import { note, type Place } from './mistakes.ts'
import type { DeviceSignal } from './signals.ts'
import { NO, not, type Truth, truth, UNKNOWN, YES } from './truth.ts'

/** A compiled device filter: YES, NO or UNKNOWN for a device, for none (`null`) and for one of which nothing is known (`undefined`). */
export type DeviceRule = (device: DeviceSignal | null | undefined) => Truth

type Value = string | boolean | null
type Fact = string | boolean | readonly string[] | null | undefined
interface Property {
  kind: 'text' | 'flag' | 'list'
  of(device: DeviceSignal): Fact
}

const TEXTS = [
  'displayName',
  'trustType',
  'operatingSystem',
  'operatingSystemVersion',
  'manufacturer',
  'model',
  'deviceOwnership',
  'profileType',
  'mdmAppId',
  'enrollmentProfileName',
] as const
const PROPERTIES = new Map<string, Property>([
  ['deviceid', { kind: 'text', of: ({ id }) => id }],
  ['iscompliant', { kind: 'flag', of: ({ isCompliant }) => isCompliant }],
  ['physicalids', { kind: 'list', of: ({ physicalIds }) => physicalIds }],
  ['systemlabels', { kind: 'list', of: ({ systemLabels }) => systemLabels }],
  ...TEXTS.map((name): [string, Property] => [name.toLowerCase(), { kind: 'text', of: (device) => device[name] }]),
  ...Array.from({ length: 15 }, (_, at): [string, Property] => {
    const name = `extensionAttribute${at + 1}`
    // Whoever knows the attributes knows them all: one that is not among them is empty.
    return [name.toLowerCase(), { kind: 'text', of: ({ extensionAttributes: all }) => (all ? (all[name] ?? null) : all) }]
  }),
])

type Compare = (fact: string, value: string) => boolean
/** By operator; the negative ones are their opposites, so that a device of which a property is empty passes them. */
const COMPARISONS: Record<string, { compare: Compare; negative: boolean; plain?: true; lists?: true }> = {
  eq: { compare: (fact, value) => fact === value, negative: false, plain: true },
  ne: { compare: (fact, value) => fact === value, negative: true, plain: true },
  startswith: { compare: (fact, value) => fact.startsWith(value), negative: false },
  notstartswith: { compare: (fact, value) => fact.startsWith(value), negative: true },
  endswith: { compare: (fact, value) => fact.endsWith(value), negative: false },
  notendswith: { compare: (fact, value) => fact.endsWith(value), negative: true },
  contains: { compare: (fact, value) => fact.includes(value), negative: false, lists: true },
  notcontains: { compare: (fact, value) => fact.includes(value), negative: true, lists: true },
}

const LONGEST = 3072
const DEEPEST = 32
const TOKEN =
  /\s*(?:(?<quoted>"(?:[^"\\`]|[\\`].)*"|'(?:[^'\\`]|[\\`].)*')|(?<mark>[()[\],])|(?<operator>-[a-z]+)|(?<word>[a-z][a-z0-9.]*)|(?<end>$))/iy

interface Token {
  kind: 'quoted' | 'mark' | 'operator' | 'word' | 'end'
  text: string
  at: number
}

class Unreadable extends Error {
  readonly at: number
  constructor(message: string, at: number) {
    super(message)
    this.at = at
  }
}

/**
 * Reads a rule of Graph's device filters: `device.isCompliant -eq True -and (device.model -startsWith "Surface" -or -not (device.trustType -in ["Workplace"]))`.
 * Texts are compared without regard to case. `-not` binds closer than `-and`, `-and` closer than `-or`.
 * @throws CaegisError `invalid_device_rule`; `detail` says what is wrong where
 */
export function parseDeviceRule(text: string): DeviceRule {
  try {
    return compile(text)
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error
    throw new CaegisError('invalid_device_rule', POLICY_ERRORS.invalid_device_rule, { detail: describe(error) })
  }
}

/** As `parseDeviceRule`, for a rule inside a document. */
export function readDeviceRule(place: Place, text: string): void {
  try {
    compile(text)
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error
    note(place, describe(error))
  }
}

function describe({ message, at }: Unreadable): string {
  return `${message}, at character ${at + 1}`
}

function compile(text: string): DeviceRule {
  if (text.length > LONGEST) throw new Unreadable(`must have at most ${LONGEST} characters`, LONGEST)
  const reader = createReader(tokens(text))
  const rule = readOr(reader, 0)
  reader.take('end', undefined, 'expected -and, -or or the end')
  return rule
}

function tokens(text: string): Token[] {
  const out: Token[] = []
  const pattern = new RegExp(TOKEN)
  while (out.at(-1)?.kind !== 'end') {
    const from = pattern.lastIndex
    const found = pattern.exec(text)?.groups
    if (!found) throw new Unreadable('cannot be read', from)
    const [kind, value] = Object.entries(found).find(([, part]) => part !== undefined) as [Token['kind'], string]
    out.push({ kind, text: value, at: pattern.lastIndex - value.length })
  }
  return out
}

interface Reader {
  /** The next token if it is this one. */
  eat(kind: Token['kind'], text?: string): boolean
  take(kind: Token['kind'], text: string | undefined, expected: string): Token
  peek(): Token
}

function createReader(list: Token[]): Reader {
  let at = 0
  const peek = () => list[at] as Token
  const fits = (kind: string, text?: string) => peek().kind === kind && (text === undefined || peek().text.toLowerCase() === text)
  return {
    peek,
    eat(kind, text) {
      const found = fits(kind, text)
      if (found) at++
      return found
    },
    take(kind, text, expected) {
      const token = peek()
      if (!fits(kind, text)) throw new Unreadable(expected, token.at)
      if (kind !== 'end') at++
      return token
    },
  }
}

function readOr(reader: Reader, depth: number): DeviceRule {
  const rules = [readAnd(reader, depth)]
  while (reader.eat('operator', '-or')) rules.push(readAnd(reader, depth))
  return rules.length === 1 ? (rules[0] as DeviceRule) : (device) => Math.max(...rules.map((rule) => rule(device))) as Truth
}

function readAnd(reader: Reader, depth: number): DeviceRule {
  const rules = [readNot(reader, depth)]
  while (reader.eat('operator', '-and')) rules.push(readNot(reader, depth))
  return rules.length === 1 ? (rules[0] as DeviceRule) : (device) => Math.min(...rules.map((rule) => rule(device))) as Truth
}

function readNot(reader: Reader, depth: number): DeviceRule {
  if (depth > DEEPEST) throw new Unreadable('is nested too deeply', reader.peek().at)
  if (reader.eat('operator', '-not')) {
    const rule = readNot(reader, depth + 1)
    return (device) => not(rule(device))
  }
  if (reader.eat('mark', '(')) {
    const rule = readOr(reader, depth + 1)
    reader.take('mark', ')', 'expected )')
    return rule
  }
  return readComparison(reader)
}

function readComparison(reader: Reader): DeviceRule {
  const subject = reader.take('word', undefined, 'expected a property such as device.displayName')
  const property = PROPERTIES.get(subject.text.toLowerCase().replace(/^device\./, ''))
  if (!property || !/^device\./i.test(subject.text)) throw new Unreadable('is not a property of a device', subject.at)
  const operator = reader.take('operator', undefined, 'expected an operator')
  const name = operator.text.slice(1).toLowerCase()
  if (name === 'in' || name === 'notin') {
    if (property.kind !== 'text') throw new Unreadable('this property cannot be compared so', operator.at)
    const values = new Set(readList(reader))
    return (device) => judge(property, device, name === 'notin', (fact) => values.has(fact))
  }
  const comparison = Object.hasOwn(COMPARISONS, name) ? COMPARISONS[name] : undefined
  if (!comparison) throw new Unreadable('is not an operator', operator.at)
  const { compare, negative, plain, lists } = comparison
  if (property.kind === 'flag' ? !plain : property.kind === 'list' && !lists) throw new Unreadable('this property cannot be compared so', operator.at)
  const token = reader.peek()
  const value = readValue(reader)
  if (value === null) {
    if (!plain) throw new Unreadable('expected a text', token.at)
    return (device) => emptiness(property, device, negative)
  }
  if ((typeof value === 'boolean') !== (property.kind === 'flag')) {
    throw new Unreadable(property.kind === 'flag' ? 'expected True or False' : 'expected a text', token.at)
  }
  return (device) => judge(property, device, negative, (fact) => compare(fact, String(value)))
}

function readList(reader: Reader): string[] {
  reader.take('mark', '[', 'expected [')
  const values: string[] = []
  do {
    values.push(unquote(reader.take('quoted', undefined, 'expected a text')))
  } while (reader.eat('mark', ','))
  reader.take('mark', ']', 'expected ]')
  return values
}

function readValue(reader: Reader): Value {
  if (reader.peek().kind === 'quoted') return unquote(reader.take('quoted', undefined, ''))
  const { text, at } = reader.take('word', undefined, 'expected a value')
  const word = text.toLowerCase()
  if (word === 'null') return null
  if (word !== 'true' && word !== 'false') throw new Unreadable('texts stand in quotation marks', at)
  return word === 'true'
}

function unquote({ text }: Token): string {
  return text
    .slice(1, -1)
    .replace(/[\\`](.)/g, '$1')
    .toLowerCase()
}

function judge(property: Property, device: DeviceSignal | null | undefined, negative: boolean, test: (fact: string) => boolean): Truth {
  const fact = device ? property.of(device) : device
  if (fact === undefined) return UNKNOWN
  const positive = fact !== null && (typeof fact === 'object' ? fact.some((one) => test(one.toLowerCase())) : test(String(fact).toLowerCase()))
  return truth(positive !== negative)
}

function emptiness(property: Property, device: DeviceSignal | null | undefined, negative: boolean): Truth {
  const fact = device ? property.of(device) : device
  if (fact === undefined) return UNKNOWN
  return (fact === null) !== negative ? YES : NO
}
