import { createGuard, type Guard } from '@caegis/guard'
import { localTls } from '@caegis/server'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { type Link, startLink } from '../chaos/network/link.ts'
import { createRandom } from '../chaos/network/random.ts'
import { createFlow } from './flow.ts'
import { claimsOf, type Loop, PASSWORD, SECRET, startLoop, verdictOf } from './loop.ts'

/** Seconds. */
const BOUND = 1
const PATIENT = { timeout: 30_000, interval: 20 }

let loop: Loop
let link: Link
const guards: Guard[] = []
beforeAll(async () => {
  loop = await startLoop({ settings: { maxStaleness: BOUND } })
  link = await startLink(Number(new URL(loop.origin).port), await localTls(loop.data, Date.now()), createRandom(7))
})
afterEach(async () => {
  link.heal()
  for (const guard of guards.splice(0)) await guard.close()
})
afterAll(async () => {
  await link.close()
  await loop.close()
})

function makeGuard(): Guard {
  const guard = createGuard({
    ...{ issuer: loop.issuer, audience: 'api://files', clientId: 'files-api', clientSecret: SECRET },
    ...{ fetch: link.fetch, maxStaleness: BOUND, staleness: 'strict' },
  })
  guards.push(guard)
  return guard
}

it.each(['stall', 'replay'] as const)(
  'I1, I4: a guard over a line that says nothing, or only what was said before, knows that it is stale (%s)',
  async (fault) => {
    const guard = makeGuard()
    await guard.ready()
    const [alice, bob] = await Promise.all(
      ['alice', 'bob'].map(async (name) => (await createFlow(loop, { username: `${name}@contoso.test` }).tokens()).accessToken),
    )
    for (const token of [alice, bob]) await expect.poll(() => verdictOf(guard, token as string), PATIENT).toMatchObject({ allowed: true })
    link.set(fault)
    expect((await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')).status).toBe(200)
    await expect.poll(() => verdictOf(guard, bob as string), PATIENT).toMatchObject({ status: 503, code: 'out_of_sync' })
    // An answer that was on its way already may have told of it.
    expect(await verdictOf(guard, alice as string)).toMatchObject({ allowed: false })
    expect(guard.status().stale).toBe(true)
    link.heal()
    await expect.poll(() => verdictOf(guard, alice as string), PATIENT).toMatchObject({ status: 401, code: 'revoked' })
    await expect.poll(() => verdictOf(guard, bob as string), PATIENT).toMatchObject({ allowed: true })
  },
)

it.each(['lose', 'duplicate'] as const)(
  'I5: a guard whose question for a stream is answered to nobody, or asked twice, has one stream (%s)',
  async (fault) => {
    const streams = () => loop.server.store.db.selectFrom('streams').select('id').where('receiver', '=', 'files-api').execute()
    await expect.poll(streams, PATIENT).toEqual([])
    let asked = 0
    link.messages.onAnswer = ({ method, path }) => {
      if (method === 'POST' && path.endsWith('/ssf/streams')) asked++
    }
    const guard = makeGuard()
    // Everything before comes to its end first: what is lost is this answer.
    link.messages.only = (method, path) => method === 'POST' && path.endsWith('/ssf/streams')
    link.set(fault)
    await expect.poll(() => asked, PATIENT).toBeGreaterThan(1)
    link.heal()
    link.messages.only = undefined
    await guard.ready()
    expect(await streams()).toHaveLength(1)
    // Another one would be a copy of the API of which nobody hears.
    const flow = createFlow(loop, { capable: true })
    let { refreshToken } = await flow.tokens()
    const life = async () => {
      const { body } = await flow.refresh(refreshToken)
      refreshToken = String(body.refresh_token)
      const { iat, exp } = claimsOf(String(body.access_token))
      return exp - iat
    }
    await expect.poll(life, PATIENT).toBeGreaterThan(20 * 3600)
  },
)

it.each(['lose', 'duplicate'] as const)(
  'E1: a refresh that nobody heard the answer of, or that came twice, has one successor, and another goes on from there (%s)',
  async (fault) => {
    const flow = createFlow(loop)
    const { refreshToken } = await flow.tokens()
    const made = new Set<unknown>()
    link.messages.onAnswer = ({ body }) => made.add(JSON.parse(body).refresh_token)
    link.set(fault)
    const form = () => new URLSearchParams({ grant_type: 'refresh_token', client_id: 'files-native', refresh_token: refreshToken })
    const ask = () => link.fetch(`${loop.authority}/oauth2/v2.0/token`, { method: 'POST', body: form() })
    if (fault === 'lose') for (let i = 0; i < 2; i++) await expect(ask()).rejects.toThrow()
    else expect((await ask()).status).toBe(200)
    link.heal()
    const answer = (await (await ask()).json()) as { refresh_token: string }
    expect([...made]).toEqual([answer.refresh_token])
    expect((await flow.refresh(answer.refresh_token)).status).toBe(200)
  },
)

it.each(['lose', 'duplicate'] as const)(
  'an administrator who did not hear that somebody was made asks again, and there is one (%s)',
  async (fault) => {
    const name = `${fault}@contoso.test`
    const authorization = `Bearer ${await loop.daemonToken('nightly', `${loop.origin}/.default`)}`
    const body = JSON.stringify({
      ...{ accountEnabled: true, displayName: name, mailNickname: fault, userPrincipalName: name },
      passwordProfile: { password: PASSWORD, forceChangePasswordNextSignIn: false },
    })
    const ask = () =>
      link.fetch(`${loop.origin}/v1.0/users`, { method: 'POST', headers: { authorization, 'content-type': 'application/json' }, body })
    link.set(fault)
    await ask().catch(() => {})
    link.heal()
    const again = await ask()
    expect([again.status, JSON.stringify(await again.json())]).toEqual([409, expect.stringContaining('already')])
    const rows = await loop.server.store.db.selectFrom('users').select('id').where('upn_key', '=', name).execute()
    expect(rows).toHaveLength(1)
  },
)
