import { createServer, type Server } from 'node:https'
import { localTls } from '@caegis/server'
import { PUSH_METHOD } from '@caegis/ssf/transmitter'
import { decodeJwt } from 'jose'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Actor, ChangeContext } from '../packages/server/src/store/change.ts'
import { administrator, asPerson, CONFIRMED, daemon, emergency, ORGANIZATION, resume, STOPPED, stop, streams, tenantRow } from './emergency.ts'
import { claimsOf, eventually, type Loop, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

const SESSION_REVOKED = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'

describe('the emergency stop', () => {
  let loop: Loop
  beforeEach(async () => {
    loop = await startLoop()
  })
  afterEach(() => loop.close())

  const events = () => loop.server.store.db.selectFrom('events').selectAll().orderBy('seq').execute()

  it('asks for the name of the tenant, and for the permission', async () => {
    const admin = await administrator(loop)
    expect(await admin.call('GET', ORGANIZATION)).toMatchObject({
      status: 200,
      body: { id: loop.tenant, name: 'contoso', displayName: 'Contoso', state: 'running', stoppedDateTime: null },
    })
    for (const body of [
      undefined,
      {},
      { confirmation: '' },
      { confirmation: 'Contoso' },
      { confirmation: 'contoso ' },
      { confirmation: loop.tenant },
    ]) {
      const refused = await admin.call('POST', `${ORGANIZATION}/stop`, body)
      expect(refused, JSON.stringify(body)).toMatchObject({ status: 400, body: { error: { code: 'confirmationRequired' } } })
      expect(refused.body.error.message).toContain('{"confirmation": "contoso"}')
    }
    expect(await admin.call('POST', `${ORGANIZATION}/stop`, { ...CONFIRMED, force: true })).toMatchObject({ status: 400 })
    const alice = await asPerson(loop, loop.person('alice', { clientId: 'caegis-cli', scopes: [`${loop.origin}/.default`] }))
    for (const [method, path] of [
      ['GET', ''],
      ['POST', '/stop'],
      ['POST', '/resume'],
    ] as const) {
      const body = path === '/stop' ? CONFIRMED : undefined
      expect((await alice.call(method, ORGANIZATION + path, body)).status).toBe(403)
      // A daemon that was given users only.
      expect((await loop.graph(method, ORGANIZATION + path, body)).status).toBe(403)
    }
    expect(await tenantRow(loop)).toMatchObject({ stopped_at: null, seq: 0 })
  })

  it('is one change: one event about the tenant, by its administrator; a second one changes and publishes nothing, and so does a second resume', async () => {
    const before = Math.floor(Date.now() / 1000)
    const stopped = await stop(loop)
    expect(stopped.body).toMatchObject({ state: 'stopped', name: 'contoso', changed: true, txn: stopped.headers.get('caegis-txn') })
    expect(Date.parse(stopped.body.stoppedDateTime) / 1000).toBeGreaterThanOrEqual(before)
    const [event, ...others] = await events()
    expect(others).toEqual([])
    expect(event).toMatchObject({ type: SESSION_REVOKED, txn: stopped.body.txn })
    expect(JSON.parse(String(event?.subject))).toEqual({ complex: { format: 'complex', tenant: { format: 'opaque', id: loop.tenant } } })
    expect(JSON.parse(String(event?.payload))).toMatchObject({ initiating_entity: 'admin', reason_admin: { en: 'The tenant was stopped' } })

    const rescuer = await asPerson(loop, await emergency(loop))
    expect((await rescuer.call('GET', ORGANIZATION)).body).toMatchObject({ state: 'stopped', stoppedDateTime: stopped.body.stoppedDateTime })
    const again = await rescuer.call('POST', `${ORGANIZATION}/stop`, CONFIRMED, { prefer: 'wait=10' })
    expect(again).toMatchObject({ status: 200, body: { state: 'stopped', changed: false, stoppedDateTime: stopped.body.stoppedDateTime } })
    expect(again.body).not.toHaveProperty('proof')
    expect(await rescuer.call('POST', `${ORGANIZATION}/resume`)).toMatchObject({
      status: 200,
      body: { state: 'running', changed: true, stoppedDateTime: null },
    })
    expect(await rescuer.call('POST', `${ORGANIZATION}/resume`)).toMatchObject({ status: 200, body: { state: 'running', changed: false } })
    expect(await events()).toHaveLength(1)
  })

  it('the tenant says how long its tokens live, what it is called and for how long its logs are kept', async () => {
    await loop.guard()
    const admin = await administrator(loop)
    const usual = {
      tokenLifetimes: { ordinaryMinutes: { from: 60, to: 90 }, longLivedHours: { from: 20, to: 28 }, exceptionMinutes: 60 },
      logRetentionDays: 30,
    }
    expect((await admin.call('GET', ORGANIZATION)).body).toMatchObject({ ...usual, serverDefaults: usual })
    const tokenLifetimes = { ordinaryMinutes: { from: 7, to: 7 }, longLivedHours: { from: 2, to: 2 } }
    const changed = await admin.call('PATCH', ORGANIZATION, { displayName: 'Contoso <Ltd>', tokenLifetimes, logRetentionDays: 10 })
    expect(changed.body).toMatchObject({
      ...{ changed: true, txn: changed.headers.get('caegis-txn'), displayName: 'Contoso <Ltd>', logRetentionDays: 10, serverDefaults: usual },
      tokenLifetimes: { ...tokenLifetimes, exceptionMinutes: 60 },
    })
    const seconds = (token: string) => claimsOf(token).exp - claimsOf(token).iat
    expect(seconds(await loop.person('alice').signIn())).toBe(7200)
    expect(seconds(await loop.person('bob', { capabilities: [] }).signIn())).toBe(420)
    expect(seconds(await loop.daemonToken('nightly', 'api://files/.default'))).toBe(420)
    const query = new URLSearchParams({ client_id: 'files-native', response_type: 'code', scope: SCOPE, redirect_uri: 'http://localhost' })
    const page = await fetch(`${loop.authority}/oauth2/v2.0/authorize?${query}&code_challenge=${'a'.repeat(43)}&code_challenge_method=S256`)
    expect(await page.text()).toContain('Contoso &#60;Ltd&#62;</title>')

    const refused = await admin.call('PATCH', ORGANIZATION, { logRetentionDays: 31 })
    expect(refused).toMatchObject({ status: 400, body: { error: { message: expect.stringContaining('30 days at the most') } } })
    expect((await admin.call('PATCH', ORGANIZATION, { tokenLifetimes: { longLivedHours: { from: 20, to: 29 } } })).status).toBe(400)
    expect(await admin.call('GET', '/caegis/provisioning')).toMatchObject({
      status: 200,
      body: { scim: { endpoint: `${loop.authority}/scim/v2`, lastWriteDateTime: null, users: 0, groups: 0, applications: [] }, ldap: null },
    })
    // Alice, Bob and this administrator have signed in; of the server's own applications there are three.
    expect((await admin.call('GET', `${ORGANIZATION}/reach`)).body).toMatchObject({ users: 3, sessions: 3, applications: 7, streams: 1 })
    const { body: bob } = await admin.call('GET', '/users/bob@contoso.test')
    await admin.call('POST', '/users/bob@contoso.test/revokeSignInSessions')
    expect((await admin.call('GET', `/caegis/events?$filter=userId eq '${bob.id}'`)).body.value).toMatchObject([{ type: SESSION_REVOKED }])
    expect((await admin.call('GET', `/caegis/events?$filter=userId eq 'nobody' and txn eq 'x'`)).body.value).toEqual([])
    expect((await admin.call('GET', "/caegis/events?$filter=user eq 'x'")).status).toBe(400)
  })

  it("C3: the stop ends its author's own token, and carries the proof that the author could not ask for any more", async () => {
    await loop.guard()
    const admin = await administrator(loop)
    const answer = await admin.call('POST', `${ORGANIZATION}/stop`, CONFIRMED, { prefer: 'respond-async, wait=60' })
    expect(answer.headers.get('preference-applied')).toBe('wait=10')
    expect(answer.body).toMatchObject({ state: 'stopped', proof: { txn: answer.body.txn, receivers: [{ appId: 'files-api', complete: true }] } })
    expect((await admin.call('GET', ORGANIZATION)).status).toBe(401)
    expect((await admin.call('POST', `${ORGANIZATION}/resume`)).status).toBe(401)
  })

  it('answers when the time is over although a receiver has not heard it', async () => {
    let deaf = false
    await loop.guard({ fetch: (input, init) => (deaf ? Promise.reject(new TypeError('no network')) : fetch(input, init)) })
    deaf = true
    // The poll that is held brings this one; after it there is no other.
    await loop.graph('POST', '/users/bob@contoso.test/revokeSignInSessions')
    const answer = await stop(loop, { prefer: 'wait=1' })
    expect(answer.body).toMatchObject({ state: 'stopped', proof: { receivers: [{ complete: false, status: 'enabled' }] } })
    expect((await tenantRow(loop)).stopped_at).not.toBeNull()
  })
})

describe('C1: a stop does not silence the streams that carry it', () => {
  let loop: Loop
  let endpoint: { url: string; pushed: string[]; close(): void } | undefined
  beforeEach(async () => {
    loop = await startLoop({ environment: { CAEGIS_DIAL_ALLOW: 'localhost' } })
  })
  afterEach(async () => {
    endpoint?.close()
    endpoint = undefined
    await loop.close()
  })

  it('C1: a guard that follows denies every token at once and goes on listening, a push receiver is told, and a guard that comes later knows it too', async () => {
    // Polls are held for a third of that.
    const guard = await loop.guard({ maxStaleness: 3 })
    endpoint = await startEndpoint(loop)
    const streamToken = await loop.daemonToken('files-api', 'ssf.read ssf.manage')
    const created = await fetch(`${loop.authority}/ssf/streams`, {
      method: 'POST',
      headers: { authorization: `Bearer ${streamToken}`, 'content-type': 'application/json' },
      // A plain stream gets what concerns whole users; this one asks for complex subjects too.
      body: JSON.stringify({ delivery: { method: PUSH_METHOD, endpoint_url: endpoint.url }, caegis: { subjects: 'complex', alg: 'ES256' } }),
    })
    expect(created.status).toBe(201)
    const capable = await loop.person('alice').signIn()
    expect(claimsOf(capable)).toMatchObject({ xms_cc: ['cp1'] })
    const tokens = [capable, await loop.person('bob', { capabilities: [] }).signIn(), String((await daemon(loop)).body.access_token)]
    for (const token of tokens) expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })

    const { body } = await stop(loop, { prefer: 'wait=10' })
    expect(body.proof.receivers).toHaveLength(2)
    for (const receiver of body.proof.receivers) expect(receiver).toMatchObject({ complete: true })
    for (const token of tokens) expect(await verdictOf(guard, token)).toMatchObject({ allowed: false, status: 401, code: 'revoked' })
    const [pushed] = await eventually(
      () => (endpoint as { pushed: string[] }).pushed,
      (all) => all.length > 0,
      'the push',
    )
    expect(decodeJwt(pushed as string)).toMatchObject({ sub_id: { tenant: { id: loop.tenant } }, events: { [SESSION_REVOKED]: {} } })

    // The token from before is good at the streams, and new ones are to be had; for nothing else.
    expect((await streams(loop, streamToken)).status).toBe(200)
    expect((await streams(loop, await loop.daemonToken('files-api', 'ssf.read'))).status).toBe(200)
    for (const scope of ['ssf.read openid', 'ssf.read api://files/.default', '', 'ssf.write']) {
      const asked = { grant_type: 'client_credentials', client_id: 'files-api', client_secret: SECRET, scope }
      expect(await loop.token(asked), scope).toMatchObject(STOPPED)
    }
    const wrong = { grant_type: 'client_credentials', client_id: 'files-api', client_secret: 'x'.repeat(20), scope: 'ssf.read' }
    expect((await loop.token(wrong)).body).toMatchObject({ error: 'invalid_client' })
    const strange = { grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope: 'ssf.read' }
    expect((await loop.token(strange)).body).toMatchObject({ error: 'invalid_scope' })

    const late = await loop.guard({ maxStaleness: 3 })
    for (const token of tokens) expect(await verdictOf(late, token)).toMatchObject({ allowed: false, code: 'revoked' })
    // Heads that were read after the stop keep arriving, without a sync lost on the way.
    const since = Date.now() / 1000
    for (const one of [guard, late]) {
      await eventually(
        () => one.status(),
        ({ inSync, head }) => inSync && (head?.asOf ?? 0) > since,
        'a head from during the stop',
      )
    }

    await resume(loop)
    const fresh = await loop.person('alice').signIn()
    const next = String((await daemon(loop)).body.access_token)
    for (const one of [guard, late]) {
      for (const token of [fresh, next]) expect(await verdictOf(one, token)).toMatchObject({ allowed: true })
      for (const token of tokens) expect(await verdictOf(one, token)).toMatchObject({ allowed: false, code: 'revoked' })
    }
    await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
    for (const one of [guard, late]) {
      await eventually(
        () => verdictOf(one, fresh),
        ({ allowed }) => !allowed,
        'what happens after the stop',
      )
    }
    expect((await streams(loop, streamToken)).status).toBe(200)
  })

  it('C1: a held poll with a token from before the stop is answered with the stop', async () => {
    const token = await loop.daemonToken('files-api', 'ssf.read ssf.manage')
    const post = async (path: string, body: object) =>
      fetch(path.startsWith('https:') ? path : `${loop.authority}/ssf${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
    const made = await post('/streams', { delivery: { method: 'urn:ietf:rfc:8936' }, caegis: { subjects: 'complex', alg: 'ES256', guard: true } })
    const { delivery } = (await made.json()) as { delivery: { endpoint_url: string } }
    const held = post(delivery.endpoint_url, { returnImmediately: false })
    await stop(loop)
    const answer = await held
    expect(answer.status).toBe(200)
    const { sets } = (await answer.json()) as { sets: Record<string, string> }
    expect(Object.values(sets).map((set) => Object.keys(decodeJwt(set).events as object))).toEqual([[SESSION_REVOKED]])
    expect((await post(delivery.endpoint_url, { returnImmediately: true })).status).toBe(200)
  })

  it("C1: what ends an application's tokens ends its stream tokens, and no other's", async () => {
    const mine = await loop.daemonToken('files-api', 'ssf.read')
    const other = await loop.daemonToken('mail-api', 'ssf.read')
    await loop.server.store.commit({
      tenant: loop.tenant,
      actor: { kind: 'system', reason: 'test' },
      async edit({ publish }) {
        publish({
          type: 'https://schemas.openid.net/secevent/risc/event-type/account-disabled',
          subject: { complex: { format: 'complex', application: { format: 'opaque', id: 'files-api' } } },
          reason: 'test',
          cut: { kind: 'app', id: 'files-api', depth: 'sign-in' },
        })
      },
    })
    const denied = await eventually(
      () => streams(loop, mine),
      ({ status }) => status !== 200,
      'the refusal',
    )
    expect(denied.status).toBe(401)
    expect((await streams(loop, other)).status).toBe(200)
    await loop.server.store.db.updateTable('applications').set({ enabled: 0 }).where('app_id', '=', 'mail-api').execute()
    expect((await streams(loop, other)).status).toBe(401)
  })

  it('a token of the admin API opens no stream, and a stream token no admin API', async () => {
    expect((await streams(loop, await loop.daemonToken('nightly', `${loop.origin}/.default`))).status).toBe(401)
    const token = await loop.daemonToken('files-api', 'ssf.read')
    expect((await fetch(`${loop.origin}/v1.0/users`, { headers: { authorization: `Bearer ${token}` } })).status).toBe(401)
  })
})

describe('who began an event', () => {
  let loop: Loop
  beforeAll(async () => {
    loop = await startLoop()
  })
  afterAll(() => loop.close())

  it('an administrator when it is about others, a user when it is about their own account, a policy or the system when nobody asked', async () => {
    const last = async () => {
      const { payload } = await loop.server.store.db.selectFrom('events').select('payload').orderBy('seq', 'desc').limit(1).executeTakeFirstOrThrow()
      return JSON.parse(payload).initiating_entity
    }
    const admin = await administrator(loop)
    expect((await admin.call('POST', '/users/alice@contoso.test/revokeSignInSessions')).status).toBe(200)
    expect(await last()).toBe('admin')
    await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
    expect(await last()).toBe('admin')
    expect((await admin.call('POST', '/users/admin@contoso.test/revokeSignInSessions')).status).toBe(200)
    expect(await last()).toBe('user')
    const publish = async (actor: Actor) => {
      const edit = async ({ publish }: ChangeContext) =>
        publish({
          type: SESSION_REVOKED,
          subject: { complex: { format: 'complex', user: { format: 'iss_sub', iss: loop.issuer, sub: 'x' } } },
          reason: 'test',
        })
      await loop.server.store.commit({ tenant: loop.tenant, actor, edit })
    }
    await publish({ kind: 'policy', reason: 'a policy' })
    expect(await last()).toBe('policy')
    await publish({ kind: 'system', reason: 'refresh token reuse' })
    expect(await last()).toBe('system')
  })
})

/** A push receiver's endpoint over TLS. */
async function startEndpoint(loop: Loop): Promise<{ url: string; pushed: string[]; close(): void }> {
  const { cert, key } = await localTls(loop.data, Date.now())
  const pushed: string[] = []
  const server: Server = createServer({ cert, key }, (request, response) => {
    let body = ''
    request.on('data', (part) => {
      body += part
    })
    request.on('end', () => {
      pushed.push(body)
      response.writeHead(202).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  const { port } = server.address() as { port: number }
  return {
    url: `https://localhost:${port}/events`,
    pushed,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}
