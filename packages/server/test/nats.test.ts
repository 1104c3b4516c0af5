import { expect, it, vi } from 'vitest'
import { connectNats } from '../src/signals/nats.ts'

it.each([
  ['nats://broker.test:4222', false, 1],
  ['tls://broker.test:4222', true, 0],
  ['nats://localhost:1', false, 0],
] as const)('says so where a broker that is not near is reached without TLS: %s', async (server, tls, warnings) => {
  const warn = vi.fn()
  const bus = connectNats({ servers: [server], tls }, { debug() {}, info() {}, warn, error() {} })
  await bus.close()
  expect(warn.mock.calls.filter(([text]) => /without TLS/.test(text))).toHaveLength(warnings)
})
