import { createServer, type Server, type Socket } from 'node:net'
import fc from 'fast-check'
import { BerWriter, FilterParser } from 'ldapts'
import { afterEach, describe, expect, it } from 'vitest'
import { connectLdap, type LdapConnection } from '../src/ldap/connection.ts'
import { createFrames, MAX_MESSAGE } from '../src/ldap/frame.ts'

/** One LDAP message: id, operation, what is in it, and controls. */
function message(id: number, operation: number, body: (ber: BerWriter) => void, controls?: (ber: BerWriter) => void): Buffer {
  const ber = new BerWriter()
  ber.startSequence()
  ber.writeInt(id)
  ber.startSequence(operation)
  body(ber)
  ber.endSequence()
  if (controls) {
    ber.startSequence(0xa0)
    controls(ber)
    ber.endSequence()
  }
  ber.endSequence()
  return ber.buffer
}
const result = (id: number, operation: number, code = 0, cookie?: string) =>
  message(
    id,
    operation,
    (ber) => {
      ber.writeEnumeration(code)
      ber.writeString('')
      ber.writeString('the-password-was-secret')
    },
    cookie === undefined
      ? undefined
      : (ber) => {
          const value = new BerWriter()
          value.startSequence()
          value.writeInt(0)
          value.writeString(cookie)
          value.endSequence()
          ber.startSequence()
          ber.writeString('1.2.840.113556.1.4.319')
          ber.writeBuffer(value.buffer, 0x04)
          ber.endSequence()
        },
  )
const entry = (id: number, dn: string, attributes: Record<string, string[]> = {}) =>
  message(id, 0x64, (ber) => {
    ber.writeString(dn)
    ber.startSequence()
    for (const [type, values] of Object.entries(attributes)) {
      ber.startSequence()
      ber.writeString(type)
      ber.startSequence(0x31)
      for (const value of values) ber.writeString(value)
      ber.endSequence()
      ber.endSequence()
    }
    ber.endSequence()
  })
const reference = (id: number) => message(id, 0x73, (ber) => ber.writeString('ldap://192.0.2.1/dc=evil'))

let server: Server | undefined
let connection: LdapConnection | undefined
afterEach(async () => {
  connection?.close()
  connection = undefined
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)))
  server = undefined
})

/** A server on this machine that answers each request by its number; nothing is understood of it. */
async function answering(answers: ((id: number, socket: Socket) => Buffer[])[], more: object = {}): Promise<LdapConnection> {
  server = createServer((socket) => {
    let turn = 0
    // The server knows nobody who listens to it for long.
    socket.on('error', () => {})
    socket.on('data', () => {
      const id = turn + ('startTls' in more ? 1 : 2)
      for (const bytes of answers[turn++]?.(id, socket) ?? []) socket.write(bytes)
    })
  })
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  connection = await connectLdap({ url: `ldap://127.0.0.1:${port}`, startTls: false, allowPlain: false, pageSize: 2, timeout: 5, ...more })
  return connection
}
const read = async (from: LdapConnection) => {
  const pages: string[][] = []
  for await (const page of from.search({ base: 'dc=x', filter: FilterParser.parseString('(uid=*)'), attributes: ['uid'] }))
    pages.push(page.map((one) => one.dn))
  return pages
}

describe('a server that keeps to the protocol', () => {
  it('is read page by page, an empty one in between too; references are not followed', async () => {
    const from = await answering([
      (id) => [entry(id, 'a'), reference(id), entry(id, 'b'), result(id, 0x65, 0, 'one')],
      (id) => [result(id, 0x65, 0, 'two')],
      (id) => [Buffer.concat([entry(id, 'c', { uid: ['c'] }), result(id, 0x65, 0, '')])],
    ])
    expect(await read(from)).toEqual([['a', 'b'], [], ['c']])
  })

  it('may send its bytes in any pieces', async () => {
    const whole = Buffer.concat([entry(2, 'a', { uid: ['x'.repeat(1000)] }), result(2, 0x65, 0, '')])
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: whole.length }), { maxLength: 12 }), (cuts) => {
        const messages: Buffer[] = []
        const frames = createFrames((one) => messages.push(Buffer.from(one)))
        let from = 0
        for (const to of [...cuts.sort((a, b) => a - b), whole.length]) {
          frames.push(whole.subarray(from, Math.max(from, to)))
          from = Math.max(from, to)
        }
        expect(frames.pending()).toBe(0)
        expect(Buffer.concat(messages)).toEqual(whole)
        expect(messages).toHaveLength(2)
      }),
    )
  })
})

