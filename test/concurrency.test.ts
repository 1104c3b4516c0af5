import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSecrets } from '../packages/server/src/store/secrets.ts'
import { createFlow } from './flow.ts'
import { claimsOf, eventually, type Loop, PASSWORD, SECRET, startLoop, verdictOf } from './loop.ts'

const SCOPES = ['Files.Read', 'Files.Write', 'Files.List'].map((name) => `api://files/${name}`)
let loop: Loop
let moment = 0

beforeAll(async () => {
  loop = await startLoop({
    now: () => Date.now() + moment * 1000,
    tenant: JSON.stringify({
      tenant: { name: 'contoso' },
      users: ['alice', 'bob'].map((name) => ({ userPrincipalName: `${name}@contoso.test`, displayName: name, password: PASSWORD })),
      applications: [
        {
          ...{ appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read', 'Files.Write', 'Files.List'] },
          ...{ cae: true, clientSecret: SECRET },
        },
        ...['files-native', 'second'].map((appId) => ({ appId, type: 'native', redirectUris: ['http://localhost'], permissions: SCOPES })),
        { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All'] },
      ],
    }),
  })
})
afterAll(() => loop.close())

const scope = `${SCOPES.join(' ')} openid profile offline_access`
/** Of a user: those that were not spent. */
const liveRefreshTokens = async (user: string) => {
  const secrets = createSecrets(loop.settings.keySecret.value)
  const rows = await loop.server.store.db.selectFrom('artifacts').select(['id', 'sealed']).where('model', '=', 'RefreshToken').execute()
  return rows
    .map(({ id, sealed }) => secrets.open(`artifact:${loop.tenant}:RefreshToken:${id}`, sealed) as { payload: Record<string, unknown> })
    .filter(({ payload }) => payload.accountId === user && payload.consumed === undefined)
}

/** What 50 parts of one application would send at once: the same, fewer scopes, a challenge's claims, none. */
function* fifty(nbf: number): Generator<Record<string, string>> {
  for (let n = 0; n < 50; n++) {
    const capabilities = { xms_cc: { values: ['cp1'] } }
    const claims = [
      {},
      { claims: JSON.stringify({ access_token: capabilities }) },
      { claims: JSON.stringify({ access_token: { ...capabilities, nbf: { essential: true, value: String(nbf - (n % 7)) } } }) },
      { claims: JSON.stringify({ access_token: { nbf: { essential: true, value: String(nbf + 1) } } }) },
    ][n % 4] as Record<string, string>
    yield { ...claims, scope: [scope, `${SCOPES[n % 3]} openid offline_access`, `${SCOPES[n % 3]}`][n % 3] as string }
  }
}

describe('50 refreshes at once', () => {
  it('E1: leave one live refresh token, one session, and no error to anybody', async () => {
    const guard = await loop.guard()
    const flow = createFlow(loop, { scope })
    const { refreshToken, accessToken } = await flow.tokens()
    const { sub, sid } = claimsOf(accessToken)
    const answers = await Promise.all([...fifty(claimsOf(accessToken).iat)].map((form) => flow.refresh(refreshToken, form)))
    expect(answers.map(({ status, body }) => `${status} ${body.error ?? ''}`)).toEqual(Array(50).fill('200 '))
    // One successor, however many asked.
    expect(new Set(answers.map(({ body }) => body.refresh_token)).size).toBe(1)
    expect(await liveRefreshTokens(String(sub))).toHaveLength(1)
    for (const { body } of answers) {
      const token = String(body.access_token)
      expect(claimsOf(token)).toMatchObject({ sub, sid })
      expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })
    }
    // What was asked for is what came, no more.
    const asked = [...fifty(0)].map(({ scope: text = '' }) =>
      text
        .split(' ')
        .filter((one) => SCOPES.includes(one))
        .map((one) => one.slice('api://files/'.length)),
    )
    expect(
      answers.map(({ body }) =>
        String(claimsOf(String(body.access_token)).scp)
          .split(' ')
          .sort(),
      ),
    ).toEqual(asked.map((names) => names.sort()))
    // The session goes on from there; the spent token leads to nothing once it is old.
    const next = await flow.refresh(String(answers[0]?.body.refresh_token))
    expect(next.status).toBe(200)
    moment += 31
    expect((await flow.refresh(refreshToken)).body).toMatchObject({ error: 'invalid_grant', suberror: 'bad_token' })
  })

  it('of msal-node leave a client that goes on', async () => {
    const person = loop.person('bob')
    const first = await person.signIn()
    const { iat, sid } = claimsOf(first)
    // MSAL joins requests that are alike; a challenge of its own makes each of these another.
    const tokens = await Promise.all(
      Array.from({ length: 50 }, (_, n) => person.silent(JSON.stringify({ access_token: { nbf: { essential: true, value: String(iat - n) } } }))),
    )
    expect(new Set(tokens.map((token) => claimsOf(token).sid))).toEqual(new Set([sid]))
    expect(claimsOf(await person.silent(JSON.stringify({ access_token: { nbf: { essential: true, value: String(iat) } } }))).sid).toBe(sid)
    expect(await liveRefreshTokens(String(claimsOf(first).sub))).toHaveLength(1)
  })

  it('A4: and a revocation in their midst leave nothing that is good', async () => {
    const guard = await loop.guard()
    const flow = createFlow(loop, { scope })
    const { refreshToken, accessToken } = await flow.tokens()
    const all = [...fifty(claimsOf(accessToken).iat)].map((form) => flow.refresh(refreshToken, form))
    const revoked = loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
    const answers = await Promise.all(all)
    expect((await revoked).status).toBe(200)
    const users = loop.server.store.db.selectFrom('users').select('valid_from')
    const { valid_from: t } = await users.where('id', '=', String(claimsOf(accessToken).sub)).executeTakeFirstOrThrow()
    for (const { status, body } of answers) {
      if (status === 200) expect(claimsOf(String(body.access_token)).iat).toBeLessThanOrEqual(t)
      else expect(body).toMatchObject({ error: 'interaction_required', error_codes: [50173] })
    }
    const got = answers.flatMap(({ status, body }) => (status === 200 ? [String(body.access_token)] : []))
    for (const token of [accessToken, ...got]) {
      await eventually(
        async () => (await verdictOf(guard, token)).allowed,
        (allowed) => !allowed,
      )
    }
  })
})

