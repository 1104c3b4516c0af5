import { generateKeyPairSync, sign } from 'node:crypto'
import { type Answer, createMemoryStore, createTransmitter } from '@caegis/ssf/transmitter'
import express, { type Response } from 'express'

const { BASE = 'http://localhost:3002', TOKEN = 'only-for-trying' } = process.env
const keys = { ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }), RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }) }
const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const store = createMemoryStore({ issuer: BASE })
const transmitter = createTransmitter({
  issuer: BASE,
  base: `${BASE}/ssf`,
  jwksUri: `${BASE}/keys`,
  store,
  async sign(payload, { typ, alg }) {
    const text = `${part({ typ, alg, kid: alg })}.${part(payload)}`
    return `${text}.${sign('sha256', Buffer.from(text), { key: keys[alg].privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  },
})

// Who calls, and for which audience: a real host reads that from the access token.
const caller = { receiver: 'demo', audience: 'urn:demo', scopes: new Set(['ssf.manage']) }
const send = (response: Response, { status, headers, body }: Answer) => void response.status(status).set(headers).send(body)
const app = express().use(express.json())
app.get('/.well-known/ssf-configuration', (_, response) => void response.json(transmitter.metadata()))
app.get('/keys', (_, response) => {
  response.json({ keys: Object.entries(keys).map(([alg, { publicKey }]) => ({ ...publicKey.export({ format: 'jwk' }), alg, kid: alg })) })
})
app.use((request, response, next) => void (request.headers.authorization === `Bearer ${TOKEN}` ? next() : response.sendStatus(401)))
app.get('/ssf/streams', async (request, response) => send(response, await transmitter.read(caller, request.query.stream_id as string | undefined)))
app.post('/ssf/streams', async (request, response) => send(response, await transmitter.create(caller, request.body)))
app.delete('/ssf/streams', async (request, response) => send(response, await transmitter.remove(caller, String(request.query.stream_id))))
app.post('/ssf/verify', async (request, response) => send(response, await transmitter.verify(caller, request.body)))
app.post('/ssf/poll/:stream', async (request, response) => {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  send(response, await transmitter.poll(caller, request.params.stream, request.body, gone.signal))
})
app.post('/revoke/:user', (request, response) => {
  const user = { format: 'iss_sub' as const, iss: BASE, sub: request.params.user }
  const subject = { simple: user, complex: { format: 'complex' as const, user } }
  store.commit({ type: 'https://schemas.openid.net/secevent/caep/event-type/session-revoked', subject, payload: { reason_admin: { en: 'revoked' } } })
  response.sendStatus(204)
})
app.listen(Number(new URL(BASE).port))
