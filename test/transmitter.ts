import { createServer } from 'node:https'
import { EVENT } from '@caegis/protocol'
import { localTls } from '@caegis/server'
import { type Answer, createMemoryStore, createPusher, createTransmitter } from '@caegis/ssf/transmitter'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { trustLocalCa } from '../packages/cli/src/trust.ts'

type Keys = Record<'ES256' | 'RS256', Awaited<ReturnType<typeof generateKeyPair>>>

export const TOKEN = 'a-token-that-somebody-was-given'

/** Somebody else's transmitter over TLS, made of nothing but the package, with a place to tamper with what it signs. */
export async function startTransmitter(data: string, { audience = 'urn:caegis:contoso' } = {}) {
  const { cert, key } = await localTls(data, Date.now())
  trustLocalCa(data)
  const keys: Keys = { ES256: await generateKeyPair('ES256'), RS256: await generateKeyPair('RS256') }
  const server = createServer({ cert, key })
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  const issuer = `https://localhost:${(server.address() as { port: number }).port}`
  const store = createMemoryStore({ issuer })
  const caller = { receiver: 'caegis', audience, scopes: new Set(['ssf.read', 'ssf.manage']) }
  const host = {
    ...{ issuer, store, audience },
    /** Changes the claims of what is signed. */
    tamper: (claims: Record<string, unknown>) => claims,
    /** Requests as they came. */
    asked: [] as string[],
    /** Answers instead, with a status. */
    intercept: undefined as ((path: string) => number | undefined) | undefined,
    tell(type: string, subject: object, payload: object = {}, more: object = {}) {
      const [row] = store.commit({ type, subject: { simple: subject, complex: subject } as never, payload: payload as never, ...more })
      return row as { id: string; txn: string }
    },
    async close() {
      await pusher.close()
      server.closeAllConnections()
      server.close()
    },
  }
  const options = {
    ...{ issuer, base: `${issuer}/ssf`, jwksUri: `${issuer}/keys`, store, push: true as const, limits: { verification: 0 } },
    events: Object.values(EVENT),
    sign: (claims: Record<string, unknown>, { typ, alg }: { typ: string; alg: 'ES256' | 'RS256' }) =>
      new SignJWT(host.tamper(structuredClone(claims))).setProtectedHeader({ typ, alg, kid: alg }).sign(keys[alg].privateKey),
  }
  const transmitter = createTransmitter(options)
  const pusher = createPusher({
    ...options,
    async send({ url, headers, body, signal }) {
      const response = await fetch(url, { method: 'POST', headers, body: body ?? null, signal })
      return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() }
    },
  })
  server.on('request', async (request, response) => {
    const url = new URL(request.url as string, issuer)
    let text = ''
    for await (const part of request) text += part
    host.asked.push(`${request.method} ${url.pathname}`)
    const gone = new AbortController()
    response.once('close', () => gone.abort('over'))
    const send = ({ status, headers, body }: Answer) => response.writeHead(status, headers).end(body === undefined ? undefined : JSON.stringify(body))
    const instead = host.intercept?.(url.pathname)
    if (instead !== undefined) return send({ status: instead, headers: {} })
    const json = (body: unknown) => send({ status: 200, headers: { 'content-type': 'application/json' }, body: body as never })
    if (url.pathname === '/.well-known/ssf-configuration') {
      // Nothing of ours: SSF 1.0 alone.
      return json(Object.fromEntries(Object.entries(transmitter.metadata()).filter(([name]) => !name.startsWith('caegis_'))))
    }
    if (url.pathname === '/keys') {
      const all = Object.entries(keys).map(async ([alg, { publicKey }]) => ({ ...(await exportJWK(publicKey)), alg, kid: alg, use: 'sig' }))
      return json({ keys: await Promise.all(all) })
    }
    if (request.headers.authorization !== `Bearer ${TOKEN}`) return send({ status: 401, headers: {} })
    const body = text === '' ? undefined : JSON.parse(text)
    const id = url.searchParams.get('stream_id') ?? undefined
    const polled = url.pathname.split('/poll/')[1]
    if (polled !== undefined) return send(await transmitter.poll(caller, polled, body, gone.signal))
    const routes: Record<string, () => Promise<Answer>> = {
      'GET /ssf/streams': () => transmitter.read(caller, id),
      'POST /ssf/streams': () => transmitter.create(caller, body),
      'PATCH /ssf/streams': () => transmitter.update(caller, body),
      'PUT /ssf/streams': () => transmitter.replace(caller, body),
      'DELETE /ssf/streams': () => transmitter.remove(caller, id),
      'GET /ssf/status': () => transmitter.status(caller, id),
      'POST /ssf/status': () => transmitter.updateStatus(caller, body),
      'POST /ssf/verify': () => transmitter.verify(caller, body),
    }
    const route = routes[`${request.method} ${url.pathname}`]
    send(route ? await route() : { status: 404, headers: {} })
  })
  return host
}

export type ForeignTransmitter = Awaited<ReturnType<typeof startTransmitter>>
