import { readClaimsChallenge } from '@caegis/protocol'
import { decodeProtectedHeader } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { administrator, asPerson } from './emergency.ts'
import { createFlow } from './flow.ts'
import { createForge } from './forge.ts'
import { claimsOf, eventually, type Loop, SECRET, startLoop, verdictOf } from './loop.ts'
import { killPrograms, runProgram } from './process.ts'

const DAY = 24 * 3600
const LEAD = 1200

interface Key {
  id: string
  alg: string
  state: string
  activeFromDateTime: string
}

const kidOf = (token: string) => decodeProtectedHeader(token).kid as string
const stepUp = (iat: number) => JSON.stringify({ access_token: { nbf: { essential: true, value: String(iat) } } })

/** The `kid`s that anybody can read. */
async function published(loop: Loop): Promise<string[]> {
  const response = await fetch(`${loop.authority}/discovery/v2.0/keys`)
  expect(response.headers.get('etag')).toBeTruthy()
  expect(response.headers.get('cache-control')).toBe('public, max-age=600')
  const { keys } = (await response.json()) as { keys: Record<string, string>[] }
  for (const key of keys) for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi']) expect(key).not.toHaveProperty(secret)
  return keys.map(({ kid }) => kid as string)
}

describe('rotation', () => {
  let loop: Loop | undefined
  let ahead = 0
  const now = () => Date.now() + ahead * 1000
  const daemonKid = async () => kidOf(await (loop as Loop).daemonToken('nightly', 'api://files/.default'))
  afterEach(async () => {
    await loop?.close()
    loop = undefined
    ahead = 0
  })

  it('E2: a key is published longer than anybody may cache the keys before it signs, and as long as it vouches for something', async () => {
    loop = await startLoop({ now, environment: { CAEGIS_KEY_ROTATION: '30' } })
    const first = await published(loop)
    expect(first).toHaveLength(2)
    const old = await daemonKid()
    expect(first).toContain(old)
    await loop.server.tidy()
    expect(await published(loop)).toEqual(first)

    // Its time is over: a successor is shown, and does not sign before the lead is over.
    ahead = 30 * DAY - LEAD + 5
    await loop.server.tidy()
    const both = await published(loop)
    expect(both).toHaveLength(4)
    expect(both).toEqual(expect.arrayContaining(first))
    expect(await daemonKid()).toBe(old)
    await loop.server.tidy()
    expect(await published(loop)).toHaveLength(4)
    ahead += LEAD - 60
    expect(await daemonKid()).toBe(old)
    const guard = await loop.guard({ now })
    const last = (await createFlow(loop).tokens()).accessToken
    expect(kidOf(last)).toBe(old)
    expect(await verdictOf(guard, last)).toMatchObject({ allowed: true })

    // Nobody has to switch anything: who signs follows from the clock.
    ahead += 120
    const flow = createFlow(loop)
    const { accessToken, idToken, refreshToken } = await flow.tokens()
    const young = kidOf(accessToken)
    expect(both).toContain(young)
    expect(young).not.toBe(old)
    expect(kidOf(idToken)).toBe(young)
    expect(await verdictOf(guard, accessToken)).toMatchObject({ allowed: true })
    expect(await verdictOf(guard, last)).toMatchObject({ allowed: true })
    expect(kidOf(String((await flow.refresh(refreshToken)).body.access_token))).toBe(young)
    // The streams are signed by it too.
    await loop.graph('PATCH', '/users/alice@contoso.test', { accountEnabled: false })
    await eventually(
      () => verdictOf(guard, last),
      (verdict) => !verdict.allowed,
    )

    ahead += 27 * 3600
    await loop.server.tidy()
    expect(await published(loop)).toHaveLength(4)
    ahead += 2 * 3600
    await loop.server.tidy()
    expect((await published(loop)).sort()).toEqual(both.filter((kid) => !first.includes(kid)).sort())
    expect(await daemonKid()).toBe(young)
  })

  it('a restart in the middle of it goes on with it', async () => {
    loop = await startLoop({ now })
    const admin = await administrator(loop)
    await admin.call('POST', '/caegis/keys/rotate')
    const before = ((await admin.call('GET', '/caegis/keys')).body as { value: Key[] }).value
    const { loadKeys } = await import('../packages/server/src/issuer/keys.ts')
    const { createSecrets } = await import('../packages/server/src/store/secrets.ts')
    // Another process over the same table: the same keys, the same moment.
    const other = await loadKeys(loop.server.store, createSecrets(loop.settings.keySecret.value), loop.tenant)
    const next = before.find((key) => key.alg === 'ES256' && key.state === 'next') as Key
    const sign = () => kidOf(other.sign({}, { typ: 'JWT', alg: 'ES256' }))
    expect(sign()).toBe(await daemonKid())
    expect(sign()).not.toBe(next.id)
    ahead = LEAD + 1
    expect(sign()).toBe(next.id)
    expect(await daemonKid()).toBe(next.id)
  })
})

