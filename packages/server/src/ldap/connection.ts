import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { CaegisError } from '@caegis/protocol'
import {
  BerReader,
  BindRequest,
  ExtendedRequest,
  type Filter,
  MessageResponseStatus,
  PagedResultsControl,
  ProtocolOperation,
  SearchEntry,
  SearchRequest,
  SearchResponse,
  UnbindRequest,
} from 'ldapts'
import { SERVER_ERRORS } from '../errors.ts'
import { isLoopback, type LdapConfig } from './config.ts'
import { createFrames } from './frame.ts'

/** An entry as it came: names of attributes in lower case, values as bytes. */
export interface Entry {
  dn: string
  values: Map<string, Buffer[]>
}

export interface Search {
  base: string
  scope?: 'base' | 'sub'
  filter: Filter
  attributes: string[]
}

export interface LdapConnection {
  /**
   * Page by page (RFC 2696). It ends well only when the server has said that there is no more: what is missing from it is not there.
   * @throws CaegisError `ldap_unreachable`, `ldap_refused`, `ldap_protocol`
   */
  search(search: Search): AsyncGenerator<Entry[]>
  close(): void
}

export type ConnectionConfig = Pick<LdapConfig, 'url' | 'startTls' | 'allowPlain' | 'ca' | 'bindDn' | 'pageSize' | 'timeout'>

/** Milliseconds until a connection, TLS included, stands. */
const CONNECT = 10_000
/** RFC 4511 section 4.14. */
const START_TLS = '1.3.6.1.4.1.1466.20037'
/** Bytes of one answer, with all its entries. */
const MAX_ANSWER = 32 * 1024 * 1024
/** More entries than any directory has, and more pages without one than any server sends in a row. */
const MAX_ENTRIES = 5_000_000
const MAX_EMPTY_PAGES = 1000

/**
 * Connects, with a certificate that is verified, and signs in. Requests and answers are written and read by ldapts; the connection is our own, because a client that connects anew
 * by itself would go on as nobody, and one that takes an empty page for the last would make people vanish.
 *
 * The server was named by whoever runs this host, in a file or on the command line: it may be anywhere, unlike what the dialer reaches.
 * @param password of `bindDn`
 * @throws CaegisError `ldap_unreachable`, `ldap_refused`, `ldap_protocol`
 */
export async function connectLdap(config: ConnectionConfig, password?: string): Promise<LdapConnection> {
  const { bindDn } = config
  // A name without a password is let in as nobody (RFC 4513 section 5.1.2).
  if (bindDn !== undefined && !password) {
    throw new CaegisError('ldap_refused', 'There is no password for bindDn: set CAEGIS_LDAP_PASSWORD or CAEGIS_LDAP_PASSWORD_FILE.')
  }
  const connection = speak(await openSocket(config), config)
  if (bindDn !== undefined) {
    try {
      await connection.bind(bindDn, password as string)
    } catch (error) {
      connection.close()
      throw error
    }
  }
  return connection
}

async function openSocket({ url, startTls, allowPlain, ca }: ConnectionConfig): Promise<Socket> {
  const { protocol, hostname, port } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  const target = { host, port: Number(port || (protocol === 'ldaps:' ? 636 : 389)) }
  const secure: ConnectionOptions = {
    host,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(ca === undefined ? {} : { ca }),
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
  }
  const deadline = AbortSignal.timeout(CONNECT)
  if (protocol === 'ldaps:') return once(connectTls({ ...target, ...secure }), 'secureConnect', deadline)
  const plain = await once(connectTcp(target), 'connect', deadline)
  if (startTls) {
    await askForTls(plain, deadline)
    return once(connectTls({ ...secure, socket: plain }), 'secureConnect', deadline)
  }
  if (allowPlain || isLoopback(plain.remoteAddress ?? '')) return plain
  plain.destroy()
  throw new CaegisError('ldap_unreachable', `${SERVER_ERRORS.ldap_unreachable} (not on this machine, and without TLS)`)
}

function once<S extends Socket>(socket: S, event: 'connect' | 'secureConnect', deadline: AbortSignal): Promise<S> {
  const { promise, resolve, reject } = Promise.withResolvers<S>()
  const fail = (error: NodeJS.ErrnoException) => {
    socket.destroy()
    reject(unreachable(error.code ?? error.name))
  }
  const late = () => fail(new DOMException('', 'TimeoutError') as Error)
  const end = () => fail(Object.assign(new Error(), { code: 'ECONNRESET' }))
  socket.once('error', fail).once('close', end)
  deadline.addEventListener('abort', late)
  socket.once(event, () => resolve(socket))
  return promise.finally(() => {
    deadline.removeEventListener('abort', late)
    socket.off('close', end)
    // Whoever takes over listens too; until then an error must not end the process.
    socket.on('error', () => {})
  })
}

/** Nothing of what was said in the clear may be taken for an answer afterwards: exactly one message, and not a byte behind it. */
async function askForTls(socket: Socket, deadline: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  let messages = 0
  const frames = createFrames((message) => {
    messages++
    resolve(message)
  })
  const onData = (chunk: Buffer) => {
    try {
      frames.push(chunk)
    } catch {
      reject(malformed())
    }
  }
  const end = () => reject(unreachable('ECONNRESET'))
  const late = () => reject(unreachable('TimeoutError'))
  socket.on('data', onData).once('close', end)
  deadline.addEventListener('abort', late)
  try {
    socket.write(new ExtendedRequest({ messageId: 1, oid: START_TLS }).write())
    const answer = readMessage(await promise)
    if (answer.id !== 1 || answer.operation !== ProtocolOperation.LDAP_RES_EXTENSION || messages > 1 || frames.pending() > 0) throw malformed()
    checkResult(answer.result(), 'StartTLS')
  } catch (error) {
    socket.destroy()
    throw error
  } finally {
    deadline.removeEventListener('abort', late)
    socket.off('data', onData).off('close', end)
    socket.pause()
  }
}

