import type { Guard } from '@caegis/guard'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { createForge } from './forge.ts'
import { createHolder, type Holder } from './holder.ts'
import { claimsOf, eventually, holdNextMint, type Loop, PASSWORD, SECRET, startLoop, verdictOf } from './loop.ts'
import { grant, policy, setPolicies } from './policies-of.ts'

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'
const CP1 = { claims: '{"access_token":{"xms_cc":{"values":["cp1"]}}}' }
const agent = (appId: string, permissions: string[], more: object = {}) => ({
  ...{ appId, type: 'daemon', identifierUris: [`api://${appId}`], scopes: ['Mail.Read', 'Mail.Send'], cae: true, clientSecret: SECRET },
  ...{ permissions, ...more },
})

const TENANT = JSON.stringify({
  tenant: { name: 'contoso' },
  users: ['alice', 'bob', 'carol', 'dave', 'erin', 'robot'].map((name) => ({
    ...{ userPrincipalName: `${name}@contoso.test`, displayName: name, password: PASSWORD },
  })),
  applications: [
    { appId: 'chat', type: 'native', redirectUris: ['http://localhost'], permissions: ['api://planner/.default', 'api://clerk/.default'] },
    agent('planner', ['api://mail/Mail.Read', 'api://mail/Mail.Delete', 'api://mail/Mail.Send', 'api://second/.default', 'api://planner/Mail.Read']),
    agent('second', ['api://third/.default', 'api://mail/Mail.Read']),
    agent('third', ['api://mail/Mail.Read', 'api://fourth/Mail.Read']),
    agent('fourth', ['api://mail/Mail.Read']),
    // An agent with an account of its own.
    agent('clerk', ['api://mail/Mail.Read', 'api://second/.default'], { type: 'web', redirectUris: ['http://localhost'] }),
    { appId: 'mail', identifierUris: ['api://mail'], scopes: ['Mail.Read', 'Mail.Send', 'Mail.Delete'], cae: true, clientSecret: SECRET },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/.default', 'api://mail/.default'] },
  ],
})