describe('what everybody may read of an issuer', () => {
  let loop: Loop
  let admin: Awaited<ReturnType<typeof administrator>>
  beforeAll(async () => {
    loop = await startLoop()
    admin = await administrator(loop)
  })
  afterAll(() => loop.close())

  it('is kept by caches, asked for again without being sent again, and read by any page', async () => {
    const { authority, origin } = loop
    const places: [string, string][] = [
      [`${authority}/discovery/v2.0/keys`, 'application/jwk-set+json'],
      [`${authority}/v2.0/.well-known/openid-configuration`, 'application/json'],
      [`${authority}/.well-known/openid-configuration`, 'application/json'],
      [`${origin}/.well-known/oauth-authorization-server/contoso/v2.0`, 'application/json'],
      [`${origin}/.well-known/ssf-configuration/contoso/v2.0`, 'application/json'],
    ]
    for (const [url, type] of places) {
      const first = await fetch(url, { headers: { origin: 'https://app.test' } })
      expect(first.status, url).toBe(200)
      expect(first.headers.get('content-type')).toContain(type)
      expect(first.headers.get('cache-control')).toBe('public, max-age=600')
      expect(first.headers.get('access-control-allow-origin')).toBe('*')
      expect(first.headers.get('set-cookie')).toBeNull()
      const etag = first.headers.get('etag') as string
      expect(etag).toMatch(/^"[\w-]{43}"$/)
      const text = await first.text()
      expect(JSON.parse(text)).toBeTypeOf('object')
      const again = await fetch(url, { headers: { 'if-none-match': `"other", W/${etag}` } })
      expect([again.status, await again.text(), again.headers.get('etag'), again.headers.get('cache-control')]).toEqual([
        304,
        '',
        etag,
        'public, max-age=600',
      ])
      const other = await fetch(url, { headers: { 'if-none-match': '"other"' } })
      expect([other.status, await other.text()]).toEqual([200, text])
    }
    const [openid, oauth] = await Promise.all([places[1], places[3]].map(async (one) => (await fetch((one as [string, string])[0])).json()))
    expect(oauth).toEqual(openid)
    expect(openid).toMatchObject({ issuer: loop.issuer })
    for (const path of ['nobody/v2.0', 'contoso', 'contoso/v2.0/x']) {
      expect((await fetch(`${origin}/.well-known/oauth-authorization-server/${path}`)).status).toBe(404)
    }
  })

  it('E2: a node may show for seconds what another has removed, and to nobody who was told of it', async () => {
    const { loadKeys } = await import('../packages/server/src/issuer/keys.ts')
    const { showKeys } = await import('../packages/server/src/issuer/shown-keys.ts')
    const { createSecrets } = await import('../packages/server/src/store/secrets.ts')
    const other = await loadKeys(loop.server.store, createSecrets(loop.settings.keySecret.value), loop.tenant)
    const kids = async (query = '', headers = {}) => {
      const { body } = await showKeys(other, { query, headers })
      return (JSON.parse(body) as { keys: { kid: string }[] }).keys.map(({ kid }) => kid)
    }
    const remove = async () => {
      const [{ kid } = { kid: '' }] = await loop.server.store.db.selectFrom('keys').select('kid').where('alg', '=', 'RS256').execute()
      expect((await admin.call('DELETE', `/caegis/keys/${kid}`)).status).toBe(204)
      return kid
    }
    expect(other.age()).toBeLessThan(Number.POSITIVE_INFINITY)
    const first = await remove()
    expect(await kids('', { 'cache-control': 'no-cache' })).not.toContain(first)
    expect(await kids()).not.toContain(first)
    const second = await remove()
    expect(await kids('?past=1')).not.toContain(second)
    expect((await showKeys(other, { query: '?past=2', headers: {} })).headers['cache-control']).toBe('no-store')
    // As old as they may get: looked at again by themselves.
    const third = await remove()
    other.age = () => 5001
    expect(await kids()).not.toContain(third)
  })

  it('E2: of two looks into the table the later one counts, whichever ends first', async () => {
    const { loadKeys } = await import('../packages/server/src/issuer/keys.ts')
    const { createSecrets } = await import('../packages/server/src/store/secrets.ts')
    const gates: { promise: Promise<void>; resolve(): void }[] = []
    const { db } = loop.server.store
    let slow = false
    const held = {
      ...loop.server.store,
      db: new Proxy(db, {
        get(target, name) {
          if (name !== 'selectFrom' || !slow) return Reflect.get(target, name).bind(target)
          return () => ({
            selectAll: () => ({
              where: () => ({
                async execute() {
                  const rows = await target.selectFrom('keys').selectAll().where('tenant', '=', loop.tenant).execute()
                  const gate = Promise.withResolvers<void>()
                  gates.push(gate)
                  await gate.promise
                  return rows
                },
              }),
            }),
          })
        },
      }),
    }
    const other = await loadKeys(held as never, createSecrets(loop.settings.keySecret.value), loop.tenant)
    const kid = String(other.public[0]?.kid)
    slow = true
    const early = other.reload()
    await eventually(
      () => gates.length,
      (count) => count === 1,
    )
    expect((await admin.call('DELETE', `/caegis/keys/${kid}`)).status).toBe(204)
    const late = other.reload()
    await eventually(
      () => gates.length,
      (count) => count === 2,
    )
    gates[1]?.resolve()
    await late
    gates[0]?.resolve()
    await early
    expect(other.public.map((key) => key.kid)).not.toContain(kid)
  })
})