/** One question at a time. */
function speak(socket: Socket, { pageSize, timeout }: ConnectionConfig) {
  interface Question {
    id: number
    operation: number
    entries: Entry[]
    most: number
    bytes: number
    resolve(result: SearchResponse): void
    reject(error: Error): void
  }
  let question: Question | undefined
  let broken: CaegisError | undefined
  let lastId = 1

  const fail = (error: CaegisError): CaegisError => {
    broken ??= error
    socket.destroy()
    question?.reject(broken)
    question = undefined
    return broken
  }
  const frames = createFrames((bytes) => {
    const { id, operation, result, entry } = readMessage(bytes)
    // Whatever nobody asked for is the notice that the connection ends (RFC 4511 section 4.4.1), or worse.
    if (!question || id !== question.id) throw malformed()
    if (operation === ProtocolOperation.LDAP_RES_SEARCH_REF) return
    if (operation === ProtocolOperation.LDAP_RES_SEARCH_ENTRY) {
      if (question.entries.push(entry()) > question.most) throw malformed()
      return
    }
    if (operation !== question.operation) throw malformed()
    const { resolve } = question
    const answer = result()
    question = undefined
    resolve(answer)
  })
  socket.on('data', (chunk: Buffer) => {
    if (broken) return
    try {
      if (question) question.bytes += chunk.length
      if (question && question.bytes > MAX_ANSWER) throw malformed()
      frames.push(chunk)
    } catch {
      fail(malformed())
    }
  })
  socket.on('error', (error: NodeJS.ErrnoException) => fail(unreachable(error.code ?? error.name)))
  socket.on('close', () => fail(unreachable('ECONNRESET')))
  socket.resume()

  async function ask(request: { messageId: number; write(): Buffer }, operation: number, most: number) {
    if (broken) throw broken
    const { promise, resolve, reject } = Promise.withResolvers<SearchResponse>()
    const entries: Entry[] = []
    const id = ++lastId
    request.messageId = id
    question = { id, operation, entries, most, bytes: 0, resolve, reject }
    const timer = setTimeout(() => fail(unreachable('TimeoutError')), timeout * 1000)
    try {
      socket.write(request.write())
      return { result: await promise, entries }
    } finally {
      clearTimeout(timer)
    }
  }

  return {
    async bind(dn: string, password: string): Promise<void> {
      const { result } = await ask(new BindRequest({ messageId: 0, dn, password }), ProtocolOperation.LDAP_RES_BIND, 0)
      checkResult(result, 'the sign-in as bindDn')
    },

    async *search({ base, scope = 'sub', filter, attributes }: Search): AsyncGenerator<Entry[]> {
      let cookie: Buffer | undefined
      let total = 0
      let empty = 0
      do {
        const control = new PagedResultsControl({ critical: true, value: { size: pageSize, ...(cookie ? { cookie } : {}) } })
        const limits = { sizeLimit: 0, timeLimit: timeout }
        const request = new SearchRequest({ messageId: 0, baseDN: base, scope, filter, attributes, ...limits, controls: [control] })
        const { result, entries } = await ask(request, ProtocolOperation.LDAP_RES_SEARCH, pageSize)
        checkResult(result, 'a search')
        const answer = result.controls?.find((one) => one instanceof PagedResultsControl)
        if (!answer?.value) throw fail(malformed())
        cookie = answer.value.cookie
        total += entries.length
        empty = entries.length === 0 ? empty + 1 : 0
        if (total > MAX_ENTRIES || empty > MAX_EMPTY_PAGES) throw fail(malformed())
        yield entries
      } while (cookie?.length)
    },

    close(): void {
      if (!broken) socket.end(new UnbindRequest({ messageId: ++lastId }).write())
      broken ??= unreachable('closed')
      // Who does not answer is not waited for.
      setTimeout(() => socket.destroy(), 1000).unref()
    },
  }
}

/** @throws whatever the parser does not understand; the bytes are well-formed BER */
function readMessage(bytes: Buffer) {
  const reader = new BerReader(bytes)
  reader.readSequence()
  const id = reader.readInt()
  const operation = reader.readSequence()
  if (id === null || operation === null) throw malformed()
  return {
    id,
    operation,
    /** All results look alike at their beginning (RFC 4511 section 4.1.9). */
    result() {
      const response = new SearchResponse({ messageId: id })
      response.parse(reader, [])
      return response
    },
    entry(): Entry {
      const response = new SearchEntry({ messageId: id })
      response.parse(reader, [])
      return { dn: response.name, values: new Map(response.attributes.map((one) => [one.type.toLowerCase(), one.parsedBuffers])) }
    },
  }
}

/** What the server says besides the code could hold anything: it is not repeated. */
function checkResult({ status }: SearchResponse, what: string): void {
  if (status === MessageResponseStatus.Success) return
  throw new CaegisError('ldap_refused', `${SERVER_ERRORS.ldap_refused} (${what}: result code ${status})`, { detail: status })
}

function unreachable(reason: string): CaegisError {
  return new CaegisError('ldap_unreachable', `${SERVER_ERRORS.ldap_unreachable} (${reason})`, { detail: reason })
}

function malformed(): CaegisError {
  return new CaegisError('ldap_protocol', SERVER_ERRORS.ldap_protocol)
}
