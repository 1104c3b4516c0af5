import type { Random } from './random.ts'

/** Names that mean something to an object that is used as a table. */
const PROTOTYPE_NAMES = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf', '__defineGetter__', 'then', 'toJSON']

const TEXTS = [
  '',
  ' ',
  '\u0000',
  '\ud800',
  '\udfff\ud800',
  '\u202e\u2066',
  'é',
  'e\u0301',
  'İ',
  'ß',
  '\uffff',
  '\n',
  '\u2028',
  '%00',
  '../../etc/passwd',
  'https://evil.test/',
  'http://127.0.0.1:1/',
  'file:///etc/passwd',
  'javascript:1',
  'https://host.test\\@evil.test/',
  "' or 1=1 --",
  ...PROTOTYPE_NAMES,
]

/** JSON texts, not values: some of them no value could be turned back into. */
const LITERALS = [
  'null',
  'true',
  'false',
  '0',
  '-0',
  '1',
  '-1',
  '1e400',
  '-1e400',
  '1e-400',
  '9007199254740993',
  '1e21',
  '0.1',
  '4294967296',
  '[]',
  '{}',
  '""',
  '[[]]',
  '[null]',
  '{"__proto__":{"polluted":1}}',
  '{"constructor":{"prototype":{"polluted":1}}}',
  '{"length":1e9}',
  '{"toJSON":1}',
]

/** Characters, about. */
const MOST = 100_000

type Json = unknown

/** Bytes of a text changed, cut, moved or doubled; what it means is of no concern. */
export function mutateText(text: string, others: readonly string[], random: Random): string {
  const at = random.below(text.length + 1)
  const end = at + random.below(Math.min(64, text.length - at + 1))
  switch (random.below(9)) {
    case 0: {
      const unit = text.charCodeAt(at) || 0x20
      return text.slice(0, at) + String.fromCharCode(unit ^ (1 << random.below(8))) + text.slice(at + 1)
    }
    case 1:
      return text.slice(0, at)
    case 2:
      return text.slice(at)
    case 3:
      return text.slice(0, at) + text.slice(end)
    case 4:
      return text.slice(0, end) + text.slice(at)
    case 5: {
      const other = random.pick(others)
      return text.slice(0, at) + other.slice(random.below(other.length + 1))
    }
    case 6:
      return text.slice(0, at) + random.pick(TEXTS) + text.slice(at)
    case 7:
      return (
        text.slice(0, at) + random.pick([' ', '\n', '\t', '"', '\\', '{', '}', '[', ']', ',', ':', '.', '=', '-', '_', '+', '/']) + text.slice(at)
      )
    default:
      return text.slice(0, at) + text.slice(at, end).repeat(1 + random.below(200)) + text.slice(end)
  }
}

/** A JSON text with one to three of its values, names or places changed. */
export function mutateJson(text: string, others: readonly string[], random: Random): string {
  let value: Json
  try {
    value = JSON.parse(text)
  } catch {
    return mutateText(text, others, random)
  }
  const holes: string[] = []
  const hole = (json: string) => `\u0001${holes.push(json) - 1}\u0001`
  for (let i = random.below(3); i >= 0; i--) value = mutateValue(value, others, random, hole)
  // Texts that no value stands for are put in at the end, as many as a request could carry.
  let room = 5 * MOST
  return JSON.stringify(value).replace(/"\\u0001(\d+)\\u0001"/g, (_, index: string) => {
    const text = holes[Number(index)] ?? 'null'
    room -= text.length
    return room < 0 ? 'null' : text
  })
}

function mutateValue(value: Json, others: readonly string[], random: Random, hole: (json: string) => string): Json {
  const isParent = typeof value === 'object' && value !== null && Object.keys(value).length > 0
  // Down into it, more often than not.
  if (isParent && random.below(4) > 0) {
    const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string, Json>
    const name = random.pick(Object.keys(copy))
    switch (random.below(8)) {
      case 0:
        delete copy[name]
        return Array.isArray(value) ? (copy as unknown as Json[]).filter(() => true) : copy
      case 1:
        if (!Array.isArray(value)) return renamed(copy, name, random.pick([...PROTOTYPE_NAMES, ...TEXTS]))
        return value.concat(value)
      case 2:
        if (!Array.isArray(value)) return { ...copy, [random.pick(TEXTS)]: copy[name] }
        // Long, but not longer than anybody could send.
        return Array(Math.min(random.pick([33, 257, 1001, 10_001]), Math.ceil(MOST / JSON.stringify(copy[name]).length))).fill(copy[name])
      default:
        copy[name] = mutateValue(copy[name], others, random, hole)
        return copy
    }
  }
  switch (random.below(9)) {
    case 0:
      return hole(random.pick(LITERALS))
    case 1:
      return random.pick(TEXTS)
    case 2:
      return hole(deep(random))
    case 3:
      return typeof value === 'string' ? value.repeat(random.pick([2, 50, 2000])).slice(0, 80_000) : [value]
    case 4:
      return typeof value === 'string' ? mutateText(value, others, random) : JSON.stringify(value)
    case 5:
      return typeof value === 'number' ? value + random.pick([0.5, 1, -1, 1e12, -1e12]) : { value }
    case 6:
      // The same member twice: parsers disagree on which one counts.
      return hole(`{"a":1,"a":${JSON.stringify(value)},"format":"opaque","format":"email"}`)
    case 7: {
      try {
        return JSON.parse(random.pick(others)) as Json
      } catch {
        return null
      }
    }
    default:
      return hole(random.pick(['[', '}', 'undefined', 'NaN', "'x'", '01', '1.', '"\\x"', '"\ud800"', '/**/1']))
  }
}

