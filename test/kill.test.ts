import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createGuard, type Guard } from '@caegis/guard'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPerson } from '../packages/cli/src/demo/person.ts'
import { trustLocalCa } from '../packages/cli/src/trust.ts'
import { freePort, PASSWORD, SCOPE, SECRET, storeOf, verdictOf } from './loop.ts'
import { killPrograms, type Program, startProgram, temporaryFolder } from './process.ts'
import { withRows } from './rows-of.ts'

const USERS = Array.from({ length: 20 }, (_, i) => `user${i}@contoso.test`)
/** Seconds. */
const BOUND = 2
/** How many requests are on their way at a time: the kill always meets some of them. */
const LANES = 4
/** Milliseconds that a head needs to arrive on a slow machine: a guard cannot know how long it travelled. */
const TRAVEL = 1000

const TENANT = JSON.stringify({
  tenant: { name: 'contoso' },
  users: USERS.map((userPrincipalName) => ({ userPrincipalName, password: PASSWORD })),
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All'] },
  ],
})

/** A change that was asked for in one round, and what came of it. */
interface Asked {
  user: string
  disable: boolean
  /** Milliseconds; absent: in flight when the server died. */
  acknowledged?: number
  txn?: string
}

describe('kill -9 in the middle of a stream of revocations', () => {
  const folder = temporaryFolder()
  const data = folder.path
  let port: number
  let origin: string
  let authority: string
  let server: Program
  let guard: Guard
  const created: Guard[] = []

  async function start(): Promise<void> {
    await storeOf(data)
    server = startProgram(['serve', '--import', join(data, 'tenant.yaml'), '--port', String(port), '--data', data, '--log', 'error'])
    await server.says('stderr', /Certificates are signed/)
    trustLocalCa(data)
  }

  function follow(staleness: 'strict' | 'best-effort'): Guard {
    const made = createGuard({
      ...{ issuer: `${authority}/v2.0`, audience: 'api://files', clientId: 'files-api', clientSecret: SECRET },
      ...{ maxStaleness: BOUND, staleness },
    })
    created.push(made)
    return made
  }

  beforeAll(async () => {
    port = await freePort()
    origin = `https://localhost:${port}`
    authority = `${origin}/contoso`
    writeFileSync(join(data, 'tenant.yaml'), TENANT)
    await start()
    guard = follow('strict')
    await guard.ready()
  })
  afterAll(async () => {
    await killPrograms()
    for (const one of created) await one.close()
    folder.remove()
  })

  const tokenOf = (user: string) =>
    createPerson({ authority, clientId: 'files-native', scopes: [SCOPE], username: user, password: PASSWORD }).signIn()

  async function daemonToken(): Promise<string> {
    const form = { grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope: `${origin}/.default` }
    const response = await fetch(`${authority}/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams(form) })
    return ((await response.json()) as { access_token: string }).access_token
  }

  const change = (token: string, { user, disable }: Asked, enabled = false) =>
    fetch(`${origin}/v1.0/users/${user}${disable ? '' : '/revokeSignInSessions'}`, {
      method: disable ? 'PATCH' : 'POST',
      headers: { authorization: `Bearer ${token}`, ...(disable ? { 'content-type': 'application/json' } : {}) },
      ...(disable ? { body: JSON.stringify({ accountEnabled: enabled }) } : {}),
    })

  /** Changes one after another in each lane, over random users, until the server is killed after the `kills`-th acknowledgement. */
  async function storm(kills: number): Promise<Asked[]> {
    const token = await daemonToken()
    const all: Asked[] = []
    let acknowledged = 0
    let dead = false
    const lane = async () => {
      while (!dead) {
        const asked: Asked = { user: USERS[Math.floor(Math.random() * USERS.length)] as string, disable: Math.random() < 0.4 }
        all.push(asked)
        try {
          const response = await change(token, asked)
          const txn = response.headers.get('caegis-txn')
          if (!response.ok || txn === null) throw new Error(`the admin API answered ${response.status}`)
          Object.assign(asked, { acknowledged: Date.now(), txn })
        } catch (error) {
          if (!dead) throw error
          return
        }
        if (++acknowledged === kills) {
          await sleep(Math.random() * 8)
          dead = true
          server.signal('SIGKILL')
        }
      }
    }
    await Promise.all(Array.from({ length: LANES }, lane))
    expect((await server.ended).signal).toBe('SIGKILL')
    return all
  }

  /** Looks at the strict guard all the time: past the bound it must have refused, or have said that it cannot know. */
  function watch(tokens: Map<string, string>, asked: readonly Asked[]): { stop(): Promise<string[]> } {
    const broken = new Set<string>()
    let done = false
    const running = (async () => {
      while (!done) {
        const late = new Set<string>()
        for (const { user, acknowledged = Infinity } of asked) if (Date.now() > acknowledged + BOUND * 1000 + TRAVEL) late.add(user)
        for (const user of late) if ((await verdictOf(guard, tokens.get(user) as string)).allowed) broken.add(user)
        await sleep(5)
      }
    })()
    return {
      async stop() {
        done = true
        await running
        return [...broken]
      },
    }
  }

  /** What a guard says when it can: on a busy machine the next head may be late at any moment. */
  async function knownOf(asked: Guard, token: string) {
    for (;;) {
      const verdict = await verdictOf(asked, token)
      if (verdict.allowed || verdict.code !== 'stale') return verdict
      await sleep(10)
    }
  }

  const logHead = () => withRows(data, async (rows) => ((await rows('select seq from tenants')) as [{ seq: number }])[0].seq)

  it.each([1, 2, 3])(
    'I1, I2, I3: what was acknowledged is refused, what was not asked for is allowed, what was in flight is one or the other (kill %i)',
    async (round) => {
      if (round > 1) {
        const token = await daemonToken()
        for (const user of USERS) await change(token, { user, disable: true }, true)
      }
      const tokens = new Map<string, string>()
      for (const user of USERS) tokens.set(user, await tokenOf(user))
      const before = await logHead()
      for (const [user, token] of tokens) expect(await verdictOf(guard, token), user).toMatchObject({ allowed: true })

      const asked = await storm(1 + Math.floor(Math.random() * 14))
      const acknowledged = new Set(asked.filter(({ txn }) => txn !== undefined).map(({ user }) => user))
      const inFlight = new Set(asked.filter(({ user, txn }) => txn === undefined && !acknowledged.has(user)).map(({ user }) => user))
      const untouched = USERS.filter((user) => !acknowledged.has(user) && !inFlight.has(user))
      expect(acknowledged.size).toBeGreaterThan(0)
      expect(untouched.length).toBeGreaterThan(0)
      const watching = watch(tokens, asked)
      if (round === 3) {
        // The server stays down for longer than the bound: who cannot know says so.
        const last = Math.max(...asked.map(({ acknowledged: at = 0 }) => at))
        while (Date.now() < last + BOUND * 1000 + TRAVEL + 100) await sleep(20)
        for (const token of tokens.values()) expect(await verdictOf(guard, token)).toMatchObject({ allowed: false })
      }

      await start()
      const found = await readDirectory(data, before)
      expect(found.problems).toEqual([])
      // Disabling somebody who is disabled already changes nothing and publishes nothing.
      for (const { user, txn, disable } of asked) if (txn !== undefined && !disable) expect(found.transactions, user).toContain(txn)
      for (const user of acknowledged) expect(found.cut, user).toContain(user)

      const fresh = follow('best-effort')
      await fresh.ready()
      const head = await logHead()
      await expect.poll(() => guard.status(), { timeout: 20_000, interval: 10 }).toMatchObject({ inSync: true, stale: false, head: { seq: head } })
      for (const [user, token] of tokens) {
        const verdicts = await Promise.all([knownOf(guard, token), knownOf(fresh, token)])
        const wanted = found.cut.has(user) ? { allowed: false, status: 401, code: 'revoked' } : { allowed: true }
        expect(verdicts, `${user}, in flight: ${inFlight.has(user)}`).toMatchObject([wanted, wanted])
        if (untouched.includes(user)) expect(verdicts[0].allowed, user).toBe(true)
      }
      expect(await watching.stop()).toEqual([])
      await fresh.close()
    },
    180_000,
  )
})

/**
 * Holds the rows of the directory against the log (rule I2), in the database itself: an instant without its event and an event without its instant are problems alike.
 * @param since position of the log before the round; `cut` names those whom an event after it cuts off
 */
function readDirectory(data: string, since: number): Promise<{ problems: string[]; cut: Set<string>; transactions: Set<string> }> {
  return withRows(data, async (rows) => {
    const problems: string[] = []
    const events = await rows<Record<string, any>>('select seq, txn, type, subject, payload from events order by seq')
    const [{ seq }] = (await rows('select seq from tenants')) as [{ seq: number }]
    if (events.length !== seq || events.some((event, i) => event.seq !== i + 1)) problems.push('the log has a hole')
    const cut = new Set<string>()
    const users = await rows<Record<string, any>>('select id, upn, enabled, valid_from, access_from, tokens_until from users')
    for (const user of users) {
      let from = 0
      let enabled = 1
      for (const event of events) {
        if (JSON.parse(event.subject).complex.user.sub !== user.id) continue
        if (event.type.endsWith('account-enabled')) {
          enabled = 1
          continue
        }
        if (event.type.endsWith('account-disabled')) enabled = 0
        from = Math.max(from, JSON.parse(event.payload).event_timestamp)
        if (event.seq > since) cut.add(user.upn)
      }
      if (user.valid_from !== from || user.access_from !== 0) problems.push(`${user.upn}: valid from ${user.valid_from}, by the log ${from}`)
      if (user.enabled !== enabled) problems.push(`${user.upn}: enabled ${user.enabled}, by the log ${enabled}`)
      const [row] = await rows<{ t: number }>("select t from cutoffs where kind = 'user' and id = ?", user.id)
      if ((row?.t ?? 0) !== from) problems.push(`${user.upn}: cutoff ${row?.t}, by the log ${from}`)
    }
    return { problems, cut, transactions: new Set(events.filter((event) => event.seq > since).map(({ txn }) => txn)) }
  })
}
