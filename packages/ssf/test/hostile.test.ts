import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { metadataUrl } from '../src/receiver/index.ts'
import { callerOf, createLoop, revoke } from './loop.ts'

const caller = callerOf()
const hang = new AbortController()
hang.abort()

/** Bodies that know the names but not the manners. */
const value = fc.oneof(
  fc.jsonValue(),
  fc.integer(),
  fc.double(),
  fc.string({ maxLength: 300 }),
  fc.boolean(),
  fc.array(fc.string(), { maxLength: 5 }),
)
const bodyOf = (...names: string[]) =>
  fc.oneof(
    fc.anything(),
    fc.dictionary(fc.oneof(fc.constantFrom(...names), fc.constantFrom('__proto__', 'constructor', 'toString')), value, { maxKeys: names.length }),
  )

describe('hostile bodies', () => {
  it('poll: 200 or 400, never a throw', async () => {
    const loop = createLoop()
    loop.store.commit(revoke('alice'))
    const ids: string[] = []
    for (const body of [{}, { caegis: { guard: true, subjects: 'complex' } }]) {
      ids.push(((await loop.transmitter.create(caller, body)).body as { stream_id: string }).stream_id)
    }
    const bodies = bodyOf('maxEvents', 'returnImmediately', 'ack', 'setErrs', 'caegis_applied', 'caegis_wait')
    await fc.assert(
      fc.asyncProperty(bodies, fc.constantFrom(...ids), async (body, id) => {
        const { status } = await loop.transmitter.poll(caller, id, body, hang.signal)
        expect([200, 400]).toContain(status)
      }),
      { numRuns: 400 },
    )
    // Nothing of that has moved a cursor past what was never acknowledged.
    expect(loop.store.streams().every((stream) => stream.acked <= 1)).toBe(true)
  })

  it('create and verify: an answer of the table, never a throw', async () => {
    const loop = createLoop({ limits: { streams: 1e9 } })
    const bodies = bodyOf('delivery', 'events_requested', 'description', 'caegis', 'aud', 'stream_id', 'state')
    await fc.assert(
      fc.asyncProperty(bodies, async (body) => {
        expect([201, 400]).toContain((await loop.transmitter.create(caller, body)).status)
        expect([400, 404]).toContain((await loop.transmitter.verify(caller, body)).status)
      }),
      { numRuns: 300 },
    )
  })

  it('bounds the lists of a poll', async () => {
    const loop = createLoop()
    const id = ((await loop.transmitter.create(caller, {})).body as { stream_id: string }).stream_id
    const status = async (body: unknown) => (await loop.transmitter.poll(caller, id, body, hang.signal)).status
    expect(await status({ ack: Array(10_000).fill(`x.${id}`) })).toBe(200)
    expect(await status({ ack: Array(10_001).fill('x') })).toBe(400)
    expect(await status({ ack: ['x'.repeat(257)] })).toBe(400)
    expect(await status({ ack: [''] })).toBe(400)
    expect(await status({ setErrs: { x: 'invalid_key' } })).toBe(400)
    expect(await status({ caegis_applied: { epoch: '', seq: 0 } })).toBe(400)
    expect(await status({ caegis_wait: -1 })).toBe(400)
  })

  it('what a peer writes is not repeated in the log', async () => {
    const loop = createLoop()
    const id = ((await loop.transmitter.create(caller, {})).body as { stream_id: string }).stream_id
    loop.store.commit(revoke('alice'))
    const secret = 'line\nbreak token=abc'
    await loop.transmitter.poll(caller, id, { returnImmediately: true, setErrs: { [`e.${id}`]: { err: secret, description: secret } } }, hang.signal)
    expect(JSON.stringify(loop.logged)).not.toContain('token=abc')
  })
})

describe('metadataUrl', () => {
  it.each([
    ['https://ca.example.test', 'https://ca.example.test/.well-known/ssf-configuration'],
    ['https://ca.example.test/', 'https://ca.example.test/.well-known/ssf-configuration'],
    ['https://ca.example.test/t/acme', 'https://ca.example.test/.well-known/ssf-configuration/t/acme'],
    ['https://ca.example.test/t/acme/', 'https://ca.example.test/.well-known/ssf-configuration/t/acme'],
  ])('%s', (issuer, url) => expect(metadataUrl(issuer)).toBe(url))

  it('wants https and nothing behind the path', () => {
    for (const issuer of ['http://localhost:1', 'ftp://x', 'x', '', 'https://x?a=b', 'https://x#f', 'https://u:p@x']) {
      expect(() => metadataUrl(issuer)).toThrow(TypeError)
    }
    expect(metadataUrl('http://localhost:1', true)).toBe('http://localhost:1/.well-known/ssf-configuration')
  })
})
