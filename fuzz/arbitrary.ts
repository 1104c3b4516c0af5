import fc from 'fast-check'
import type { Random } from './random.ts'

/** Member names of everything that is parsed here. */
const NAMES = [
  ...[
    'iss',
    'sub',
    'aud',
    'iat',
    'exp',
    'jti',
    'txn',
    'events',
    'sub_id',
    'caegis_seq',
    'format',
    'uri',
    'email',
    'id',
    'url',
    'phone',
    'phone_number',
  ],
  ...[
    'identifiers',
    'ip-addresses',
    'issuer',
    'assertion_id',
    'user',
    'session',
    'device',
    'tenant',
    'application',
    'maxEvents',
    'returnImmediately',
  ],
  ...['ack', 'setErrs', 'caegis_applied', 'caegis_refused', 'caegis_wait', 'sets', 'moreAvailable', 'caegis_head', 'epoch', 'seq', 'asOf', 'status'],
  ...[
    'stream_id',
    'delivery',
    'method',
    'endpoint_url',
    'authorization_header',
    'events_requested',
    'description',
    'caegis',
    'guard',
    'subjects',
    'alg',
  ],
  ...[
    'subject',
    'verified',
    'state',
    'reason',
    'jwks_uri',
    'configuration_endpoint',
    'head',
    'cutoffs',
    'seal',
    'access_token',
    'nbf',
    '__proto__',
    'constructor',
  ],
]
const WORDS = [
  'complex',
  'iss_sub',
  'email',
  'opaque',
  'aliases',
  'jwt_id',
  'enabled',
  'paused',
  'urn:ietf:rfc:8935',
  'urn:ietf:rfc:8936',
  'https://receiver.test/in',
  'RS256',
  'ES256',
]

const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom<unknown>(...WORDS, null, true, false, 0, 1, 10_001),
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(fc.oneof(fc.constantFrom(...NAMES), fc.string({ maxLength: 8 })), tie('value'), { maxKeys: 6 }),
  ),
}))
const ARBITRARIES = { json: value.map((one) => JSON.stringify(one)), text: fc.string({ unit: 'binary', maxLength: 300 }) } as const

export type ArbitraryKind = keyof typeof ARBITRARIES

/** Inputs of one block share what was drawn for it: drawing anew for each would take longer than everything else. */
const BLOCK = 8192
const DRAWN = 512

/** Values that fast-check draws, a function of seed and position as everything here. */
export function createArbitrary(seed: number): (index: number, kind: ArbitraryKind, random: Random) => string {
  let block = -1
  let drawn: Record<ArbitraryKind, string[]> = { json: [], text: [] }
  return (index, kind, random) => {
    const own = Math.floor(index / BLOCK)
    if (own !== block) {
      block = own
      const draw = (which: ArbitraryKind) => fc.sample(ARBITRARIES[which], { seed: seed + own, numRuns: DRAWN })
      drawn = { json: draw('json'), text: draw('text') }
    }
    return random.pick(drawn[kind])
  }
}
