import { randomUUID } from 'node:crypto'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createDevices } from '../packages/server/src/directory/devices.ts'
import { createFlow } from './flow.ts'
import { claimsOf, eventually, holdNextMint, type Loop, PASSWORD, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

const TENANT = JSON.stringify({
  tenant: { name: 'contoso', displayName: 'Contoso' },
  users: ['admin', 'alice', 'bob'].map((one) => ({ userPrincipalName: `${one}@contoso.test`, displayName: one, password: PASSWORD })),
  applications: [
    {
      ...{ appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
      permissions: ['api://mail/Mail.Read'],
    },
    { appId: 'mail-api', identifierUris: ['api://mail'], scopes: ['Mail.Read'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/Device.ReadWrite.All', 'graph/User.RevokeSessions.All'] },
  ],
})
const system = { kind: 'system', reason: 'test' } as const

let loop: Loop
let laptop: Made
let phone: Made

interface Made {
  id: string
  key: CryptoKey
  /** What it proves itself with; more members of claims and header on demand. */
  word(claims?: Record<string, unknown>, header?: Record<string, unknown>): Promise<string>
}

async function make(displayName: string): Promise<Made> {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
  const { kty, crv, x, y } = await exportJWK(publicKey)
  const answer = await loop.graph('POST', '/devices', { displayName, publicKey: { kty, crv, x, y }, isCompliant: true, owner: 'alice@contoso.test' })
  const { id } = (await answer.json()) as { id: string }
  return { id, key: privateKey, word: (claims, header) => wordOf(id, privateKey, claims, header) }
}

function wordOf(id: string, key: CryptoKey, claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}): Promise<string> {
  const iat = Math.floor(Date.now() / 1000)
  return new SignJWT({ iss: id, sub: id, aud: loop.issuer, iat, exp: iat + 300, jti: randomUUID(), ...claims })
    .setProtectedHeader({ alg: 'ES256', typ: 'device+jwt', ...header })
    .sign(key)
}

/** A sign-in that begins with the device's word. */
const flowOn = async (device: Made | undefined, more: Parameters<typeof createFlow>[1] = {}) =>
  createFlow(loop, { ...more, more: { ...more?.more, ...(device ? { device_assertion: await device.word() } : {}) } })
const patch = async (id: string, body: object) => expect((await loop.graph('PATCH', `/devices/${id}`, body)).status).toBe(204)
const typesSince = async (seq: number) =>
  (await loop.server.store.db.selectFrom('events').select(['type', 'payload', 'subject']).where('seq', '>', seq).orderBy('seq').execute()).map(
    ({ type, payload, subject }) => ({ type: type.split('/').at(-1), payload: JSON.parse(payload), subject: JSON.parse(subject) }),
  )
const position = async () => (await loop.server.store.position(loop.tenant)).seq
const cutoffs = () => loop.server.store.db.selectFrom('cutoffs').select(['kind', 'id', 'depth']).execute()

beforeAll(async () => {
  loop = await startLoop({ tenant: TENANT })
  laptop = await make('laptop')
  phone = await make('phone')
})
afterAll(() => loop.close())

describe('a device that proves itself', () => {
  it('has its name in tokens, which the session and its refresh tokens remember', async () => {
    const flow = await flowOn(laptop)
    const { accessToken, refreshToken } = await flow.tokens()
    expect(claimsOf(accessToken)).toMatchObject({ deviceid: laptop.id })
    const next = (await flow.refresh(refreshToken)).body
    expect(claimsOf(String(next.access_token))).toMatchObject({ deviceid: laptop.id })
    expect(claimsOf(String((await flow.refresh(String(next.refresh_token))).body.access_token))).toMatchObject({ deviceid: laptop.id })
    // Another application in the same browser, which knows nothing of devices.
    const other = createFlow(loop, { browser: flow.browser, more: { prompt: 'none' } })
    expect(claimsOf((await other.tokens()).accessToken)).toMatchObject({ deviceid: laptop.id })
    const plain = createFlow(loop)
    expect(claimsOf((await plain.tokens()).accessToken)).not.toHaveProperty('deviceid')
  })

  it('may do so later, at the token endpoint, and a grant that is one device’s is no other’s', async () => {
    const flow = createFlow(loop)
    const { refreshToken } = await flow.tokens()
    const first = await flow.refresh(refreshToken, { device_assertion: await laptop.word() })
    expect(claimsOf(String(first.body.access_token))).toMatchObject({ deviceid: laptop.id })
    const token = String(first.body.refresh_token)
    expect(await flow.refresh(token, { device_assertion: await phone.word() })).toMatchObject({
      ...{ status: 400, body: { error: 'invalid_grant', suberror: 'bad_token' } },
    })
    expect((await flow.refresh(token)).status).toBe(200)
  })

  it('a copied browser session signs in anew on another device, and is that one’s then', async () => {
    const flow = await flowOn(laptop)
    await flow.tokens()
    const silent = await flowOn(phone, { browser: flow.browser, more: { prompt: 'none' } })
    expect((await silent.signIn()).searchParams.get('error')).toBe('login_required')
    // Nor did it become the other's by that.
    const still = createFlow(loop, { browser: flow.browser, more: { prompt: 'none' } })
    expect(claimsOf((await still.tokens()).accessToken)).toMatchObject({ deviceid: laptop.id })
    const open = await flowOn(phone, { browser: flow.browser })
    expect(claimsOf((await open.tokens()).accessToken)).toMatchObject({ deviceid: phone.id })
    const after = createFlow(loop, { browser: flow.browser, more: { prompt: 'none' } })
    expect(claimsOf((await after.tokens()).accessToken)).toMatchObject({ deviceid: phone.id })
    // Who signs in anew brings along what is proved, and not what the session was given to.
    const anew = createFlow(loop, { browser: flow.browser, more: { prompt: 'login' } })
    expect(claimsOf((await anew.tokens()).accessToken)).not.toHaveProperty('deviceid')
  })

  it('its word is good once, for this issuer, from its key, for five minutes', async () => {
    const flow = createFlow(loop)
    let { refreshToken } = await flow.tokens()
    const show = async (word: string) => {
      const answer = await flow.refresh(refreshToken, { device_assertion: word })
      if (answer.status === 200) refreshToken = String(answer.body.refresh_token)
      return answer
    }
    const now = Math.floor(Date.now() / 1000)
    const stranger = await generateKeyPair('ES256')
    const wrong = {
      foreign: await wordOf(laptop.id, stranger.privateKey),
      other: await wordOf(laptop.id, phone.key),
      aud: await laptop.word({ aud: 'https://elsewhere.test/v2.0' }),
      two: await laptop.word({ aud: [loop.issuer, 'https://elsewhere.test'] }),
      sub: await laptop.word({ sub: phone.id }),
      long: await laptop.word({ exp: now + 400 }),
      later: await laptop.word({ iat: now + 120, exp: now + 400 }),
      over: await laptop.word({ iat: now - 400, exp: now - 100 }),
      typ: await laptop.word({}, { typ: 'JWT' }),
      jti: await laptop.word({ jti: undefined }),
      iat: await laptop.word({ iat: undefined }),
      exp: await laptop.word({ exp: undefined }),
      list: await laptop.word({ iss: [laptop.id] as never }),
      object: await laptop.word({ iss: { id: laptop.id } as never }),
      truth: await laptop.word({ iss: true as never }),
      noise: 'noise',
      big: 'x'.repeat(5000),
      none: `${Buffer.from('{"alg":"none","typ":"device+jwt"}').toString('base64url')}.${(await laptop.word()).split('.')[1]}.`,
    }
    for (const [what, word] of Object.entries(wrong))
      expect({ what, ...(await show(word)) }).toMatchObject({ what, status: 400, body: { error: 'invalid_request', error_codes: [50155] } })
    const good = await laptop.word()
    expect(await show(good)).toMatchObject({ status: 200 })
    expect(await show(good)).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    const once = await laptop.word()
    const daemon = { grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope: `${loop.origin}/.default` }
    const both = await Promise.all([1, 2].map(() => loop.token({ ...daemon, device_assertion: once })))
    expect(both.map(({ status }) => status).sort()).toEqual([200, 400])
    const authorize = await createFlow(loop, { more: { device_assertion: good } }).signIn()
    expect(authorize.searchParams.get('error')).toBe('access_denied')
    expect(authorize.searchParams.get('code')).toBeNull()
    expect(await show(await wordOf('nobody', laptop.key))).toMatchObject({ body: { error_codes: [50155] } })
  })
})

describe('a device that is lost', () => {
  it('takes its own tokens along at every guard, and nothing of its user elsewhere; it is asked for nothing but a new sign-in once it is back', async () => {
    const guard = await loop.guard()
    const [lost, kept] = [await flowOn(laptop), await flowOn(phone)]
    const [on, elsewhere, bob] = [await lost.tokens(), await kept.tokens(), await (await flowOn(laptop, { username: 'bob@contoso.test' })).tokens()]
    for (const { accessToken } of [on, elsewhere, bob]) expect(await verdictOf(guard, accessToken)).toMatchObject({ allowed: true })
    const before = await position()
    await patch(laptop.id, { accountEnabled: false })
    for (const { accessToken } of [on, bob])
      await eventually(
        async () => (await verdictOf(guard, accessToken)).allowed,
        (allowed) => !allowed,
      )
    expect(await verdictOf(guard, elsewhere.accessToken)).toMatchObject({ allowed: true })
    expect(await typesSince(before)).toMatchObject([
      {
        type: 'device-compliance-change',
        payload: { previous_status: 'compliant', current_status: 'not-compliant', caegis_depth: 'sign-in' },
        subject: { complex: { format: 'complex', device: { format: 'opaque', id: laptop.id } } },
      },
    ])
    expect(await cutoffs()).toContainEqual({ kind: 'device', id: laptop.id, depth: 'sign-in' })

    const denied = await lost.refresh(on.refreshToken)
    expect(denied).toMatchObject({ status: 400, body: { error: 'invalid_grant', suberror: 'bad_token', error_codes: [135011] } })
    expect(await lost.refresh(elsewhere.refreshToken, { device_assertion: await laptop.word() })).toMatchObject({ body: { error_codes: [135011] } })
    expect((await kept.refresh(elsewhere.refreshToken)).status).toBe(200)
    const again = createFlow(loop, { browser: lost.browser, more: { prompt: 'none' } })
    expect((await again.signIn()).searchParams.get('error')).toBe('login_required')

    const then = await position()
    await patch(laptop.id, { accountEnabled: true })
    expect(await typesSince(then)).toMatchObject([{ type: 'device-compliance-change', payload: { current_status: 'compliant' } }])
    expect((await typesSince(then))[0]?.payload).not.toHaveProperty('caegis_until')
    // What it had stays dead: the refresh token and the browser's session are of before.
    expect(await lost.refresh(on.refreshToken)).toMatchObject({ status: 400, body: { error_codes: [50173] } })
    const silent = createFlow(loop, { browser: lost.browser, more: { prompt: 'none' } })
    expect((await silent.signIn()).searchParams.get('error')).toBe('login_required')
    const fresh = await (await flowOn(laptop, { browser: lost.browser })).tokens()
    expect(await verdictOf(guard, fresh.accessToken)).toMatchObject({ allowed: true })
    // A browser whose session was that device's is no prison: somebody may sign in there without it.
    await patch(laptop.id, { accountEnabled: false })
    const plain = await createFlow(loop, { browser: lost.browser }).tokens()
    expect(claimsOf(plain.accessToken)).not.toHaveProperty('deviceid')
    expect(await verdictOf(guard, plain.accessToken)).toMatchObject({ allowed: true })
    await patch(laptop.id, { accountEnabled: true })
  })

  it('that is not compliant any more costs one silent refresh', async () => {
    const guard = await loop.guard()
    const flow = await flowOn(laptop)
    const { accessToken, refreshToken } = await flow.tokens()
    await patch(laptop.id, { isCompliant: false })
    await eventually(
      async () => (await verdictOf(guard, accessToken)).allowed,
      (allowed) => !allowed,
    )
    const next = await flow.refresh(refreshToken)
    expect(await verdictOf(guard, String(next.body.access_token))).toMatchObject({ allowed: true })
    const before = await position()
    await patch(laptop.id, { isCompliant: true })
    await patch(laptop.id, { isCompliant: true, displayName: 'Laptop' })
    expect(await typesSince(before)).toMatchObject([{ payload: { previous_status: 'not-compliant', current_status: 'compliant' } }])
    expect(await verdictOf(guard, String(next.body.access_token))).toMatchObject({ allowed: true })
  })

  it('may be lost to one user alone', async () => {
    const guard = await loop.guard()
    const [hers, his] = [await flowOn(laptop), await flowOn(laptop, { username: 'bob@contoso.test' })]
    const [alice, bob] = [await hers.tokens(), await his.tokens()]
    const revoke = (id: string, user: string) => loop.graph('POST', `/caegis/devices/${id}/revoke`, { user })
    expect((await revoke(laptop.id, 'alice@contoso.test')).status).toBe(204)
    await eventually(
      async () => (await verdictOf(guard, alice.accessToken)).allowed,
      (allowed) => !allowed,
    )
    expect(await verdictOf(guard, bob.accessToken)).toMatchObject({ allowed: true })
    expect(await hers.refresh(alice.refreshToken)).toMatchObject({ status: 400, body: { error_codes: [50173] } })
    expect((await his.refresh(bob.refreshToken)).status).toBe(200)
    expect((await revoke(laptop.id, 'admin@contoso.test')).status).toBe(404)
    expect((await revoke(laptop.id, 'nobody@contoso.test')).status).toBe(404)
  })

  it('A4: a token that is being minted while its device is disabled never leaves', async () => {
    const flow = await flowOn(phone)
    const { refreshToken } = await flow.tokens()
    const commands = createDevices(loop.server.store, loop.tenant)
    const mint = holdNextMint(loop)
    const answer = flow.refresh(refreshToken)
    await mint.held
    await commands.update(system, phone.id, { enabled: false })
    mint.release()
    expect(await answer).toMatchObject({ status: 400, body: { error: 'invalid_grant', error_codes: [135011] } })
    await commands.update(system, phone.id, { enabled: true })

    const again = await flowOn(phone)
    const code = await again.code()
    const second = holdNextMint(loop)
    const redeemed = again.redeem(code)
    await second.held
    await commands.revokeUser(system, phone.id, String(claimsOf((await createFlow(loop).tokens()).accessToken).oid))
    second.release()
    expect(await redeemed).toMatchObject({ status: 400, body: { error_codes: [50173] } })
  })

  it('A3: ends a code, userinfo, what an API got on behalf of its user, and what introspection says', async () => {
    const lost = await make('tablet')
    const flow = await flowOn(lost)
    const { accessToken } = await flow.tokens()
    const obo = (assertion: string) =>
      loop.token({
        ...{ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', requested_token_use: 'on_behalf_of', assertion },
        ...{ client_id: 'files-api', client_secret: SECRET, scope: 'api://mail/Mail.Read' },
      })
    const derived = (await obo(accessToken)).body.access_token as string
    expect(claimsOf(derived)).toMatchObject({ deviceid: lost.id })
    const plain = (await obo((await createFlow(loop).tokens()).accessToken)).body.access_token as string
    expect(claimsOf(plain)).not.toHaveProperty('deviceid')
    const guard = await loop.guard({ audience: 'api://mail', clientId: 'mail-api' })
    expect(await verdictOf(guard, derived)).toMatchObject({ allowed: true })
    const introspect = async () => {
      const body = new URLSearchParams({ client_id: 'files-api', client_secret: SECRET, token: accessToken })
      return (await (await fetch(`${loop.authority}/oauth2/v2.0/introspect`, { method: 'POST', body })).json()) as { active: boolean }
    }
    expect(await introspect()).toMatchObject({ active: true })
    const session = await flowOn(lost, { scope: 'openid profile' })
    const bearer = (await session.tokens()).accessToken
    const userinfo = () => fetch(`${loop.authority}/openid/userinfo`, { headers: { authorization: `Bearer ${bearer}` } })
    expect((await userinfo()).status).toBe(200)
    const waiting = await flowOn(lost)
    const code = await waiting.code()

    expect((await loop.graph('DELETE', `/devices/${lost.id}`)).status).toBe(204)
    await eventually(
      async () => (await verdictOf(guard, derived)).allowed,
      (allowed) => !allowed,
    )
    expect(await waiting.redeem(code)).toMatchObject({ status: 400, body: { error: 'invalid_grant', suberror: 'bad_token', error_codes: [50155] } })
    expect((await userinfo()).status).toBe(401)
    expect(await introspect()).toMatchObject({ active: false })
    expect((await obo(accessToken)).status).toBe(400)
    expect((await loop.graph('GET', `/devices/${lost.id}`)).status).toBe(404)
    expect((await loop.graph('DELETE', `/devices/${lost.id}`)).status).toBe(404)
  })
})

describe('devices in the admin API and in a tenant file', () => {
  it('are listed page by page, read and refused as Graph does', async () => {
    const get = async (path: string) => (await loop.graph('GET', path)).json() as Promise<Record<string, unknown> & { value: { id: string }[] }>
    expect(await get(`/devices/${phone.id}`)).toMatchObject({ id: phone.id, deviceId: phone.id, accountEnabled: true, isCompliant: true })
    const first = await get('/devices?$top=1')
    expect(first.value).toHaveLength(1)
    const rest = await get(String(first['@odata.nextLink']).split('/v1.0')[1] as string)
    const ids = [...first.value, ...rest.value].map(({ id }) => id)
    expect(ids).toEqual([laptop.id, phone.id].sort().slice(0, ids.length))
    const found = async (query: string) => (await get(`/devices?${query}`)).value.map(({ id }) => id)
    const alice = (await get(`/devices/${phone.id}`)).owner
    expect(await get(`/devices/${phone.id}`)).toMatchObject({ ownerDisplayName: 'alice' })
    expect((await get(`/devices?$filter=owner eq '${alice}' and isCompliant eq true`)).value).toContainEqual(
      expect.objectContaining({ id: phone.id, ownerDisplayName: 'alice' }),
    )
    expect(await found(`$filter=owner eq 'nobody'`)).toEqual([])
    expect(await found(`$filter=startsWith(displayName,'PHO')&$orderby=approximateLastSignInDateTime desc`)).toContain(phone.id)
    await (await flowOn(phone)).tokens()
    const users = await get(`/devices/${phone.id}/registeredUsers`)
    expect(users.value).toMatchObject([
      { id: alice, displayName: 'alice', userPrincipalName: 'alice@contoso.test', lastUsedDateTime: expect.any(String) },
    ])
    const status = async (method: string, path: string, body?: unknown) => (await loop.graph(method, path, body)).status
    expect(await status('GET', '/devices/nobody/registeredUsers')).toBe(404)
    expect(await status('GET', '/devices?$filter=x')).toBe(400)
    expect(await status('PATCH', `/devices/${phone.id}`, {})).toBe(400)
    expect(await status('PATCH', '/devices/nobody', { isCompliant: true })).toBe(404)
    const { d, ...key } = await exportJWK((await generateKeyPair('ES256', { extractable: true })).privateKey)
    expect(await status('POST', '/devices', { displayName: 'one', publicKey: { ...key, d } })).toBe(400)
    expect(await status('POST', '/devices', { displayName: 'one', publicKey: key, owner: 'nobody@contoso.test' })).toBe(404)
  })

  it('only by who may', async () => {
    const reader = JSON.parse(TENANT)
    reader.applications[3].permissions = ['graph/Device.Read.All']
    await loop.server.apply(JSON.stringify(reader))
    expect((await loop.graph('GET', '/devices')).status).toBe(200)
    for (const [method, path, body] of [
      ['POST', '/devices', { displayName: 'x', publicKey: { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43) } }],
      ['PATCH', `/devices/${phone.id}`, { accountEnabled: false }],
      ['DELETE', `/devices/${phone.id}`, undefined],
      ['POST', `/caegis/devices/${phone.id}/revoke`, { user: 'alice@contoso.test' }],
    ] as const)
      expect({ method, status: (await loop.graph(method, path, body)).status }).toEqual({ method, status: 403 })
    reader.applications[3].permissions = ['graph/User.Read.All']
    await loop.server.apply(JSON.stringify(reader))
    expect((await loop.graph('GET', '/devices')).status).toBe(403)
    expect((await loop.graph('GET', `/devices/${phone.id}`)).status).toBe(403)
    await loop.server.apply(TENANT)
  })

  it('a file registers them; another key in it ends what the one before was given', async () => {
    const keys = [await generateKeyPair('ES256', { extractable: true }), await generateKeyPair('ES256', { extractable: true })]
    const file = async (key: CryptoKey, more: object = {}) => {
      const { kty, crv, x, y } = await exportJWK(key)
      const device = { deviceId: 'desk-1', displayName: 'Desk', user: 'bob@contoso.test', publicKey: { kty, crv, x, y }, ...more }
      return JSON.stringify({ ...JSON.parse(TENANT), devices: [device] })
    }
    await loop.server.apply(await file((keys[0] as CryptoKeyPair).publicKey))
    const flow = createFlow(loop, { more: { device_assertion: await wordOf('desk-1', (keys[0] as CryptoKeyPair).privateKey) } })
    const { accessToken, refreshToken } = await flow.tokens()
    expect(claimsOf(accessToken)).toMatchObject({ deviceid: 'desk-1' })
    const before = await position()
    await loop.server.apply(await file((keys[0] as CryptoKeyPair).publicKey))
    expect(await position()).toBe(before)
    const guard = await loop.guard()
    await loop.server.apply(await file((keys[1] as CryptoKeyPair).publicKey, { compliant: true }))
    await eventually(
      async () => (await verdictOf(guard, accessToken)).allowed,
      (allowed) => !allowed,
    )
    expect(await flow.refresh(refreshToken)).toMatchObject({ body: { error_codes: [50173] } })
    const old = createFlow(loop, { more: { device_assertion: await wordOf('desk-1', (keys[0] as CryptoKeyPair).privateKey) } })
    expect((await old.signIn()).searchParams.get('error')).toBe('access_denied')
    // An id stays what it was, also when the device is gone.
    expect((await loop.graph('DELETE', '/devices/desk-1')).status).toBe(204)
    await expect(loop.server.apply(await file((keys[1] as CryptoKeyPair).publicKey))).rejects.toMatchObject({ code: 'device_exists' })
  })
})