describe('the keys of a tenant, by command', () => {
  let loop: Loop
  beforeAll(async () => {
    loop = await startLoop({
      tenant: JSON.stringify({
        tenant: { name: 'contoso', displayName: 'Contoso' },
        users: [
          { userPrincipalName: 'admin@contoso.test', displayName: 'Admin', password: 'correct horse battery', roles: ['admin'] },
          { userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: 'correct horse battery' },
        ],
        applications: [
          { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
          { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: ['api://files/Files.Read'] },
          { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/Organization.ReadWrite.All', 'graph/User.ReadWrite.All'] },
          { appId: 'reader', type: 'daemon', clientSecret: SECRET, permissions: ['graph/Organization.Read.All'] },
        ],
      }),
    })
  })
  afterAll(async () => {
    await killPrograms()
    await loop.close()
  })
  const keys = async () => ((await (await loop.graph('GET', '/caegis/keys')).json()) as { value: Key[] }).value
  const active = async (alg = 'ES256') => (await keys()).find((key) => key.alg === alg && key.state === 'active') as Key

  it('asks for the permission, and knows its keys', async () => {
    const { id } = await active()
    const reader = await loop.daemonToken('reader', `${loop.origin}/.default`)
    const asReader = (method: string, path: string) =>
      fetch(`${loop.origin}/v1.0/caegis/keys${path}`, { method, headers: { authorization: `Bearer ${reader}` } })
    expect((await asReader('GET', '')).status).toBe(200)
    expect((await asReader('POST', '/rotate')).status).toBe(403)
    expect((await asReader('DELETE', `/${id}`)).status).toBe(403)
    const alice = await asPerson(loop, loop.person('alice', { clientId: 'caegis-cli', scopes: [`${loop.origin}/.default`] }))
    expect((await alice.call('GET', '/caegis/keys')).status).toBe(403)
    expect((await loop.graph('DELETE', '/caegis/keys/nobody-has-this')).status).toBe(404)
    expect(await active()).toMatchObject({ id })
    // What is stored is sealed.
    const [row] = await loop.server.store.db.selectFrom('keys').select(['sealed', 'public']).where('kid', '=', id).execute()
    expect(Buffer.from(row?.sealed as Uint8Array).toString('latin1')).not.toContain(id)
    expect(JSON.parse(row?.public as string)).not.toHaveProperty('d')
  })

  it('E2: a removed key vouches for nothing: neither what was seen with it, nor what a thief signs with any iat, at the API or at the server', async () => {
    const guard = await loop.guard()
    const alice = loop.person('alice')
    const token = await alice.signIn()
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })
    const forge = await createForge(loop)
    expect(forge.kid).toBe((await active()).id)
    const { iat, exp } = claimsOf(token)
    const forged = () =>
      [-3600, 0, 1, 50].map((later) => forge.like(token, { iat: iat + later, nbf: iat - 4000, exp: exp - 3600, jti: `forged ${later}` }))
    // What the thief makes is good, which is what makes this a threat: no cutoff could reach it.
    for (const one of forged()) expect(await verdictOf(guard, one)).toMatchObject({ allowed: true })
    const daemon = await loop.daemonToken('nightly', `${loop.origin}/.default`)
    const asAdmin = (bearer: string) => fetch(`${loop.origin}/v1.0/caegis/keys`, { headers: { authorization: `Bearer ${bearer}` } })
    expect((await asAdmin(forge.like(daemon, { jti: 'forged' }))).status).toBe(200)

    const removed = await loop.graph('DELETE', `/caegis/keys/${forge.kid}`)
    expect(removed.status).toBe(204)
    expect(removed.headers.get('caegis-txn')).toBeTruthy()
    // Asked of anybody, at once.
    expect(await published(loop)).not.toContain(forge.kid)
    const denied = await eventually(
      () => verdictOf(guard, token),
      (verdict) => !verdict.allowed,
    )
    expect(denied).toMatchObject({ status: 401, code: 'token_key' })
    for (const one of [...forged(), forge.like(token, { iat: iat + 30, jti: 'never seen' })]) {
      expect(await verdictOf(guard, one)).toMatchObject({ allowed: false, code: 'token_key' })
    }
    // The server's own guard follows too, without a restart.
    await eventually(
      async () => (await asAdmin(daemon)).status,
      (status) => status === 401,
    )
    expect((await asAdmin(forge.like(daemon, { jti: 'forged again' }))).status).toBe(401)

    // An honest client gets over it by itself: nobody signs in again.
    if (denied.allowed) throw new Error('unreachable')
    const challenge = readClaimsChallenge(denied.headers['WWW-Authenticate'])
    const fresh = await alice.silent(challenge?.claims)
    expect(kidOf(fresh)).toBe((await active()).id)
    expect(await verdictOf(guard, fresh)).toMatchObject({ allowed: true })

    // And the guard still hears: what it is told from here on is signed by the successor.
    expect((await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')).status).toBe(200)
    await eventually(
      () => verdictOf(guard, fresh),
      (verdict) => !verdict.allowed && verdict.code === 'revoked',
    )
    expect(guard.status()).toMatchObject({ inSync: true })
  })

  it('E2: the event is one of the log about the tenant, and cuts nobody off', async () => {
    await loop.graph('DELETE', `/caegis/keys/${(await active('RS256')).id}`)
    const row = await loop.server.store.db
      .selectFrom('events')
      .selectAll()
      .where('type', '=', 'urn:caegis:event:keys-changed')
      .orderBy('seq', 'desc')
      .executeTakeFirstOrThrow()
    expect(JSON.parse(row.subject)).toEqual({ complex: { format: 'complex', tenant: { format: 'opaque', id: loop.tenant } } })
    expect(JSON.parse(row.payload)).toMatchObject({ initiating_entity: 'admin', reason_admin: { en: 'A signing key was removed' } })
    expect(await loop.server.store.db.selectFrom('cutoffs').selectAll().where('kind', '=', 'tenant').execute()).toEqual([])
  })

  it('caegis keys: lists them, rotates once, and lets a waiting successor take over', async () => {
    const start = (...args: string[]) => {
      const env = {
        CAEGIS_DATA: loop.data,
        CAEGIS_ORIGIN: loop.origin,
        CAEGIS_TENANT: 'contoso',
        CAEGIS_CLIENT_ID: 'nightly',
        CAEGIS_CLIENT_SECRET: SECRET,
      }
      return runProgram(['keys', ...args], { env })
    }
    const run = async (...args: string[]) => {
      const ended = await start(...args)
      expect(ended, ended.stderr).toMatchObject({ code: 0 })
      return ended.stdout
    }
    expect(JSON.parse(await run('ls', '--json'))).toEqual(await keys())
    const rotated = JSON.parse(await run('rotate', '--json')) as { created: string[]; keys: Key[]; txn: string }
    expect(rotated.created).toHaveLength(2)
    expect(JSON.parse(await run('rotate', '--json'))).toMatchObject({ created: [] })
    const next = (await keys()).find((key) => key.alg === 'ES256' && key.state === 'next') as Key
    expect(Date.parse(next.activeFromDateTime) / 1000 - Date.now() / 1000).toBeGreaterThan(LEAD - 60)
    expect(await run('ls')).toMatch(new RegExp(`^${next.id} {2}ES256 +next `, 'm'))
    const { id } = await active()
    // A key that is named once only, or not the same twice, stays.
    const alone = await start('remove', id)
    expect(alone).toMatchObject({ code: 8, stdout: '', stderr: `Nobody is there to ask. To go on, add: --confirm ${id} (not_confirmed)\n` })
    expect(await start('remove', id, '--confirm', next.id)).toMatchObject({ code: 8, stdout: '', stderr: expect.stringContaining('(not_confirmed)') })
    expect(await active()).toMatchObject({ id })
    expect(await run('remove', id, '--confirm', id)).toMatch(new RegExp(`^${id} is removed \\(txn \\S+\\)`))
    expect(await active()).toMatchObject({ id: next.id })
    const flow = createFlow(loop, { more: { claims: stepUp(1) } })
    expect(kidOf((await flow.tokens()).accessToken)).toBe(next.id)
  })
})
