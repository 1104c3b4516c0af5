import { EVENT } from '@caegis/protocol'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Loop, startLoop } from './loop.ts'

let loop: Loop
beforeAll(async () => {
  loop = await startLoop()
})
afterAll(() => loop.close())

it('a receiver may name people by their e-mail address, which the log does not know (SSF 1.0 section 8.1.3)', async () => {
  const token = await loop.daemonToken('files-api', 'ssf.read ssf.manage')
  const call = (url: string, body: object) =>
    fetch(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const base = `${loop.authority}/ssf`
  const made = await call(`${base}/streams`, { delivery: { method: 'urn:ietf:rfc:8936' }, events_requested: [EVENT.sessionRevoked] })
  const { stream_id, delivery } = (await made.json()) as { stream_id: string; delivery: { endpoint_url: string } }
  const subject = { format: 'email', email: 'ALICE@contoso.test' }
  expect((await call(`${base}/subjects/remove`, { stream_id, subject })).status).toBe(204)
  for (const name of ['alice', 'bob']) expect((await loop.graph('POST', `/users/${name}@contoso.test/revokeSignInSessions`)).status).toBe(200)

  const { sets } = (await (await call(delivery.endpoint_url, { returnImmediately: true })).json()) as { sets: Record<string, string> }
  const ids = Object.values(sets).map((jwt) => (decodeJwt(jwt).sub_id as { sub: string }).sub)
  const bob = (await (await loop.graph('GET', '/users/bob@contoso.test')).json()) as { id: string }
  expect(ids).toEqual([bob.id])

  // Who is nobody here is answered alike: the answer tells nobody who has an account.
  const unknown = await call(`${base}/subjects/remove`, { stream_id, subject: { format: 'email', email: 'nobody@contoso.test' } })
  expect(unknown.status).toBe(204)
})
