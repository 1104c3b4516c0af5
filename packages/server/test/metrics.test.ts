import Fastify from 'fastify'
import { expect, it } from 'vitest'
import { registerMetrics } from '../src/life/metrics.ts'

const FIGURES = [{ name: 'x', kind: 'gauge' as const, help: 'h', read: () => [{ labels: { a: 'q"\n' }, value: 1 }] }]
const ask = async (token: string | undefined, { authorization = '', from = '127.0.0.1' } = {}) => {
  const app = Fastify()
  registerMetrics(app, FIGURES, token)
  const { statusCode, body } = await app.inject({ url: '/metrics', remoteAddress: from, headers: authorization === '' ? {} : { authorization } })
  return [statusCode, body]
}
const TEXT = [200, '# HELP x h\n# TYPE x gauge\nx{a="q\\"\\n"} 1\n']

it('are for this machine alone, or for whoever has the token, wherever they are', async () => {
  for (const from of ['127.0.0.1', '::1', '::ffff:127.0.0.1']) expect(await ask(undefined, { from })).toEqual(TEXT)
  for (const from of ['192.0.2.1', '2001:db8::1', '::ffff:192.0.2.1']) expect(await ask(undefined, { from })).toMatchObject([403, expect.any(String)])
  const token = 'a-token-for-the-figures'
  for (const from of ['127.0.0.1', '192.0.2.1']) {
    expect(await ask(token, { from })).toMatchObject([401, expect.any(String)])
    expect(await ask(token, { from, authorization: 'Bearer another-token' })).toMatchObject([401, expect.any(String)])
    expect(await ask(token, { from, authorization: `Bearer ${token}` })).toEqual(TEXT)
  }
})