describe('a server that does not', () => {
  const long = Buffer.concat([Buffer.from([0x30, 0x84]), Buffer.alloc(4, 0x7f)])
  /** An attribute whose value is said to be longer than the message. */
  const overlong = (id: number) => {
    const bytes = entry(id, 'a', { uid: ['xx'] })
    bytes[bytes.length - 3] = 0x7f
    return bytes
  }
  it.each<[string, string, (id: number, socket: Socket) => Buffer[]]>([
    ['answers another question', 'ldap_protocol', (id) => [result(id + 1, 0x65, 0, '')]],
    ['answers a search with a sign-in', 'ldap_protocol', (id) => [result(id, 0x61)]],
    ['sends a notice that nobody asked for', 'ldap_protocol', () => [result(0, 0x78)]],
    ['sends more than a page', 'ldap_protocol', (id) => [entry(id, 'a'), entry(id, 'b'), entry(id, 'c'), result(id, 0x65, 0, '')]],
    ['does not say whether there is more', 'ldap_protocol', (id) => [entry(id, 'a'), result(id, 0x65)]],
    ['announces two gigabytes', 'ldap_protocol', () => [long]],
    ['sends a value that is longer than the message', 'ldap_protocol', (id) => [overlong(id), result(id, 0x65, 0, '')]],
    ['sends no BER', 'ldap_protocol', () => [Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')]],
    ['sends a length of unknown size', 'ldap_protocol', () => [Buffer.from([0x30, 0x80, 0, 0])]],
    ['sends an entry that is none', 'ldap_protocol', (id) => [message(id, 0x64, (ber) => ber.writeInt(1))]],
    [
      'nests without end',
      'ldap_protocol',
      () => [Buffer.concat([Buffer.from([0x30, 0x7e]), ...Array.from({ length: 63 }, (_, at) => Buffer.from([0x30, 124 - 2 * at]))])],
    ],
    [
      'refers to others without end',
      'ldap_protocol',
      (id) => [...Array.from({ length: 64 }, () => message(id, 0x73, (ber) => ber.writeString('x'.repeat(600_000)))), result(id, 0x65, 0, '')],
    ],
    ['sends an entry that is too long', 'ldap_protocol', (id) => [entry(id, 'a', { uid: ['x'.repeat(1_100_000)] }), result(id, 0x65, 0, '')]],
    ['refuses', 'ldap_refused', (id) => [result(id, 0x65, 50)]],
    ['has only a part of it', 'ldap_refused', (id) => [entry(id, 'a'), result(id, 0x65, 4)]],
    ['sends elsewhere', 'ldap_refused', (id) => [result(id, 0x65, 10)]],
    ['hangs up', 'ldap_unreachable', (_, socket) => (socket.end() ? [] : [])],
  ])('%s', async (_, code, answer) => {
    const from = await answering([answer])
    const error = await read(from).catch((one) => one)
    expect(error).toMatchObject({ code })
    expect(String(error.message)).not.toContain('secret')
    // It is over: nothing is asked on a connection that is not understood any more.
    if (code !== 'ldap_refused') await expect(read(from)).rejects.toMatchObject({ code })
  })

  it('is silent: it is not waited for', async () => {
    const from = await answering([() => []], { timeout: 0.05 })
    await expect(read(from)).rejects.toMatchObject({ code: 'ldap_unreachable', detail: 'TimeoutError' })
  })

  it('is not told who asks, when there is no password', async () => {
    await expect(answering([], { bindDn: 'cn=x' })).rejects.toMatchObject({ code: 'ldap_refused' })
  })

  it.each([
    ['refuses TLS', () => [result(1, 0x78, 53)], 'ldap_refused'],
    ['puts an answer in the clear behind it', () => [Buffer.concat([result(1, 0x78), result(2, 0x61)])], 'ldap_protocol'],
    ['puts the beginning of one behind it', () => [Buffer.concat([result(1, 0x78), Buffer.from([0x30])])], 'ldap_protocol'],
    ['goes on in the clear', () => [result(1, 0x78), Buffer.from([0x30, 0x0c, 0x02, 0x01])], expect.stringMatching(/^ldap_(protocol|unreachable)$/)],
  ])('StartTLS: a server that %s', async (_, answer, code) => {
    await expect(answering([answer], { startTls: true })).rejects.toMatchObject({ code })
  })
})

it('no bytes make it run for ever, or fail in another way', () => {
  const seed = Buffer.concat([entry(2, 'a', { uid: ['b', 'c'] }), reference(2), result(2, 0x65, 0, 'cookie')])
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(seed.length - 1), fc.nat(255)), { maxLength: 6 }), (edits) => {
      const bytes = Buffer.from(seed)
      for (const [at, value] of edits) bytes[at] = value
      const frames = createFrames((one) => expect(one.length).toBeLessThanOrEqual(MAX_MESSAGE))
      try {
        frames.push(bytes)
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError)
      }
    }),
  )
})
