import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InteractionRequiredAuthError } from '@azure/msal-node'
import { readClaimsChallenge } from '@caegis/protocol'
import { type Demo, startDemo } from './demo.ts'
import { createPerson, type Person } from './person.ts'
import { DEMO } from './tenant.ts'

/** One hop of the loop, as it went. */
export interface Hop {
  scenario: string
  hop: string
  milliseconds: number
  held: boolean
  /** What happened instead, when it did not hold. */
  found?: string
}

/**
 * Runs the whole loop on temporary data and free ports: sign in, call, revoke, refusal with a challenge, silent answer, sign in again, call; the same for disable,
 * enable, a new password and deletion. Every hop is a real one: MSAL, TLS, the server, the guard.
 */
export async function runOnce(report: (hop: Hop) => void): Promise<boolean> {
  const data = await mkdtemp(join(tmpdir(), 'caegis-demo-'))
  let held = true
  let demo: Demo | undefined
  const step = async <T>(scenario: string, hop: string, work: () => Promise<T>): Promise<T> => {
    const start = performance.now()
    const done = (more: Partial<Hop>) => report({ scenario, hop, milliseconds: performance.now() - start, held: true, ...more })
    try {
      const result = await work()
      done({})
      return result
    } catch (error) {
      held = false
      done({ held: false, found: (error as Error).message })
      throw error
    }
  }
  try {
    demo = await step('start', 'server, API and page are up', () => startDemo({ data, ports: { server: 0, api: 0, page: 0 }, logLevel: 'error' }))
    await walk(demo, step)
  } catch {
    held = false
  } finally {
    await demo?.close()
    await rm(data, { recursive: true, force: true })
  }
  return held
}

type Step = <T>(scenario: string, hop: string, work: () => Promise<T>) => Promise<T>

async function walk(demo: Demo, step: Step): Promise<void> {
  const { facts } = demo
  const authority = `${facts.origin}/${DEMO.tenant}`
  const alice = createPerson({
    authority,
    clientId: DEMO.native,
    scopes: [DEMO.scope],
    ...(facts.users[0] as { username: string; password: string }),
  })
  const admin = createPerson({ authority, clientId: 'caegis-cli', scopes: [`${facts.origin}/User.ReadWrite.All`], ...facts.admin })

  await step('sign in', 'the admin signs in (MSAL)', () => admin.signIn())
  let token = await step('sign in', 'alice signs in (MSAL)', () => alice.signIn())
  const call = async (bearer: string) => fetch(`${facts.api}/controlplane/manage`, { headers: { authorization: `Bearer ${bearer}` } })
  const allowed = (scenario: string, hop = 'alice calls the API: 200') => step(scenario, hop, async () => expectStatus(await call(token), 200))
  const refused = (scenario: string) =>
    step(scenario, 'alice calls the API: 401 with a claims challenge', async () => {
      const response = await until(
        () => call(token),
        (answer) => answer.status === 401,
      )
      const challenge = readClaimsChallenge(response.headers.get('www-authenticate'))
      if (!challenge) throw new Error('no claims challenge')
      return challenge.claims
    })
  const write = (scenario: string, hop: string, method: string, path: string, body?: object) =>
    step(scenario, hop, async () => {
      const response = await fetch(`${facts.origin}/v1.0/users/${facts.users[0]?.username}${path}`, {
        method,
        headers: { authorization: `Bearer ${await admin.silent()}`, ...(body ? { 'content-type': 'application/json' } : {}) },
        ...(body ? { body: JSON.stringify(body) } : {}),
      })
      if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
      if (!response.headers.get('caegis-txn')) throw new Error('the answer names no txn')
    })

  await allowed('sign in')

  await write('revoke', "the admin revokes alice's sessions", 'POST', '/revokeSignInSessions')
  const claims = await refused('revoke')
  const asked = await step('revoke', 'the silent answer needs a sign-in', () => interactionRequired(alice, claims))
  token = await step('revoke', 'alice signs in again', () => alice.signIn(asked))
  await allowed('revoke')

  await write('disable', 'the admin disables alice', 'PATCH', '', { accountEnabled: false })
  const disabled = await refused('disable')
  await step('disable', 'the silent answer is refused', () => interactionRequired(alice, disabled))
  await step('disable', 'alice cannot sign in', () => cannotSignIn(alice, 'disabled'))

  await write('enable', 'the admin enables alice', 'PATCH', '', { accountEnabled: true })
  await step('enable', 'her old token stays refused', async () => expectStatus(await call(token), 401))
  token = await step('enable', 'alice signs in', () => alice.signIn(disabled))
  await allowed('enable')

  const password = `new-${demo.secrets.alice}`
  await write('password', 'the admin sets a new password', 'PATCH', '', { passwordProfile: { password } })
  const changed = await refused('password')
  await step('password', 'the silent answer needs a sign-in', () => interactionRequired(alice, changed))
  await step('password', 'the old password is refused', () => cannotSignIn(alice, 'wrong'))
  alice.setPassword(password)
  token = await step('password', 'alice signs in with the new one', () => alice.signIn(changed))
  await allowed('password')

  await write('delete', 'the admin deletes alice', 'DELETE', '')
  const deleted = await refused('delete')
  await step('delete', 'the silent answer is refused', () => interactionRequired(alice, deleted))
  await step('delete', 'alice cannot sign in', () => cannotSignIn(alice, 'wrong'))
}

async function expectStatus(response: Response, status: number): Promise<void> {
  const text = await response.text()
  if (response.status !== status) throw new Error(`${response.status} ${text}`)
}

/** Asks again for at most two seconds: how long the revocation took to arrive is what the hop's time shows. */
async function until(ask: () => Promise<Response>, good: (response: Response) => boolean): Promise<Response> {
  const end = performance.now() + 2000
  for (;;) {
    const response = await ask()
    if (good(response)) return response
    await response.body?.cancel()
    if (performance.now() > end) throw new Error(`still ${response.status} after two seconds`)
  }
}

async function interactionRequired(person: Person, claims: string): Promise<string> {
  try {
    await person.silent(claims)
  } catch (error) {
    if (error instanceof InteractionRequiredAuthError) return error.claims || claims
    throw error
  }
  throw new Error('a token was issued silently')
}

async function cannotSignIn(person: Person, because: string): Promise<void> {
  try {
    await person.signIn()
  } catch (error) {
    if ((error as Error).message.includes(because)) return
    throw error
  }
  throw new Error('the sign-in succeeded')
}