describe('a client that asks for the same again and again', () => {
  const LOOP = { error: 'invalid_grant', suberror: 'message_only', error_codes: [50196] }

  it('is told so, alone; keeps its refresh token; and is answered again by itself', async () => {
    moment += 2
    const flow = createFlow(loop, { scope })
    let { refreshToken } = await flow.tokens()
    const turn = (nbf: number, form = {}) =>
      flow.refresh(refreshToken, { claims: JSON.stringify({ access_token: { nbf: { essential: true, value: String(nbf) } } }), ...form })
    let turns = 1
    for (; turns <= 100; turns++) {
      // Each turn is a new challenge, as of an API that refuses whatever it is given.
      const { status, body } = await turn(turns)
      if (status !== 200) {
        expect({ status, body }).toMatchObject({ status: 400, body: LOOP })
        break
      }
      refreshToken = String(body.refresh_token)
    }
    // The sign-in was the first of a hundred.
    expect(turns).toBe(100)
    expect(await turn(101)).toMatchObject({ status: 400, body: LOOP })
    // The way round by the browser's session is the same loop.
    const round = createFlow(loop, { scope, browser: flow.browser, more: { prompt: 'none' } })
    expect(await round.redeem(await round.code())).toMatchObject({ status: 400, body: LOOP })
    // Other scopes, another application, another session.
    const fewer = await turn(102, { scope: `${SCOPES[0]} openid` })
    expect(fewer.status).toBe(200)
    refreshToken = String(fewer.body.refresh_token)
    await createFlow(loop, { scope, browser: flow.browser, clientId: 'second' }).tokens()
    await createFlow(loop, { scope }).tokens()
    expect(await turn(103)).toMatchObject({ status: 400, body: LOOP })
    moment += 300
    const again = await turn(104)
    expect(again.status).toBe(200)
    refreshToken = String(again.body.refresh_token)
    expect((await turn(105)).status).toBe(200)
  })
})
