import { createServer, type Server } from 'node:https'
import { localTls } from '@caegis/server'
import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { claimsOf, eventually, freePort, type Loop, PASSWORD, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

let loop: Loop
let receiver: Server
let answer = 200
let now = 0
const received: { contentType: string | undefined; token: string }[] = []

beforeAll(async () => {
  const port = await freePort()
  loop = await startLoop({
    now: () => Date.now() + now,
    environment: { CAEGIS_DIAL_ALLOW: 'localhost' },
    tenant: JSON.stringify({
      tenant: { name: 'contoso' },
      users: [{ userPrincipalName: 'alice@contoso.test', password: PASSWORD }],
      applications: [
        { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
        { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All'] },
        { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
        {
          ...{ appId: 'portal', type: 'web', redirectUris: ['https://portal.test/in'], permissions: [SCOPE], clientSecret: SECRET },
          ...{ backchannelLogoutUri: `https://localhost:${port}/signed-out`, backchannelLogoutSessionRequired: true },
        },
      ],
    }),
  })
  const { cert, key } = await localTls(loop.data, Date.now())
  receiver = createServer({ cert, key }, (request, response) => {
    let body = ''
    request.on('data', (part) => {
      body += part
    })
    request.on('end', () => {
      received.push({ contentType: request.headers['content-type'], token: String(new URLSearchParams(body).get('logout_token')) })
      response.writeHead(answer).end()
    })
  })
  await new Promise<void>((resolve) => receiver.listen(port, 'localhost', resolve))
})
afterAll(async () => {
  receiver.closeAllConnections()
  receiver.close()
  await loop.close()
})

it('a page that strangers look at leaves nothing for longer than an hour', async () => {
  for (const path of ['logout', 'device']) expect((await fetch(`${loop.authority}/oauth2/v2.0/${path}`)).status).toBe(200)
  const kept = loop.server.store.db.selectFrom('artifacts').select('expires_at').where('model', '=', 'Session')
  const before = await kept.execute()
  expect(before).toHaveLength(2)
  for (const { expires_at } of before) expect(expires_at).toBeLessThanOrEqual(loop.server.store.clock() + 3600)
  // Whoever signs in stays signed in.
  await createFlow(loop).tokens()
  expect(Math.max(...(await kept.execute()).map(({ expires_at }) => expires_at))).toBeGreaterThan(loop.server.store.clock() + 80 * 24 * 3600)
})

/** Signed in at two applications in one browser. */
async function signedIn() {
  const files = createFlow(loop)
  const first = await files.tokens()
  const portal = createFlow(loop, { clientId: 'portal', redirectUri: 'https://portal.test/in', browser: files.browser })
  const second = await portal.tokens({ client_secret: SECRET })
  return { files, portal, first, second }
}

const xsrfOf = (text: string) => text.match(/name="xsrf" value="([^"]*)"/)?.[1] as string
const signOut = async ({ browser }: ReturnType<typeof createFlow>, form: Record<string, string> = { logout: 'yes' }, query = '') => {
  const page = await browser.open(`${loop.authority}/oauth2/v2.0/logout${query}`)
  return browser.open(`${loop.authority}/oauth2/v2.0/logout/confirm`, { xsrf: xsrfOf(page.text), ...form })
}
const events = () => loop.server.store.db.selectFrom('events').selectAll().where('tenant', '=', loop.tenant).orderBy('seq').execute()

it('cuts the session at every API, for every application that it signed in', async () => {
  const guard = await loop.guard()
  const { files, portal, first, second } = await signedIn()
  const other = await createFlow(loop).tokens()
  for (const { accessToken } of [first, second, other]) expect((await verdictOf(guard, accessToken)).allowed).toBe(true)
  expect((await signOut(files)).text).toContain('You are signed out')
  for (const { accessToken } of [first, second]) {
    await eventually(
      async () => (await verdictOf(guard, accessToken)).allowed,
      (allowed) => !allowed,
    )
  }
  expect((await files.refresh(first.refreshToken)).status).toBe(400)
  expect((await portal.refresh(second.refreshToken, { client_secret: SECRET })).status).toBe(400)
  const event = (await events()).at(-1)
  const { sid, sub } = claimsOf(first.accessToken)
  const complex = { format: 'complex', user: { format: 'iss_sub', iss: loop.issuer, sub }, session: { format: 'opaque', id: sid } }
  expect(event?.type).toBe('https://schemas.openid.net/secevent/caep/event-type/session-revoked')
  expect(JSON.parse(String(event?.subject))).toEqual({ complex })
  expect(JSON.parse(String(event?.payload))).toMatchObject({ initiating_entity: 'user' })
  // Another browser of the same user is none of it.
  expect((await verdictOf(guard, other.accessToken)).allowed).toBe(true)
})

it('tells a client that asked for it, with a logout token that it can check', async () => {
  received.length = 0
  const { files, second } = await signedIn()
  await signOut(files)
  const [one] = await eventually(
    () => received,
    (all) => all.length > 0,
    'the logout token',
  )
  expect(one?.contentType).toBe('application/x-www-form-urlencoded')
  const keys = createLocalJWKSet((await (await fetch(`${loop.authority}/discovery/v2.0/keys`)).json()) as never)
  const { payload, protectedHeader } = await jwtVerify(String(one?.token), keys, { issuer: loop.issuer, audience: 'portal' })
  expect(protectedHeader.typ).toBe('logout+jwt')
  expect(payload).toMatchObject({ sub: claimsOf(second.accessToken).sub, sid: decodeJwt(second.idToken).sid, jti: expect.any(String) })
  expect(payload.events).toEqual({ 'http://schemas.openid.net/event/backchannel-logout': {} })
  expect(payload.sid).toBeTruthy()
  expect(payload).not.toHaveProperty('nonce')
  expect(received).toHaveLength(1)
})

it('happens also when the client cannot be told', async () => {
  received.length = 0
  answer = 500
  const guard = await loop.guard()
  const { files, second } = await signedIn()
  expect((await signOut(files)).status).toBe(200)
  await eventually(
    () => received.length,
    (count) => count === 1,
  )
  await eventually(
    async () => (await verdictOf(guard, second.accessToken)).allowed,
    (allowed) => !allowed,
  )
  answer = 200
})

it('does not happen by a form of somebody else, and not by opening the page', async () => {
  received.length = 0
  const guard = await loop.guard()
  const { files, first } = await signedIn()
  const before = (await events()).length
  await files.browser.open(`${loop.authority}/oauth2/v2.0/logout`)
  const forged = await files.browser.open(`${loop.authority}/oauth2/v2.0/logout/confirm`, { logout: 'yes', xsrf: 'a-guess' })
  expect(forged.status).toBe(400)
  expect((await events()).length).toBe(before)
  expect((await verdictOf(guard, first.accessToken)).allowed).toBe(true)
  expect((await files.refresh(first.refreshToken)).status).toBe(200)
  expect(received).toHaveLength(0)
})

it('tells the client also when an administrator ends the session, or all that the user has; never of a session that lives on', async () => {
  const { second } = await signedIn()
  const { second: other } = await signedIn()
  const sid = String(claimsOf(second.accessToken).sid)
  received.length = 0
  expect((await loop.graph('POST', `/caegis/sessions/${sid}/revoke`)).status).toBe(204)
  const [one] = await eventually(
    () => received,
    (all) => all.length > 0,
    'the logout token',
  )
  expect(decodeJwt(String(one?.token))).toMatchObject({ sub: claimsOf(second.accessToken).sub, sid: decodeJwt(second.idToken).sid, aud: 'portal' })
  const ofOthers = received.filter(({ token }) => decodeJwt(token).sid !== decodeJwt(second.idToken).sid)
  expect(ofOthers).toEqual([])
  received.length = 0
  expect((await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')).status).toBe(200)
  const told = () => received.map(({ token }) => decodeJwt(token).sid)
  await eventually(told, (all) => all.includes(decodeJwt(other.idToken).sid), 'the second logout token')
  // It heard of the first one already.
  expect(told()).not.toContain(decodeJwt(second.idToken).sid)
})

it('tells the client of a session that ends because a refresh token was copied', async () => {
  // What was just revoked is not signed in for in the same second.
  now += 2000
  const { files, first, second } = await signedIn()
  await files.refresh(first.refreshToken)
  received.length = 0
  now += 60_000
  expect((await files.refresh(first.refreshToken)).body).toMatchObject({ error: 'invalid_grant', suberror: 'bad_token' })
  const [one] = await eventually(
    () => received,
    (all) => all.length > 0,
    'the logout token',
  )
  expect(decodeJwt(String(one?.token)).sid).toBe(decodeJwt(second.idToken).sid)
})