function renamed(object: Record<string, Json>, from: string, to: string): Json {
  const entries = Object.entries(object).map(([name, one]) => [name === from ? to : name, one] as const)
  // `fromEntries` defines members, so that `__proto__` is one.
  return Object.fromEntries(entries)
}

function deep(random: Random): string {
  const depth = random.pick([10, 33, 1000, 20_000])
  const [open, close] = random.pick([
    ['[', ']'],
    ['{"a":', '}'],
    ['{"identifiers":[', ']}'],
  ] as const)
  return `${open.repeat(depth)}1${close.repeat(depth)}`
}

const encode = (text: string) => Buffer.from(text).toString('base64url')
const decode = (part: string) => Buffer.from(part, 'base64url').toString()

/** A compact JWS with something wrong about it: in its parts, in their encoding, or in what they say. */
export function mutateJws(jws: string, others: readonly string[], random: Random): string {
  const parts = jws.split('.')
  const [header = '', payload = '', signature = ''] = parts
  const other = random.pick(others).split('.')
  switch (random.below(12)) {
    case 0:
      return mutateText(jws, others, random)
    case 1:
      return [
        encode(
          mutateJson(
            decode(header),
            others.map((one) => decode(one.split('.')[0] ?? '')),
            random,
          ),
        ),
        payload,
        signature,
      ].join('.')
    case 2:
      return [
        header,
        encode(
          mutateJson(
            decode(payload),
            others.map((one) => decode(one.split('.')[1] ?? '')),
            random,
          ),
        ),
        signature,
      ].join('.')
    case 3: {
      const which = random.below(3)
      return parts.map((part, i) => (i === which ? (other[i] ?? '') : part)).join('.')
    }
    case 4: {
      // Header members that change how a JWS is read.
      const claims = JSON.parse(decode(header) || '{}') as object
      const extra = random.pick([
        { alg: 'none' },
        { alg: 'HS256' },
        { alg: 'RS256' },
        { alg: 'ES384' },
        { alg: 'PS256' },
        { crit: ['b64'], b64: false },
        { b64: false },
        { crit: ['x'], x: 1 },
        { kid: 'rs-1' },
        { kid: 'es-1' },
        { kid: '' },
        { jwk: {} },
        { typ: 'JWT' },
        { zip: 'DEF' },
      ])
      return [encode(JSON.stringify({ ...claims, ...extra })), payload, random.pick([signature, ''])].join('.')
    }
    case 5: {
      // The same member twice in the header.
      const text = decode(header)
      return [encode(`{"alg":"none",${text.slice(1)}`), payload, signature].join('.')
    }
    case 6: {
      // Base64url in another spelling.
      const which = random.below(3)
      const spell = random.pick<(part: string) => string>([
        (part) => `${part}=`,
        (part) => `${part}==`,
        (part) => part.replaceAll('-', '+').replaceAll('_', '/'),
        (part) => `${part.slice(0, 5)}\n${part.slice(5)}`,
        (part) => ` ${part}`,
        (part) => `${part}\t`,
        (part) => `${part}\u00a0`,
        (part) => part + part.slice(-1),
      ])
      return parts.map((part, i) => (i === which ? spell(part) : part)).join('.')
    }
    case 7: {
      // The bits behind the last byte.
      const which = random.below(3)
      const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
      return parts
        .map((part, i) => (i === which ? part.slice(0, -1) + alphabet[(alphabet.indexOf(part.slice(-1)) ^ (1 << random.below(4))) & 63] : part))
        .join('.')
    }
    case 8: {
      // Signatures that careless arithmetic takes.
      const length = Buffer.from(signature, 'base64url').length
      const bytes = random.pick([
        Buffer.alloc(length),
        Buffer.alloc(length, 0xff),
        Buffer.alloc(length * 2),
        Buffer.alloc(0),
        Buffer.from(signature, 'base64url').reverse(),
      ])
      return [header, payload, bytes.toString('base64url')].join('.')
    }
    case 9: {
      const bytes = Buffer.from(signature, 'base64url')
      const at = random.below(Math.max(1, bytes.length))
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8))
      return [header, payload, bytes.toString('base64url')].join('.')
    }
    case 10:
      return random.pick([
        `${jws}.`,
        `.${jws}`,
        `${jws}.${signature}`,
        `${header}..${signature}`,
        `${header}.${payload}`,
        `${jws}\n`,
        jws.repeat(2),
        JSON.stringify({ payload, protected: header, signature }),
      ])
    default:
      return jws
  }
}
