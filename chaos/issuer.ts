import { createPrivateKey, createPublicKey, type JsonWebKey, sign } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type CutoffRow, EVENT } from '@caegis/protocol'
import { type Answer, createMemoryStore, createTransmitter, type NewEvent } from '@caegis/ssf/transmitter'

/** What the driver asks of the issuer: to cut people off, each by an event of its own or all in one list. */
export interface Revocation {
  /** The first person; the others follow. */
  from: number
  count: number
  t: number
  until: number
  form: 'list' | 'single'
}

export interface IssuerStart {
  jwk: JsonWebKey
  /** The cutoffs that are there already: these many, the first expiring at `until`, `rate` of them a second. */
  live: number
  life: number
  until: number
  rate: number
}

/** Where the cutoffs of a revocation stand in the log; of single events, one after the other from there on. */
export interface Committed {
  from: number
  count: number
  seq: number
  form: Revocation['form']
}

export const AUDIENCE = 'api://files'
export const KID = 'k1'
const LIST = 500

export function nameOf(person: number): string {
  return `${(person < 0 ? -person : person + 0x1000_0000).toString(16).padStart(8, '0')}-5f1d-4c2e-9b7a-3d86e0c41a55`
}

/** When somebody is cut off before the start, so that cutoffs expire at the pace at which new ones come. */
export function beforeStart({ live, life, until, rate }: Omit<IssuerStart, 'jwk'>): number[] {
  return Array.from({ length: live }, (_, person) => Math.floor(until + person / rate) - life)
}

/** An issuer that consists of its transmitter: real HTTP, signatures, snapshot and long polls over a store in memory. */
async function main(): Promise<void> {
  const server = createServer({ keepAliveTimeout: 60_000 })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const store = createMemoryStore({ issuer })
  const start = await new Promise<IssuerStart>((resolve) => process.once('message', (message) => resolve(message as IssuerStart)))
  const key = createPrivateKey({ key: start.jwk, format: 'jwk' })
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const transmitter = createTransmitter({
    ...{ issuer, base: `${issuer}/ssf`, jwksUri: `${issuer}/keys`, store },
    async sign(payload, { typ, alg }) {
      const text = `${part({ typ, alg, kid: KID })}.${part(payload)}`
      return `${text}.${sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
    },
  })
  const seconds = beforeStart(start)
  for (let from = 0; from < seconds.length; from += LIST) {
    store.commit(
      list(
        issuer,
        seconds.slice(from, from + LIST).map((t, i) => [from + i, t, t + start.life]),
      ),
    )
  }
  process.on('message', ({ from, count, t, until, form }: Revocation) => {
    const people = Array.from({ length: count }, (_, i) => from + i)
    const events =
      form === 'list'
        ? [
            list(
              issuer,
              people.map((person) => [person, t, until]),
            ),
          ]
        : people.map((person) => single(issuer, person, t, until))
    const rows = store.commit(...events)
    process.send?.({ from, count, seq: rows[0]?.seq as number, form } satisfies Committed)
  })
  process.once('disconnect', () => process.exit(0))

  const caller = { receiver: 'files-api', audience: AUDIENCE, scopes: new Set(['ssf.read', 'ssf.manage']) }
  const metadata = {
    issuer,
    jwks_uri: `${issuer}/keys`,
    token_endpoint: `${issuer}/token`,
    token_endpoint_auth_methods_supported: ['client_secret_post'],
  }
  const publicJwk = { ...createPublicKey(key).export({ format: 'jwk' }), kid: KID, alg: 'ES256', use: 'sig' }
  server.on('request', async (request, response) => {
    const url = new URL(request.url as string, issuer)
    let text = ''
    for await (const some of request) text += some
    const gone = new AbortController()
    response.once('close', () => gone.abort('over'))
    const send = async ({ status, headers, body }: Answer) => {
      response.writeHead(status, headers)
      if (body instanceof Uint8Array) return response.end(body)
      if (typeof body !== 'object' || body === null || !(Symbol.asyncIterator in body))
        return response.end(body === undefined ? '' : JSON.stringify(body))
      for await (const line of body as AsyncIterable<string>)
        if (!response.write(line)) await new Promise((resolve) => response.once('drain', resolve))
      return response.end()
    }
    const json = (body: unknown) => send({ status: 200, headers: { 'content-type': 'application/json' }, body } as Answer)
    const fixed: Record<string, () => unknown> = {
      '/.well-known/openid-configuration': () => metadata,
      '/.well-known/ssf-configuration': () => transmitter.metadata(),
      '/keys': () => ({ keys: [publicJwk] }),
      '/token': () => ({ access_token: 'of-the-api', token_type: 'Bearer', expires_in: 3600 }),
    }
    const told = fixed[url.pathname]
    if (told) return json(told())
    const digest = url.pathname.split('/ssf/segments/')[1]
    if (digest !== undefined) return send(await transmitter.segment(digest))
    if (request.headers.authorization !== 'Bearer of-the-api') return send({ status: 401, headers: {} })
    const body = url.pathname !== '/token' && text !== '' ? JSON.parse(text) : undefined
    const id = url.searchParams.get('stream_id') ?? undefined
    const polled = url.pathname.split('/poll/')[1]
    if (polled !== undefined) return send(await transmitter.poll(caller, polled, body, gone.signal))
    const routes: Record<string, () => Promise<Answer>> = {
      'GET /ssf/streams': () => transmitter.read(caller, id),
      'POST /ssf/streams': () => transmitter.create(caller, body),
      'DELETE /ssf/streams': () => transmitter.remove(caller, id),
      'GET /ssf/status': () => transmitter.status(caller, id),
      'GET /ssf/snapshot': () => transmitter.snapshot(caller, id),
    }
    const route = routes[`${request.method} ${url.pathname}`]
    return send(route ? await route() : { status: 404, headers: {} })
  })
  process.send?.({ issuer })
}

function list(iss: string, cuts: [person: number, t: number, until: number][]): NewEvent {
  const cutoffs = cuts.map(([person, t, until]): CutoffRow => ['user', nameOf(person), t, 'access', until])
  return { type: EVENT.cutoffs, subject: { complex: { format: 'complex', tenant: { format: 'opaque', id: iss } } }, payload: { cutoffs } }
}

function single(iss: string, person: number, t: number, until: number): NewEvent {
  const user = { format: 'iss_sub', iss, sub: nameOf(person) } as const
  return {
    type: EVENT.sessionRevoked,
    subject: { simple: user, complex: { format: 'complex', user } },
    payload: { event_timestamp: t, caegis_until: until, initiating_entity: 'admin', reason_admin: { en: 'soak' } },
  }
}

if (import.meta.main) await main()
