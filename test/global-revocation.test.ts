import { afterAll, beforeAll, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { eventually, type Loop, PASSWORD, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

let loop: Loop
/** Milliseconds by which the server's clock is ahead. */
let ahead = 0
const PERMISSION = 'graph/global_token_revocation'
beforeAll(async () => {
  loop = await startLoop({
    now: () => Date.now() + ahead,
    tenant: JSON.stringify({
      tenant: { name: 'contoso' },
      users: [
        { userPrincipalName: 'alice@contoso.test', password: PASSWORD },
        { userPrincipalName: 'bob@contoso.test', password: PASSWORD },
      ],
      applications: [
        { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
        { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
        { appId: 'partner', type: 'daemon', clientSecret: SECRET, permissions: [PERMISSION] },
        { appId: 'hasty', type: 'daemon', clientSecret: SECRET, permissions: [PERMISSION] },
        { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All'] },
      ],
    }),
  })
})
afterAll(() => loop.close())

async function call(
  body: unknown,
  { by = 'partner', path = '/contoso', token }: { by?: string; path?: string; token?: string } = {},
): Promise<number> {
  const bearer = token ?? (await loop.daemonToken(by, `${loop.origin}/.default`))
  const response = await fetch(`${loop.origin}${path}/global-token-revocation`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  await response.text()
  return response.status
}
const idOf = async (upn: string) =>
  (await loop.server.store.db.selectFrom('users').select('id').where('upn_key', '=', upn).executeTakeFirstOrThrow()).id

it('is named in the metadata', async () => {
  const metadata = await (await fetch(`${loop.issuer}/.well-known/openid-configuration`)).json()
  expect(metadata).toMatchObject({ global_token_revocation_endpoint: `${loop.authority}/global-token-revocation` })
})

it('ends everything of a user, however the user is named, and of nobody else', async () => {
  const guard = await loop.guard()
  const sub = await idOf('alice@contoso.test')
  const bob = await createFlow(loop, { username: 'bob@contoso.test' }).tokens()
  const email = { format: 'email', email: 'Alice@contoso.test' }
  for (const body of [
    { sub_id: email },
    { subject: email },
    { sub_id: { format: 'iss_sub', iss: loop.issuer, sub } },
    { sub_id: { format: 'opaque', id: sub } },
  ]) {
    const flow = createFlow(loop)
    const { accessToken, refreshToken } = await flow.tokens()
    expect((await verdictOf(guard, accessToken)).allowed).toBe(true)
    expect(await call(body)).toBe(204)
    await eventually(
      async () => (await verdictOf(guard, accessToken)).allowed,
      (allowed) => !allowed,
    )
    expect((await flow.refresh(refreshToken)).body).toMatchObject({ error: 'interaction_required', error_codes: [50173] })
    // A fresh sign-in is needed, and enough.
    const silent = createFlow(loop, { browser: flow.browser, more: { prompt: 'none' } })
    expect((await silent.signIn()).searchParams.get('error')).toBe('login_required')
  }
  expect((await verdictOf(guard, bob.accessToken)).allowed).toBe(true)
})

it('answers what it cannot do: 400, 401, 403, 404, 422', async () => {
  const sub = await idOf('bob@contoso.test')
  const bob = { sub_id: { format: 'opaque', id: sub } }
  for (const body of [
    '{',
    '',
    {},
    { sub_id: 'bob' },
    { sub_id: { format: 'phone_number', phone_number: '+1' } },
    { sub_id: { format: 'email' } },
    { ...bob, subject: bob.sub_id },
    { ...bob, more: 1 },
  ])
    expect(`${JSON.stringify(body)} ${await call(body)}`).toBe(`${JSON.stringify(body)} 400`)
  expect(await call(bob, { token: 'x' })).toBe(401)
  // No other permission includes it, and it includes no other.
  expect(await call(bob, { by: 'nightly' })).toBe(403)
  const token = await loop.daemonToken('partner', `${loop.origin}/.default`)
  for (const [method, path] of [
    ['POST', `/users/${sub}/revokeSignInSessions`],
    ['GET', '/users'],
  ] as const) {
    expect((await fetch(`${loop.origin}/v1.0${path}`, { method, headers: { authorization: `Bearer ${token}` } })).status).toBe(403)
  }
  for (const sub_id of [
    { format: 'opaque', id: 'nobody' },
    { format: 'opaque', id: 'bob@contoso.test' },
    { format: 'email', email: 'nobody@contoso.test' },
    { format: 'iss_sub', iss: 'https://else.test', sub },
  ])
    expect(await call({ sub_id })).toBe(404)
  await loop.server.store.db.updateTable('users').set({ break_glass: 1 }).where('id', '=', sub).execute()
  expect(await call(bob)).toBe(422)
  await loop.server.store.db.updateTable('users').set({ break_glass: 0 }).where('id', '=', sub).execute()
})

it('reaches the users of no other tenant', async () => {
  const { tenant } = await loop.server.apply(
    JSON.stringify({ tenant: { name: 'fabrikam' }, users: [{ userPrincipalName: 'carol@fabrikam.test', password: PASSWORD }] }),
  )
  const carol = await idOf('carol@fabrikam.test')
  const sub_id = { format: 'opaque', id: carol }
  expect(await call({ sub_id }, { path: '/fabrikam' })).toBe(403)
  expect(await call({ sub_id }, { path: `/${tenant}` })).toBe(403)
  expect(await call({ sub_id })).toBe(404)
})

it('lets an application try out no more than sixty users in a minute', async () => {
  const nobody = { sub_id: { format: 'opaque', id: 'nobody' } }
  const statuses: number[] = []
  for (let n = 0; n < 62; n++) statuses.push(await call(nobody, { by: 'hasty' }))
  expect(statuses.filter((status) => status === 404)).toHaveLength(60)
  expect(statuses.slice(60)).toEqual([429, 429])
  expect(await call(nobody)).toBe(404)
  ahead += 61_000
  expect(await call(nobody, { by: 'hasty' })).toBe(404)
})
