import { SIGNALS as real } from '../../../fuzz/signals.ts'
import type { Target } from '../../../fuzz/target.ts'

const oneOf =
  (end: number): Target['make'] =>
  (random) =>
    String(random.below(end))

/** Parsers with a fault each, which the fuzzer must find. */
export const targets: Target[] = [
  {
    name: 'throws what is no refusal',
    weight: 1,
    arbitrary: 'json',
    make: (random) => `[${random.below(100)}]`,
    run: (input) => JSON.parse(input)[0].toFixed() === input,
  },
  {
    // Takes the header's word for how a SET is to be checked.
    name: 'accepts what nobody signed',
    weight: 1,
    arbitrary: 'text',
    make: (real[0] as Target).make,
    async run(input) {
      const [header = ''] = input.split('.')
      const unsigned = /"alg":"none"/.test(Buffer.from(header, 'base64url').toString())
      if (unsigned) throw new Error('a SET was accepted that nobody signed so')
      return (real[0] as Target).run(input)
    },
  },
  {
    name: 'changes a prototype',
    weight: 1,
    arbitrary: 'json',
    make: oneOf(10),
    run(input) {
      if (input === '7') Object.defineProperty(Object.prototype, 'polluted', { value: 1, configurable: true, enumerable: false })
      else Reflect.deleteProperty(Object.prototype, 'polluted')
      return true
    },
  },
  {
    name: 'has no end',
    weight: 1,
    arbitrary: 'text',
    make: oneOf(60),
    run(input) {
      while (input === '13');
      return true
    },
  },
  {
    name: 'waits for ever',
    weight: 1,
    arbitrary: 'text',
    make: oneOf(60),
    run: (input) => (input === '17' ? new Promise<boolean>(() => {}) : true),
  },
]
