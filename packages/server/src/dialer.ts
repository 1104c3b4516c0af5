import { lookup as systemLookup } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import { compileRanges } from '@caegis/policy'
import { CaegisError } from '@caegis/protocol'
import { Agent, errors } from 'undici'
import { SERVER_ERRORS } from './errors.ts'

/** Where nothing that others name may lead: this machine, private and link-local networks, and the address families that wrap them (IANA special purpose registries). */
const FORBIDDEN = compileRanges([
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
  '::/96',
  '::ffff:0:0:0/96',
  '64:ff9b::/96',
  '64:ff9b:1::/48',
  '100::/64',
  '2001::/32',
  '2001:2::/48',
  '2001:10::/28',
  '2001:db8::/32',
  '2002::/16',
  '3fff::/20',
  '5f00::/16',
  'fc00::/7',
  'fe80::/9',
  'ff00::/8',
])

export interface DialRequest {
  url: string
  method?: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  headers: Record<string, string>
  body?: string
  /** Bytes of the answer's body that are read at most; a longer one is cut off. */
  maxBody: number
  /** Milliseconds until the head of the answer is there, for a request that may be held; default the dialer's own. */
  patience?: number
  signal: AbortSignal
}

export interface DialAnswer {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: string
}

export interface DialerOptions {
  /** Host names that may resolve to forbidden addresses: named by the operator, never by a tenant. */
  allow?: readonly string[] | (() => readonly string[])
  /** Milliseconds until a connection stands, and until the head of an answer is there. */
  timeout?: number
  /** Connections to one origin. */
  connections?: number
  lookup?: (hostname: string) => Promise<readonly { address: string; family: number }[]>
}

export interface Dialer {
  /** @throws CaegisError `dial_refused` for a URL or an address that is not allowed; whatever the network throws */
  send(request: DialRequest): Promise<DialAnswer>
  close(): Promise<void>
}

/**
 * The one way out for every URL that somebody else has named. A name is resolved once and the connection goes to the address that was looked at, so that a second answer
 * of the name server cannot lead elsewhere; redirects are answers like any other; size and time have bounds.
 */
export function createDialer({ allow = [], timeout = 10_000, connections = 16, lookup = resolve }: DialerOptions = {}): Dialer {
  const list = typeof allow === 'function' ? allow : () => allow
  const isAllowed = (host: string) => list().some((one) => one.toLowerCase() === host.toLowerCase())

  const pinned: LookupFunction = (hostname, options, done) => {
    lookup(hostname).then(
      (found) => {
        // One forbidden address among several is a reason to refuse all: which one is taken would be up to chance.
        const wrong = found.length === 0 || (!isAllowed(hostname) && found.some(({ address }) => FORBIDDEN.has(address)))
        const [first] = found
        if (wrong || !first) done(refused('a host that resolves to an address that is not allowed'), '', 0)
        else if (options.all) done(null, [{ address: first.address, family: first.family }])
        else done(null, first.address, first.family)
      },
      (error: NodeJS.ErrnoException) => done(error, '', 0),
    )
  }
  const agent = new Agent({
    connections,
    pipelining: 1,
    connect: { lookup: pinned, timeout },
    headersTimeout: timeout,
    bodyTimeout: timeout,
    keepAliveTimeout: 30_000,
  })

  const request = async (options: Parameters<typeof agent.request>[0]) => {
    try {
      return await agent.request(options)
    } catch (error) {
      // It comes without a code, which is all that anybody repeats of an error.
      if (error instanceof errors.HTTPParserError) error.code ??= 'HTTP_PARSER'
      throw error
    }
  }

  return {
    async send({ url, method = 'POST', headers, body, maxBody, patience = timeout, signal }) {
      const target = URL.parse(url)
      if (target?.protocol !== 'https:' || target.username !== '' || target.password !== '')
        throw refused('not an https URL, or one with credentials in it')
      // An address in the URL is never looked up, so it is judged here.
      const host = target.hostname.replace(/^\[|\]$/g, '')
      if (isIP(host) !== 0 && FORBIDDEN.has(host) && !isAllowed(host)) throw refused('an address that is not allowed')
      const answer = await request({
        origin: target.origin,
        path: `${target.pathname}${target.search}`,
        method,
        headers,
        ...(body === undefined ? {} : { body }),
        headersTimeout: patience,
        signal,
      })
      return { status: answer.statusCode, headers: answer.headers, body: await readBounded(answer.body, maxBody) }
    },
    close: () => agent.destroy(),
  }
}

async function readBounded(body: AsyncIterable<Buffer> & { destroy(): void }, most: number): Promise<string> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of body) {
    parts.push(part)
    size += part.length
    // Leaving the loop ends the stream, and with it the connection: nobody is obliged to read a gigabyte.
    if (size > most) break
  }
  return Buffer.concat(parts).subarray(0, most).toString('utf8')
}

async function resolve(hostname: string): Promise<readonly { address: string; family: number }[]> {
  return systemLookup(hostname, { all: true })
}

function refused(detail: string): CaegisError {
  return new CaegisError('dial_refused', SERVER_ERRORS.dial_refused, { detail })
}