describe('token exchange (RFC 8693)', () => {
  let loop: Loop
  let guard: Guard
  beforeAll(async () => {
    loop = await startLoop({ tenant: TENANT, environment: { CAEGIS_TRUSTED_PROXIES: '127.0.0.1,::1' } })
    guard = await loop.guard({ audience: 'api://mail', clientId: 'mail' })
  })
  afterAll(() => loop.close())

  const of = async (name: string, scope = 'api://planner/Mail.Read') =>
    (await createFlow(loop, { username: `${name}@contoso.test`, clientId: 'chat', scope: `${scope} openid`, capable: true }).tokens()).accessToken
  const form = (by: string, subject: string, more: Record<string, string> = {}) => ({
    ...{ grant_type: EXCHANGE, client_id: by, client_secret: SECRET, subject_token: subject, subject_token_type: ACCESS_TOKEN },
    ...{ ...CP1, ...more },
  })
  const trade = (by: string, subject: string, more: Record<string, string> = {}) => loop.token(form(by, subject, { audience: 'api://mail', ...more }))
  const token = async (by: string, subject: string, more: Record<string, string> = {}) => {
    const { status, body } = await trade(by, subject, more)
    if (status !== 200) throw new Error(JSON.stringify(body))
    return String(body.access_token)
  }
  const ends = (derived: string) =>
    eventually(
      () => verdictOf(guard, derived),
      (verdict) => !verdict.allowed && verdict.code === 'revoked',
    )
  const handBack = (clientId: string, one: string) =>
    fetch(`${loop.authority}/oauth2/v2.0/revoke`, {
      ...{
        method: 'POST',
        body: new URLSearchParams({ client_id: clientId, token: one, ...(clientId === 'chat' ? {} : { client_secret: SECRET }) }),
      },
    })
  const enable = (app: string, accountEnabled: boolean) => loop.graph('PATCH', `/servicePrincipals/${app}`, { accountEnabled })
  const isActive = async (one: string) => {
    const body = new URLSearchParams({ client_id: 'mail', client_secret: SECRET, token: one })
    return ((await (await fetch(`${loop.authority}/oauth2/v2.0/introspect`, { method: 'POST', body })).json()) as { active: boolean }).active
  }
  /** As through three agents: four that act. */
  const throughAll = async (subject: string) => {
    const second = await token('planner', subject, { audience: 'api://second', scope: 'Mail.Read' })
    const third = await token('second', second, { audience: 'api://third', scope: 'Mail.Read' })
    return { second, third }
  }

  it('an agent acts for the user at an API, is named there, and holds no more than both were given', async () => {
    const subject = await of('alice')
    const { status, body } = await loop.token(form('planner', subject, { audience: 'api://mail' }))
    expect({ status, ...body }).toMatchObject({ status: 200, token_type: 'Bearer', issued_token_type: ACCESS_TOKEN, scope: 'api://mail/Mail.Read' })
    expect(body).not.toHaveProperty('refresh_token')
    const derived = String(body.access_token)
    const [from, claims] = [claimsOf(subject), claimsOf(derived)]
    expect(claims).toMatchObject({
      ...{ aud: 'api://mail', sub: from.sub, sid: from.sid, auth_time: from.auth_time, azp: 'planner', scp: 'Mail.Read' },
      act: { sub: 'planner', client_id: 'planner', act: { sub: 'chat', client_id: 'chat' } },
      caegis_from: [['token', from.jti]],
    })
    expect(claims.exp).toBeLessThanOrEqual(from.exp)
    expect(body.expires_in).toBe(claims.exp - claims.iat)
    const verdict = await verdictOf(guard, derived)
    expect(verdict).toMatchObject({ allowed: true, subject: { user: from.sub, session: from.sid, token: claims.jti, app: 'planner' } })
    expect(await isActive(derived)).toBe(true)
    const record = await loop.server.store.db.selectFrom('sign_ins').selectAll().orderBy('id', 'desc').limit(1).executeTakeFirstOrThrow()
    expect(JSON.stringify(record)).toMatch(/token_exchange/)
  })

  it('never wider: what is asked for by name and is not in the subject token, or not permitted, is refused', async () => {
    const subject = await of('alice')
    const wider = ['Mail.Send', 'Mail.Read Mail.Send', 'Mail.Delete', '.default Mail.Send', 'Mail.Unknown']
    for (const scope of wider) expect([scope, (await trade('planner', subject, { scope })).body.error]).toEqual([scope, 'invalid_scope'])
    const both = await of('alice', 'api://planner/Mail.Read api://planner/Mail.Send')
    expect((await trade('planner', both)).body.scope).toBe('api://mail/Mail.Read api://mail/Mail.Send')
    expect((await trade('planner', both, { scope: 'Mail.Send' })).body.scope).toBe('api://mail/Mail.Send')
    // By full names, as elsewhere.
    const full = form('planner', both, { scope: 'api://mail/Mail.Send' })
    expect((await loop.token(full)).body.scope).toBe('api://mail/Mail.Send')
    // What was narrowed stays so along the chain.
    const narrow = await token('planner', both, { audience: 'api://second', scope: 'Mail.Send' })
    expect((await trade('second', narrow)).body.error).toBe('invalid_scope')
    expect((await trade('second', narrow, { audience: 'api://third' })).body.scope).toBe('api://third/Mail.Send')
    // An API of its own is one like any other.
    expect((await trade('planner', both, { audience: 'api://planner' })).body.scope).toBe('api://planner/Mail.Read')
  })

  it('chains reach four that act, and no fifth; each of them ends all that is below', async () => {
    const subject = await of('alice')
    const { second, third } = await throughAll(subject)
    const last = await token('third', third)
    const acting = (claims: Record<string, unknown>): string[] => {
      const names: string[] = []
      for (let one = claims.act as { sub: string; act?: never } | undefined; one; one = one.act) names.push(one.sub)
      return names
    }
    expect(acting(claimsOf(last))).toEqual(['third', 'second', 'planner', 'chat'])
    expect(claimsOf(last).caegis_from).toEqual([subject, second, third].map((one) => ['token', claimsOf(one).jti]))
    expect(await verdictOf(guard, last)).toMatchObject({ allowed: true })
    const four = await token('third', third, { audience: 'api://fourth' })
    expect(await trade('fourth', four)).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    // On behalf of counts the same.
    const obo = { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', requested_token_use: 'on_behalf_of', scope: 'api://mail/Mail.Read' }
    expect((await loop.token({ ...obo, client_id: 'fourth', client_secret: SECRET, assertion: four })).status).toBe(400)
    const called = await loop.token({ ...obo, client_id: 'third', client_secret: SECRET, assertion: third, ...CP1 })
    const onBehalf = String(called.body.access_token)
    expect(claimsOf(onBehalf).exp).toBeLessThanOrEqual(claimsOf(third).exp)
    expect(acting(claimsOf(onBehalf))).toEqual(['third', 'second', 'planner', 'chat'])

    // The one in the middle goes: what came of it dies, what it came of lives.
    const sibling = await token('planner', subject)
    expect((await handBack('planner', second)).status).toBe(200)
    await ends(last)
    await ends(onBehalf)
    expect(await isActive(last)).toBe(false)
    expect((await verdictOf(guard, sibling)).allowed).toBe(true)
    expect((await trade('third', third)).status).toBe(400)
    expect((await trade('planner', subject)).status).toBe(200)
  })

  it('dies with the very token that it came of, at guards that were there and at those that come later', async () => {
    const [subject, other] = [await of('bob'), await of('bob')]
    const [derived, kept] = [await token('planner', subject), await token('planner', other)]
    expect((await verdictOf(guard, derived)).allowed).toBe(true)
    expect((await handBack('chat', subject)).status).toBe(200)
    await ends(derived)
    expect((await verdictOf(guard, kept)).allowed).toBe(true)
    const later = await loop.guard({ audience: 'api://mail', clientId: 'mail' })
    expect([(await verdictOf(later, derived)).allowed, (await verdictOf(later, kept)).allowed]).toEqual([false, true])
    await later.close()
    expect(await isActive(derived)).toBe(false)
    // A3: nor is it laundered again.
    expect(await trade('planner', subject)).toMatchObject({ status: 400, body: { error: 'invalid_request', error_codes: [50173] } })
    // By its id alone, as an administrator does it.
    expect((await loop.graph('POST', '/caegis/tokens/revoke', { id: String(claimsOf(other).jti) })).status).toBe(204)
    await ends(kept)
  })

  let revokedAt = 0
  it.each<[string, (subject: string) => Promise<unknown>, (() => Promise<unknown>)?]>([
    ['the session', (subject) => loop.graph('POST', `/caegis/sessions/${claimsOf(subject).sid}/revoke`)],
    ['the user', () => loop.graph('POST', '/users/carol@contoso.test/revokeSignInSessions')],
    ['what the application holds of the user', async () => withdraw('carol', 'chat')],
    ['what the agent holds of the user', async () => withdraw('carol', 'planner')],
    ['the application', () => enable('chat', false), () => enable('chat', true)],
    ['the agent', () => enable('planner', false), () => enable('planner', true)],
    ['an agent further down', () => enable('third', false), () => enable('third', true)],
  ])('A3: revoking %s ends it, and what is dead is not traded', async (_, end, mend) => {
    // What is issued in the second of the last revocation is dead under it.
    await eventually(
      () => Math.floor(Date.now() / 1000),
      (second) => second > revokedAt,
    )
    const subject = await of('carol')
    const { third } = await throughAll(subject)
    const derived = await token('third', third)
    expect((await verdictOf(guard, derived)).allowed).toBe(true)
    expect(await end(subject)).toMatchObject({ ok: true })
    await ends(derived)
    expect(await isActive(derived)).toBe(false)
    await mend?.()
    revokedAt = Math.floor(Date.now() / 1000)
    expect(await trade('third', third)).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
  })

  async function withdraw(name: string, app: string) {
    const { value } = (await (await loop.graph('GET', `/users/${name}@contoso.test/oauth2PermissionGrants`)).json()) as {
      value: { id: string; clientId: string }[]
    }
    return loop.graph('DELETE', `/oauth2PermissionGrants/${value.find(({ clientId }) => clientId === app)?.id}`)
  }

  it('A4: an exchange that is held while the token, or one above it, is handed back gives nothing', async () => {
    const subject = await of('bob')
    const second = await token('planner', subject, { audience: 'api://second' })
    for (const [by, one] of [
      ['second', second],
      ['planner', subject],
    ] as const) {
      const mint = holdNextMint(loop)
      const answer = trade(by, one)
      await mint.held
      expect((await handBack('chat', subject)).ok).toBe(true)
      mint.release()
      expect(await answer).toMatchObject({ status: 400, body: { error: 'invalid_request', error_codes: [50173] } })
    }
  })

  it('an agent with an account of its own is named by that, and its account, its session and its token end what it got', async () => {
    const [subject, clerk] = [
      await of('dave', 'api://clerk/Mail.Read'),
      createFlow(loop, { username: 'robot@contoso.test', clientId: 'clerk', scope: 'api://mail/Mail.Read openid' }),
    ]
    const own = (await clerk.tokens({ client_secret: SECRET })).accessToken
    const actor = (one: string) => ({ actor_token: one, actor_token_type: ACCESS_TOKEN })
    // Its rows are told how long they have something to end.
    const { db } = loop.server.store
    const robot = claimsOf(own)
    const forgotten = { last_iat: 0, tokens_until: 0 }
    await db.updateTable('sessions').set(forgotten).where('id', '=', String(robot.sid)).execute()
    await db.updateTable('users').set(forgotten).where('id', '=', String(robot.sub)).execute()
    await db.updateTable('grants').set(forgotten).where('user_id', '=', String(robot.sub)).execute()
    const derived = await token('clerk', subject, actor(own))
    expect(claimsOf(derived)).toMatchObject({ sub: claimsOf(subject).sub, act: { sub: robot.sub, client_id: 'clerk', act: { client_id: 'chat' } } })
    expect(claimsOf(derived).exp).toBeLessThanOrEqual(Math.min(robot.exp, claimsOf(subject).exp))
    expect(await verdictOf(guard, derived)).toMatchObject({ allowed: true, subject: { user: claimsOf(subject).sub, session: claimsOf(subject).sid } })
    expect(await isActive(derived)).toBe(true)
    const times = ['last_iat', 'tokens_until'] as const
    const rows = [
      await db.selectFrom('sessions').select(times).where('id', '=', String(robot.sid)).executeTakeFirstOrThrow(),
      await db.selectFrom('users').select(times).where('id', '=', String(robot.sub)).executeTakeFirstOrThrow(),
      await db.selectFrom('grants').select(times).where('user_id', '=', String(robot.sub)).executeTakeFirstOrThrow(),
    ]
    const { iat, exp } = claimsOf(derived)
    expect(rows).toEqual(Array(3).fill({ last_iat: iat, tokens_until: exp }))
    // It goes on like any other.
    // In the second in which `second` was disabled before, it could trade nothing that was given out by then.
    let second = ''
    const { body } = await eventually(
      async () => {
        second = await token('clerk', subject, { ...actor(own), audience: 'api://second' })
        return trade('second', second)
      },
      ({ status }) => status === 200,
    )
    const last = String(body.access_token)
    expect(claimsOf(last).act).toMatchObject({ sub: 'second', act: { sub: robot.sub, client_id: 'clerk', act: { sub: 'chat' } } })
    expect((await verdictOf(guard, last)).allowed).toBe(true)

    // One of somebody else, or one that was got in somebody's name, is no actor; nor is one that is gone.
    for (const wrong of [subject, derived, await loop.daemonToken('planner', 'api://mail/Mail.Read'), 'rubbish'])
      expect(await trade('clerk', subject, actor(wrong))).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    const mint = holdNextMint(loop)
    const held = trade('clerk', subject, actor(own))
    await mint.held
    expect((await loop.graph('POST', `/caegis/sessions/${robot.sid}/revoke`)).status).toBe(204)
    mint.release()
    expect((await held).status).toBe(400)
    await ends(derived)
    await ends(last)
    expect(await trade('clerk', subject, actor(own))).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    expect(await trade('second', second)).toMatchObject({ status: 400, body: { error: 'invalid_request' } })

    // The token of a daemon names nobody else, and ends what it vouched for all the same.
    const daemon = await loop.daemonToken('planner', 'api://mail/Mail.Read')
    const daves = await of('dave')
    const vouched = await token('planner', daves, actor(daemon))
    expect(claimsOf(vouched).act).toMatchObject({ sub: 'planner', client_id: 'planner', act: { sub: 'chat' } })
    const gate = holdNextMint(loop)
    const late = trade('planner', daves, actor(daemon))
    await gate.held
    expect((await handBack('planner', daemon)).status).toBe(200)
    gate.release()
    expect((await late).status).toBe(400)
    await ends(vouched)
    const fresh = createFlow(loop, { username: 'robot@contoso.test', clientId: 'clerk', scope: 'api://mail/Mail.Read openid' })
    const last2 = await token('clerk', subject, actor((await fresh.tokens({ client_secret: SECRET })).accessToken))
    expect((await loop.graph('PATCH', '/users/robot@contoso.test', { accountEnabled: false })).ok).toBe(true)
    await ends(last2)
  })

  it('takes only what was issued for this agent, to a user, and what the token itself allows (may_act)', async () => {
    const subject = await of('alice')
    const forge = await createForge(loop)
    const { idToken } = await createFlow(loop, { clientId: 'chat', scope: 'api://planner/Mail.Read openid' }).tokens()
    const bad = [
      ...[
        await token('planner', subject),
        await of('alice', 'api://clerk/Mail.Read'),
        await loop.daemonToken('nightly', 'api://mail/.default'),
        idToken,
        'rubbish',
      ],
      ...[
        { sub: 'second' },
        { client_id: 'second' },
        { iss: loop.issuer },
        { sub: 'planner', iss: 'https://other.test' },
        { sub: 'planner', email: 'x' },
        {},
        'planner',
        null,
      ].map((may_act) => forge.like(subject, { may_act })),
      ...[[['token']], [['token', 7]], [['shoe', 'x']], 'token', Array.from({ length: 25 }, (_, n) => ['token', `t${n}`])].map((caegis_from) =>
        forge.like(subject, { caegis_from }),
      ),
    ]
    for (const one of bad) {
      const { status, body } = await trade('planner', one)
      expect({ status, error: body.error, given: body.access_token }).toEqual({ status: 400, error: 'invalid_request', given: undefined })
    }
    for (const may_act of [{ sub: 'planner' }, { client_id: 'planner', iss: loop.issuer }])
      expect((await trade('planner', forge.like(subject, { may_act }))).status).toBe(200)
    // So it is on behalf of.
    const obo = (assertion: string) =>
      loop.token({
        ...{ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', requested_token_use: 'on_behalf_of', scope: 'api://mail/Mail.Read' },
        ...{ client_id: 'planner', client_secret: SECRET, assertion },
      })
    expect([(await obo(forge.like(subject, { may_act: { sub: 'second' } }))).status, (await obo(subject)).status]).toEqual([400, 200])
  })

  it('asks for credentials, for types that it has, and for one API that there is', async () => {
    const subject = await of('alice')
    const refused = async (more: Record<string, string>) => (await loop.token(form('planner', subject, more))).body.error
    expect(await refused({ client_secret: 'wrong', audience: 'api://mail' })).toBe('invalid_client')
    expect((await loop.token({ ...form('chat', subject, { audience: 'api://mail' }), client_secret: '' })).status).toBeGreaterThanOrEqual(400)
    const wrong: [string, Record<string, string>][] = [
      ['invalid_request', { subject_token_type: 'urn:ietf:params:oauth:token-type:saml2' }],
      ['invalid_request', { subject_token: '' }],
      ['invalid_request', { requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' }],
      ['invalid_request', { actor_token: subject }],
      ['invalid_request', { actor_token_type: ACCESS_TOKEN }],
      ['invalid_target', { audience: 'api://nowhere' }],
      ['invalid_target', { resource: 'api://second' }],
      ['invalid_target', { audience: '' }],
      ['invalid_target', { scope: 'api://second/Mail.Read' }],
      ['invalid_target', { audience: '', scope: 'ssf.read' }],
    ]
    for (const [error, more] of wrong) expect([more, await refused({ audience: 'api://mail', ...more })]).toEqual([more, error])
    expect(await refused({ audience: '', resource: 'api://mail', requested_token_type: ACCESS_TOKEN })).toBeUndefined()
    expect(await refused({ audience: 'api://mail', subject_token_type: 'urn:ietf:params:oauth:token-type:jwt' })).toBeUndefined()
    const { grant_types_supported: grants } = (await (await fetch(`${loop.issuer}/.well-known/openid-configuration`)).json()) as Record<
      string,
      string[]
    >
    expect(grants).toContain(EXCHANGE)
  })

  it('E7: a bound token is traded by whoever proves its key, and what comes of it is bound to the same', async () => {
    const endpoint = `${loop.authority}/oauth2/v2.0/token`
    const [holder, thief] = [createHolder(), createHolder()]
    const post = async (body: Record<string, string>, shown?: Holder) => {
      const headers = shown ? { dpop: shown.proof('POST', endpoint) } : {}
      const response = await fetch(endpoint, { method: 'POST', headers, body: new URLSearchParams(body) })
      return { status: response.status, body: (await response.json()) as Record<string, unknown> }
    }
    const flow = createFlow(loop, { clientId: 'chat', scope: 'api://planner/Mail.Read openid' })
    const code = {
      grant_type: 'authorization_code',
      client_id: 'chat',
      code: await flow.code(),
      code_verifier: flow.verifier,
      redirect_uri: 'http://localhost',
    }
    const subject = String((await post(code, holder)).body.access_token)
    expect(claimsOf(subject).cnf).toEqual({ jkt: holder.jkt })
    const asked = form('planner', subject, { audience: 'api://mail' })
    expect(await post(asked)).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    expect(await post(asked, thief)).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    const given = await post(asked, holder)
    expect(given).toMatchObject({ status: 200, body: { token_type: 'DPoP' } })
    expect(claimsOf(String(given.body.access_token)).cnf).toEqual({ jkt: holder.jkt })
    // A plain one may be bound on the way, to a key of the agent.
    const bound = await post(form('planner', await of('alice'), { audience: 'api://mail' }), thief)
    expect(claimsOf(String(bound.body.access_token)).cnf).toEqual({ jkt: thief.jkt })
  })

  it('policies are asked about the user and about the agent, by which the token also ends', async () => {
    const subject = await of('erin')
    const [user, people, services] = [
      (await (await loop.graph('GET', '/users/erin@contoso.test')).json()) as { id: string },
      { includeUsers: ['None'] },
      { clientApplications: { includeServicePrincipals: ['ServicePrincipalsInMyTenant'] }, applications: { includeApplications: ['mail'] } },
    ]
    await setPolicies(loop, [policy('No agents in the mail', { conditions: { users: people, ...services }, ...grant('block') })])
    expect(await trade('planner', subject)).toMatchObject({ status: 400, body: { error: 'invalid_request', error_codes: [53003] } })
    expect((await trade('planner', subject, { audience: 'api://second' })).status).toBe(200)
    await setPolicies(loop, [
      policy('No mail for Erin', {
        conditions: { users: { includeUsers: [user.id] }, applications: { includeApplications: ['mail'] } },
        ...grant('block'),
      }),
    ])
    expect(await trade('planner', subject)).toMatchObject({ status: 400, body: { error: 'invalid_request', error_codes: [53003] } })
    await setPolicies(loop, [])
    expect((await trade('planner', subject)).status).toBe(200)
    const kept = await loop.server.store.db
      .selectFrom('decisions')
      .select(['user_id', 'app_id', 'resource'])
      .where('resource', '=', 'api://mail')
      .execute()
    expect(kept).toContainEqual({ user_id: null, app_id: 'planner', resource: 'api://mail' })
    expect(kept).toContainEqual({ user_id: user.id, app_id: 'planner', resource: 'api://mail' })
    const derived = await token('planner', subject)
    const edit = policy('No agents from now on', { conditions: { users: people, clientAppTypes: ['all'], ...services }, ...grant('block') })
    const made = await loop.graph('POST', '/identity/conditionalAccess/policies', edit)
    expect(made.status).toBe(201)
    await ends(derived)
    expect((await loop.graph('DELETE', `/identity/conditionalAccess/policies/${((await made.json()) as { id: string }).id}`)).status).toBe(204)
  })

  it('D1: where the person is stays so along a chain, whatever the agents call from', async () => {
    const flow = createFlow(loop, { username: 'carol@contoso.test', clientId: 'chat', scope: 'api://planner/Mail.Read openid', capable: true })
    const form = { grant_type: 'authorization_code', client_id: 'chat', code: await flow.code(), code_verifier: flow.verifier }
    const answer = await fetch(`${loop.authority}/oauth2/v2.0/token`, {
      ...{ method: 'POST', headers: { 'x-forwarded-for': '203.0.113.7' } },
      body: new URLSearchParams({ ...form, redirect_uri: 'http://localhost', ...CP1 }),
    })
    const subject = String(((await answer.json()) as { access_token: string }).access_token)
    expect(claimsOf(subject).ipaddr).toBe('203.0.113.7')
    const applications = { includeApplications: ['mail'] }
    const abroad = policy('Mail at the office', {
      conditions: { applications, locations: { includeLocations: ['All'], excludeLocations: ['office'] } },
    })
    await setPolicies(loop, [{ ...abroad, ...grant('block') }], [{ id: 'office', ranges: ['127.0.0.0/8', '::1/128'] }])
    expect((await trade('planner', subject)).body.error_codes).toEqual([53003])
    const second = await token('planner', subject, { audience: 'api://second' })
    expect(claimsOf(second).ipaddr).toBe('203.0.113.7')
    expect((await trade('second', second)).body.error_codes).toEqual([53003])
    await setPolicies(loop, [])
  })

  it('a context that was granted for one API is none of the next, until policies were asked about it there', async () => {
    const who = { username: 'dave@contoso.test', clientId: 'chat', scope: 'api://planner/Mail.Read openid', capable: true }
    const { accessToken } = await createFlow(loop, { ...who, more: { acr_values: 'c1' } }).tokens()
    expect(claimsOf(accessToken)).toMatchObject({ acrs: ['c1'], acr: 'c1' })
    await setPolicies(loop, [
      policy('Nobody for c1', { conditions: { applications: { includeAuthenticationContextClassReferences: ['c1'] } }, ...grant('block') }),
    ])
    const derived = await token('planner', accessToken)
    const obo = { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', requested_token_use: 'on_behalf_of', scope: 'api://mail/Mail.Read' }
    const called = await loop.token({ ...obo, client_id: 'planner', client_secret: SECRET, assertion: accessToken, ...CP1 })
    for (const one of [derived, String(called.body.access_token)]) {
      const [plain, stepped] = await Promise.all([guard, guard.require({ acrs: 'c1' })].map((asked) => verdictOf(asked as Guard, one)))
      expect([plain?.allowed, stepped?.allowed, claimsOf(one).acr]).toEqual([true, false, undefined])
    }
    await setPolicies(loop, [])
  })
})
