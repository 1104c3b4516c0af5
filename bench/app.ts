import { createHash, createPublicKey, type JsonWebKey } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createGuard, createStaticKeys, type Sink } from '@caegis/guard'
import { protect as protectExpress } from '@caegis/guard/express'
import { protect as protectFastify } from '@caegis/guard/fastify'
import express from 'express'
import fastify from 'fastify'
import { jwtVerify } from 'jose'

/** What an application in a process of its own is to be. */
export interface AppStart {
  framework: 'express' | 'fastify' | 'introspection'
  auth: 'none' | 'jose' | 'guard'
  jwk: JsonWebKey
  issuer: string
  audience: string
  cutoffs: number
}

const ANSWER = { id: 42, name: 'report.txt' }

async function main({ framework, auth, jwk, issuer, audience, cutoffs }: AppStart): Promise<number> {
  const key = createPublicKey({ key: jwk, format: 'jwk' })
  const options = { issuer, audience, algorithms: ['ES256'] }
  const guard = auth === 'guard' ? await startGuard() : undefined
  const verify = async (header: string | undefined) => {
    const { payload } = await jwtVerify((header ?? '').slice('Bearer '.length), key, options)
    return payload
  }
  if (framework === 'introspection') return introspection()
  if (framework === 'express') {
    const app = express()
    if (guard) app.use(protectExpress(guard))
    if (auth === 'jose') {
      app.use((request, response, next) => {
        verify(request.headers.authorization).then(
          () => next(),
          () => response.sendStatus(401),
        )
      })
    }
    app.get('/files/42', (_, response) => void response.json(ANSWER))
    return new Promise((resolve) => {
      const server = app.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
    })
  }
  const app = fastify()
  if (guard) app.register(protectFastify(guard))
  if (auth === 'jose') {
    app.addHook('onRequest', async (request, reply) => {
      await verify(request.headers.authorization).catch(() => reply.code(401).send())
    })
  }
  app.get('/files/42', async () => ANSWER)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return (app.server.address() as AddressInfo).port

  /** As a real one is at its best: it knows the token by its digest, and says what it says (RFC 7662). */
  function introspection(): Promise<number> {
    const body = JSON.stringify({
      active: true,
      iss: issuer,
      aud: audience,
      sub: 'alice',
      scope: 'Files.Read',
      exp: Math.floor(Date.now() / 1000) + 3600,
    })
    const server = createServer({ keepAliveTimeout: 60_000 }, async (request, response) => {
      let form = ''
      for await (const part of request) form += part
      createHash('sha256')
        .update(new URLSearchParams(form).get('token') ?? '')
        .digest()
      response.setHeader('content-type', 'application/json').end(body)
    })
    return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)))
  }

  async function startGuard() {
    const source = {
      start(sink: Sink) {
        const t = Math.floor(Date.now() / 1000)
        sink.merge(
          Array.from({ length: cutoffs }, (_, i) => ({ issuer, kind: 'user', id: `other-${i}`, t, depth: 'access', until: t + 90_000 }) as const),
        )
        sink.synced({ epoch: 'e', seq: cutoffs, asOf: Date.now() / 1000, status: 'enabled' })
      },
      close: async () => {},
    }
    const made = createGuard({
      issuer,
      audience,
      source,
      keys: createStaticKeys({ [issuer]: { keys: [{ ...jwk, kid: 'k1' }] } }),
      maxStaleness: 3600,
    })
    await made.ready()
    return made
  }
}

if (import.meta.main) {
  process.once('message', async (start: AppStart) => process.send?.(await main(start)))
  process.once('disconnect', () => process.exit(0))
}
