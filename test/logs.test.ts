import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { breakRows } from './broken-rows.ts'
import { evidence } from './evidence.ts'
import { createFlow } from './flow.ts'
import { approveDevice, createLogReader, LOGS_TENANT, type SignInRecord } from './logs-tenant.ts'
import { claimsOf, type Loop, PASSWORD, SCOPE, SECRET, startLoop } from './loop.ts'

const CP1 = '{"access_token":{"xms_cc":{"values":["cp1"]}}}'
let ahead = 0
let loop: Loop
let log: Awaited<ReturnType<typeof createLogReader>>
const ids: Record<string, string> = {}

beforeAll(async () => {
  loop = await startLoop({ tenant: LOGS_TENANT(), now: () => Date.now() + ahead * 1000, environment: { CAEGIS_TRUSTED_PROXIES: '127.0.0.1,::1' } })
  log = await createLogReader(loop)
  for (const { id, upn } of await loop.server.store.db.selectFrom('users').select(['id', 'upn']).execute()) ids[upn.split('@')[0] as string] = id
})
afterAll(() => loop.close())

const detail = (record: SignInRecord | undefined, key: string) => record?.authenticationProcessingDetails.find((one) => one.key === key)?.value
const told = (records: SignInRecord[]) => records.map((one) => [detail(one, 'Grant'), one.status.errorCode])
/** A POST to the token endpoint from an address that a trusted proxy tells. */
const tokenFrom = async (address: string, form: Record<string, string>) => {
  const headers = { 'x-forwarded-for': address }
  const response = await fetch(`${loop.authority}/oauth2/v2.0/token`, { method: 'POST', headers, body: new URLSearchParams(form) })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

describe('the sign-in log', () => {
  it('says of an interactive sign-in in one record who, for what, in which session, and which token came of it', async () => {
    const guard = await loop.guard()
    const flow = createFlow(loop, { more: { 'client-request-id': '11111111-2222-4333-8444-555555555555' } })
    let token = ''
    const records = await log.during(async () => {
      token = (await flow.tokens({ claims: CP1 })).accessToken
    })
    const claims = claimsOf(token)
    expect(claims.xms_ssm).toBe('1')
    expect(records).toHaveLength(1)
    expect(records[0]).toMatchObject({
      ...{ userId: ids.alice, userPrincipalName: 'alice@contoso.test', appId: 'files-native', appDisplayName: 'Files on the desk' },
      ...{ resourceId: 'files-api', resourceDisplayName: 'api://files', correlationId: '11111111-2222-4333-8444-555555555555' },
      ...{ ipAddressFromResourceProvider: '', clientAppUsed: 'Mobile Apps and Desktop clients', isInteractive: true },
      ...{ signInEventTypes: ['interactiveUser'], incomingTokenType: 'none', uniqueTokenIdentifier: claims.jti, sessionId: claims.sid },
      ...{ sessionLifetimePolicies: [], status: { errorCode: 0, failureReason: '' }, conditionalAccessStatus: 'notApplied' },
      ...{ appliedConditionalAccessPolicies: [], riskLevelDuringSignIn: 'none' },
    })
    expect(String(records[0]?.ipAddress)).toMatch(/^(127\.0\.0\.1|::1)$/)
    expect(detail(records[0], 'Is CAE Token')).toBe('True')
    expect(Date.parse(String(detail(records[0], 'Token expires')))).toBe(Number(claims.exp) * 1000)
    expect(Math.abs(Date.parse(String(records[0]?.createdDateTime)) - Date.now())).toBeLessThan(60_000)
    expect((await log.get(`signIns/${records[0]?.id}`)).body).toMatchObject({ id: records[0]?.id, userId: ids.alice })
    await guard.close()
  })

  it('tells apart what each grant let out, and each is one record with its token', async () => {
    const flow = createFlow(loop)
    const first = await flow.tokens()
    let body: Record<string, unknown> = {}
    const refreshed = await log.during(async () => {
      body = (await flow.refresh(first.refreshToken)).body
    })
    expect(told(refreshed)).toEqual([['refresh_token', 0]])
    expect(refreshed[0]).toMatchObject({
      ...{ userId: ids.alice, isInteractive: false, signInEventTypes: ['nonInteractiveUser'], incomingTokenType: 'refreshToken' },
      ...{ uniqueTokenIdentifier: claimsOf(String(body.access_token)).jti, sessionId: claimsOf(first.accessToken).sid },
    })
    // Without cp1 the token is an ordinary one.
    expect(detail(refreshed[0], 'Is CAE Token')).toBe('False')

    const silent = createFlow(loop, { browser: flow.browser, more: { prompt: 'none' } })
    const again = await log.during(() => silent.tokens())
    expect(told(again)).toEqual([['authorization_code', 0]])
    expect(again[0]).toMatchObject({ isInteractive: false, signInEventTypes: ['nonInteractiveUser'], userId: ids.alice })

    let daemon = ''
    const service = await log.during(async () => {
      daemon = await loop.daemonToken('nightly', `${loop.origin}/.default`)
    })
    expect(told(service)).toEqual([['client_credentials', 0]])
    expect(service[0]).toMatchObject({
      ...{ userId: '', userPrincipalName: '', appId: 'nightly', servicePrincipalName: 'nightly', signInEventTypes: ['servicePrincipal'] },
      ...{ uniqueTokenIdentifier: claimsOf(daemon).jti, resourceId: loop.origin, isInteractive: false, sessionId: '' },
    })

    const trade = {
      ...{ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_id: 'files-api', client_secret: SECRET, assertion: first.accessToken },
      ...{ requested_token_use: 'on_behalf_of', scope: 'api://mail/Mail.Read' },
    }
    const traded = await log.during(() => loop.token(trade))
    expect(told(traded)).toEqual([['on_behalf_of', 0]])
    expect(traded[0]).toMatchObject({ userId: ids.alice, appId: 'files-api', resourceId: 'mail-api', sessionId: claimsOf(first.accessToken).sid })

    // For userinfo the token itself is its id: it is in no record.
    const plain = await log.during(() => createFlow(loop, { scope: 'openid profile' }).tokens())
    expect(told(plain)).toEqual([['authorization_code', 0]])
    expect(plain[0]).toMatchObject({ uniqueTokenIdentifier: '', isInteractive: true })
  })

  it('a device that waits for its code leaves nothing until it is decided: then the person and the device each have a record', async () => {
    const begin = await fetch(`${loop.authority}/oauth2/v2.0/devicecode`, {
      ...{ method: 'POST', body: new URLSearchParams({ client_id: 'caegis-cli', scope: `${loop.origin}/User.Read openid` }) },
    })
    const device = (await begin.json()) as Record<string, string>
    const poll = () => tokenFrom('203.0.113.9', { grant_type: 'device_code', client_id: 'caegis-cli', device_code: String(device.device_code) })
    const records = await log.during(async () => {
      expect((await poll()).body.error).toBe('authorization_pending')
      await approveDevice(String(device.verification_uri), String(device.user_code), 'bob@contoso.test')
      expect((await poll()).status).toBe(200)
    })
    expect(told(records)).toEqual([
      ['sign_in_page', 0],
      ['device_code', 0],
    ])
    expect(records[0]).toMatchObject({ userId: ids.bob, isInteractive: true, appId: 'caegis-cli' })
    // Where the token went, which may be another place than where somebody agreed to it.
    expect(records[1]).toMatchObject({ userId: ids.bob, isInteractive: false, authenticationProtocol: 'deviceCode', ipAddress: '203.0.113.9' })
  })

  it('keeps the address that the API saw, by its evidence, beside the one seen here, where they differ', async () => {
    const { accessToken, refreshToken } = await createFlow(loop).tokens()
    const refresh = async (rp: string, proof = evidence(loop, accessToken, rp)) => {
      const claims = JSON.stringify({ access_token: { xms_rp_ipaddr: { value: rp }, caegis_evidence: { value: proof } } })
      const form = { grant_type: 'refresh_token', client_id: 'files-native', refresh_token: refreshToken, claims }
      return (await log.during(() => tokenFrom('198.51.100.7', form)))[0]
    }
    expect(await refresh('203.0.113.7')).toMatchObject({ ipAddress: '198.51.100.7', ipAddressFromResourceProvider: '203.0.113.7' })
    expect(await refresh('198.51.100.7')).toMatchObject({ ipAddress: '198.51.100.7', ipAddressFromResourceProvider: '' })
    // The same address in another spelling is the same one; what is none is not kept, and what a client only says is not either.
    expect(await refresh('::ffff:198.51.100.7')).toMatchObject({ ipAddressFromResourceProvider: '' })
    expect(await refresh('hunter2')).toMatchObject({ ipAddressFromResourceProvider: '' })
    expect(await refresh('203.0.113.7', evidence(loop, accessToken, '203.0.113.8'))).toMatchObject({ ipAddressFromResourceProvider: '' })
    expect(await refresh('2001:db8::1')).toMatchObject({ ipAddressFromResourceProvider: '2001:db8::1' })
  })

  const page = async (form: Record<string, string>, flow = createFlow(loop)) => {
    const at = await flow.browser.open(flow.url)
    return flow.browser.open(at.url.href, form)
  }

  it('each denial of the sign-in page is one record; a name that is nobody’s is not kept', async () => {
    const wrong = await log.during(() => page({ username: 'ALICE@contoso.test', password: 'wrong-password-1' }))
    expect(told(wrong)).toEqual([['sign_in_page', 50126]])
    expect(wrong[0]).toMatchObject({ userId: ids.alice, userPrincipalName: 'alice@contoso.test', appId: 'files-native', isInteractive: true })
    const unknown = await log.during(() => page({ username: `${PASSWORD} typed here`, password: 'x' }))
    expect(told(unknown)).toEqual([['sign_in_page', 50034]])
    expect(unknown[0]).toMatchObject({ userId: '', userPrincipalName: '', status: { errorCode: 50034, failureReason: 'There is no such user.' } })

    await log.admin('PATCH', '/users/carol@contoso.test', { accountEnabled: false })
    expect(told(await log.during(() => page({ username: 'carol@contoso.test', password: PASSWORD })))).toEqual([['sign_in_page', 50057]])
    await log.admin('PATCH', '/users/carol@contoso.test', { accountEnabled: true })

    // What an administrator set leads to another step, which is said too.
    await log.admin('PATCH', '/users/carol@contoso.test', { passwordProfile: { password: 'set-by-admin-1', forceChangePasswordNextSignIn: true } })
    const flow = createFlow(loop, { username: 'carol@contoso.test' })
    const half = await log.during(() => page({ username: 'carol@contoso.test', password: 'set-by-admin-1' }, flow))
    expect(told(half)).toEqual([['sign_in_page', 50055]])

    for (let i = 0; i < 5; i++) await page({ username: 'carol@contoso.test', password: `guess-${i}` })
    const throttled = await log.during(async () => {
      let status = 0
      // Waits double, so they outgrow any machine.
      for (let i = 0; i < 40 && status !== 429; i++) ({ status } = await page({ username: 'carol@contoso.test', password: `more-${i}` }))
      expect(status).toBe(429)
    })
    expect(throttled.at(-1)).toMatchObject({ status: { errorCode: 50053 }, userId: ids.carol })
  })

  it('each denial of the token endpoint is one record', async () => {
    const flow = createFlow(loop, { username: 'bob@contoso.test' })
    const { refreshToken, code } = await flow.tokens()
    const denied = async (form: Record<string, string>) => {
      const records = await log.during(async () => expect((await loop.token(form)).status).toBeGreaterThanOrEqual(400))
      expect(records).toHaveLength(1)
      return records[0] as SignInRecord
    }
    const refresh = { grant_type: 'refresh_token', client_id: 'files-native', refresh_token: refreshToken }
    const secret = {
      grant_type: 'client_credentials',
      client_id: 'nightly',
      client_secret: 'wrong-client-secret-1',
      scope: `${loop.origin}/.default`,
    }
    expect(await denied(secret)).toMatchObject({ appId: 'nightly', status: { errorCode: 7000215 }, signInEventTypes: ['servicePrincipal'] })
    // What was sent as a client id is kept only where it is one.
    expect(await denied({ ...secret, client_id: 'secret-in-the-wrong-field' })).toMatchObject({ appId: '', status: { errorCode: 7000215 } })
    expect(await denied({ ...refresh, scope: 'api://mail/Mail.Read' })).toMatchObject({ userId: ids.bob, status: { errorCode: 70011 } })
    expect(await denied({ ...refresh, claims: 'no json' })).toMatchObject({ status: { errorCode: 900144 }, appId: 'files-native' })
    expect(await denied({ ...refresh, device_assertion: 'nothing' })).toMatchObject({ status: { errorCode: 50155 } })
    expect(await denied({ ...refresh, refresh_token: 'unknown-refresh-token' })).toMatchObject({ userId: '', status: { errorCode: 70000 } })
    expect(await denied({ grant_type: 'authorization_code', client_id: 'files-native', code, code_verifier: flow.verifier })).toMatchObject({
      ...{ userId: ids.bob, status: { errorCode: 70000 } },
    })
    const revoked = { ...refresh, refresh_token: (await createFlow(loop, { username: 'bob@contoso.test' }).tokens()).refreshToken }
    await log.admin('POST', '/users/bob@contoso.test/revokeSignInSessions')
    expect(await denied(revoked)).toMatchObject({
      ...{ userId: ids.bob, userPrincipalName: 'bob@contoso.test', incomingTokenType: 'refreshToken', uniqueTokenIdentifier: '' },
      status: { errorCode: 50173, failureReason: 'The sign-in was revoked: a new one is needed.' },
    })
    await log.admin('PATCH', '/users/bob@contoso.test', { accountEnabled: false })
    expect(await denied(revoked)).toMatchObject({ userId: ids.bob, status: { errorCode: 50057 } })
    await log.admin('PATCH', '/users/bob@contoso.test', { accountEnabled: true })
    expect(await denied({ grant_type: 'password', client_id: 'files-native', username: 'x', password: PASSWORD })).toMatchObject({ userId: '' })
  })

  it('an application that asks in silence, or whose user declines, leaves a record', async () => {
    const silent = createFlow(loop, { more: { prompt: 'none' } })
    const nobody = await log.during(() => silent.signIn())
    expect(told(nobody)).toEqual([['authorize', 50058]])
    expect(nobody[0]).toMatchObject({ isInteractive: false, appId: 'files-native', userId: '' })
    const album = createFlow(loop, { clientId: 'album' })
    const declined = await log.during(async () => {
      let at = await album.browser.open(album.url, undefined, 'http://localhost')
      at = await album.browser.open(at.url.href, { username: 'alice@contoso.test', password: PASSWORD }, 'http://localhost')
      at = await album.browser.open(at.url.href, { answer: 'decline' }, 'http://localhost/?')
    })
    expect(told(declined)).toEqual([
      ['sign_in_page', 0],
      ['authorize', 65004],
    ])
    expect(declined[1]).toMatchObject({ userId: ids.alice, appId: 'album' })
  })

  it('of a stopped tenant says who wanted in', async () => {
    const flow = createFlow(loop)
    const { refreshToken } = await flow.tokens()
    const open = createFlow(loop)
    const at = await open.browser.open(open.url)
    const { store } = loop.server
    await store.db.updateTable('tenants').set({ stopped_at: 1 }).where('id', '=', loop.tenant).execute()
    const records = await log.during(async () => {
      expect((await flow.refresh(refreshToken)).status).toBe(400)
      expect((await open.browser.open(at.url.href, { username: 'alice@contoso.test', password: PASSWORD })).status).toBe(403)
    })
    await store.db.updateTable('tenants').set({ stopped_at: null }).where('id', '=', loop.tenant).execute()
    expect(told(records)).toEqual([
      ['refresh_token', 5000224],
      ['sign_in_page', 5000224],
    ])
    expect(records[1]).toMatchObject({ userId: ids.alice })
  })

  it('no token leaves without its record: where the record cannot be written, nothing is given out', async () => {
    const flow = createFlow(loop)
    const { refreshToken } = await flow.tokens()
    const { db } = loop.server.store
    const mend = await breakRows(loop, 'before insert on sign_ins')
    const before = await db
      .selectFrom('users')
      .select('last_iat')
      .where('id', '=', ids.alice as string)
      .executeTakeFirstOrThrow()
    ahead += 5
    const answer = await flow.refresh(refreshToken)
    const daemon = await loop.token({ grant_type: 'client_credentials', client_id: 'weak', client_secret: SECRET, scope: `${loop.origin}/.default` })
    await mend()
    for (const { status, body } of [answer, daemon]) {
      expect(status).toBe(500)
      expect(body).not.toHaveProperty('access_token')
    }
    // Nothing was minted, and nothing spent either.
    expect(
      await db
        .selectFrom('users')
        .select('last_iat')
        .where('id', '=', ids.alice as string)
        .executeTakeFirstOrThrow(),
    ).toEqual(before)
    expect((await flow.refresh(refreshToken)).status).toBe(200)
  })

  it('a flood of denials from one address is folded: one record says how many', async () => {
    const form = { grant_type: 'refresh_token', client_id: 'files-native', refresh_token: 'nothing', scope: SCOPE }
    ahead += 3600
    const flood = await log.during(async () => {
      for (let i = 0; i < 50; i++) await tokenFrom('192.0.2.66', form)
      await tokenFrom('192.0.2.67', form)
      await loop.server.tidy()
    })
    expect(flood.filter(({ ipAddress }) => ipAddress === '192.0.2.67')).toHaveLength(1)
    const of = flood.filter(({ ipAddress }) => ipAddress === '192.0.2.66')
    expect(of.map(({ aggregatedSignInCount: count = 1 }) => count)).toEqual([...Array(30).fill(1), 20])
    expect(of.at(-1)).toMatchObject({ status: { errorCode: 70000 }, appId: 'files-native' })
  })
})

describe('auditLogs/signIns', () => {
  it('is for who may read it', async () => {
    const token = await loop.daemonToken('weak', `${loop.origin}/.default`)
    for (const path of ['signIns', 'signIns/00000000-0000-7000-8000-000000000000']) {
      const answer = await fetch(`${loop.origin}/v1.0/auditLogs/${path}`, { headers: { authorization: `Bearer ${token}` } })
      expect(answer.status).toBe(403)
      expect((await answer.json()) as object).toMatchObject({ error: { code: 'Authorization_RequestDenied' } })
    }
    expect((await log.get('signIns/00000000-0000-7000-8000-000000000000')).status).toBe(404)
    expect((await log.get('signIns/..%2f..')).status).toBe(404)
  })

  it('filters: each comparison alone and together finds what holds, and only that', async () => {
    const all = await log.list('signIns')
    const some = all.find(({ status, userId }) => status.errorCode === 50126 && userId === ids.alice) as SignInRecord
    const time = (of: SignInRecord) => Date.parse(of.createdDateTime)
    const cases: [string, (one: SignInRecord) => boolean][] = [
      [`userId eq '${ids.alice}'`, (one) => one.userId === ids.alice],
      [`userPrincipalName eq 'BOB@contoso.test'`, (one) => one.userId === ids.bob],
      [`appId eq 'nightly'`, (one) => one.appId === 'nightly'],
      [`status/errorCode eq 50126`, (one) => one.status.errorCode === 50126],
      [`status/errorCode eq 0`, (one) => one.status.errorCode === 0],
      [`status/errorCode ne 0`, (one) => one.status.errorCode !== 0],
      [`ipAddress eq '203.0.113.9'`, (one) => one.ipAddress === '203.0.113.9'],
      [`correlationId eq '${some.correlationId}'`, (one) => one.correlationId === some.correlationId],
      [`conditionalAccessStatus eq 'notApplied'`, () => true],
      [`conditionalAccessStatus eq 'failure'`, () => false],
      [`isInteractive eq true`, (one) => one.isInteractive === true],
      [`createdDateTime ge ${some.createdDateTime}`, (one) => time(one) >= time(some)],
      [`createdDateTime gt ${some.createdDateTime}`, (one) => time(one) > time(some)],
      [`createdDateTime le ${some.createdDateTime}`, (one) => time(one) <= time(some)],
      [`createdDateTime lt ${some.createdDateTime}`, (one) => time(one) < time(some)],
      [
        `createdDateTime ge ${all.at(-1)?.createdDateTime} and createdDateTime le ${some.createdDateTime} and userId eq '${ids.alice}' and appId eq 'files-native' and isInteractive eq false and status/errorCode eq 0`,
        (one) =>
          time(one) <= time(some) && one.userId === ids.alice && one.appId === 'files-native' && !one.isInteractive && one.status.errorCode === 0,
      ],
    ]
    for (const [filter, right] of cases) {
      const found = await log.list('signIns', filter)
      expect(
        found.map(({ id }) => id),
        filter,
      ).toEqual(all.filter(right).map(({ id }) => id))
      if (!filter.includes('failure')) expect(found.length, filter).toBeGreaterThan(0)
    }
  })

  it('pages: newest first, each record once, while others are written', async () => {
    const all = (await log.list('signIns')).map(({ id }) => id)
    expect([...all].sort().reverse()).toEqual(all)
    const seen: string[] = []
    for (let path: string | undefined = 'signIns?$top=7'; path !== undefined; ) {
      const { body }: Awaited<ReturnType<typeof log.get>> = await log.get(path)
      seen.push(...body.value.map(({ id }) => id))
      path = body['@odata.nextLink']
      if (seen.length === 7) await loop.daemonToken('weak', `${loop.origin}/.default`)
    }
    expect(seen).toEqual(all)
  })

  it('refuses what it does not understand, and says so in Graph’s words', async () => {
    for (const query of [
      ...[
        '$orderby=createdDateTime',
        '$select=id',
        '$count=true',
        '$search=x',
        '$expand=x',
        '$skip=1',
        'x=1',
        '$top=0',
        '$top=1000',
        '$top=1&$top=2',
      ],
      ...['$skiptoken=1', '$skiptoken=%27', '$filter=', '$filter=userId eq', "$filter=userId ne 'x'", '$filter=userId eq 1'],
      ...["$filter=userId eq 'a' or userId eq 'b'", "$filter=not userId eq 'a'", "$filter=startswith(userId,'a')", "$filter=secret eq 'a'"],
      ...["$filter=userId eq 'a' and userId eq 'b'", '$filter=createdDateTime ge yesterday', '$filter=createdDateTime eq 2026-01-01'],
      ...["$filter=isInteractive eq 'true'", "$filter=status/errorCode eq '0'", '$filter=status/errorCode ne 1', "$filter=toString eq 'a'"],
      ...[`$filter=userId eq '${'x'.repeat(400)}'`, "$filter=userId eq 'a' and ", `$filter=${Array(20).fill("appId eq 'a'").join(' and ')}`],
    ]) {
      const { status, body } = await log.get(`signIns?${query.replaceAll(' ', '%20')}`)
      expect(status, query).toBe(400)
      expect(body, query).toMatchObject({ error: { code: 'Request_BadRequest' } })
    }
    expect(await log.list('signIns', "userId eq 'it''s and nothing'")).toEqual([])
  })

  it('a page that looked at enough ends early and leads on', async () => {
    const { db } = loop.server.store
    const row = await db.selectFrom('sign_ins').selectAll().where('tenant', '=', loop.tenant).limit(1).executeTakeFirstOrThrow()
    const many = Array.from({ length: 12_000 }, (_, index) => ({
      ...{ ...row, tenant: 'many', id: `0000${String(index).padStart(4, '0')}-0000-7000-8000-${String(index).padStart(12, '0')}` },
      ...{ user_id: null, app_id: null, code: 0, denied: 0, address: index === 5 ? '192.0.2.99' : '' },
    }))
    await db.transaction().execute(async (tx) => {
      for (let from = 0; from < many.length; from += 500)
        await tx
          .insertInto('sign_ins')
          .values(many.slice(from, from + 500))
          .execute()
    })
    const { createSignIns } = await import('../packages/server/src/logs/sign-ins.ts')
    const records = createSignIns(loop.server.store, 'many')
    const first = await records.list({ limit: 10, address: '192.0.2.99' })
    expect(first).toEqual({ value: [], next: expect.any(String) })
    const second = await records.list({ limit: 10, address: '192.0.2.99', before: String(first.next) })
    expect(second.value).toHaveLength(1)
    expect(second).not.toHaveProperty('next')
    await db.deleteFrom('sign_ins').where('tenant', '=', 'many').execute()
  })

  it('shows each tenant its own, whatever id is asked for', async () => {
    const other = await loop.server.apply(LOGS_TENANT('beta'))
    const theirs = await createLogReader(loop, other.issuer.slice(0, -'/v2.0'.length))
    const mine = await log.list('signIns')
    const found = await theirs.list('signIns')
    expect(found.length).toBeGreaterThan(0)
    expect(found.filter(({ id }) => mine.some((one) => one.id === id))).toEqual([])
    expect((await theirs.get(`signIns/${mine[0]?.id}`)).status).toBe(404)
    expect(await theirs.list('signIns', `userId eq '${ids.alice}'`)).toEqual([])
    expect(await theirs.list('signIns', `correlationId eq '${mine[0]?.correlationId}'`)).toEqual([])
  })
})

describe('what is kept', () => {
  it('goes when its time is over, and no earlier', async () => {
    const before = (await log.list('signIns')).length
    const { db } = loop.server.store
    const count = async () => (await db.selectFrom('sign_ins').select('id').where('tenant', '=', loop.tenant).execute()).length
    ahead += 29 * 24 * 3600
    await loop.server.tidy()
    expect(await count()).toBe(before)
    await loop.daemonToken('weak', `${loop.origin}/.default`)
    ahead += 2 * 24 * 3600
    await loop.server.tidy()
    expect(await count()).toBe(1)
  })
})
