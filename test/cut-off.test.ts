import { writeFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { createGuard, type Guard, type Verdict } from '@caegis/guard'
import { Agent, buildConnector, fetch as throughAgent } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPerson } from '../packages/cli/src/demo/person.ts'
import { trustLocalCa } from '../packages/cli/src/trust.ts'
import { claimsOf, eventually, freePort, PASSWORD, SCOPE, SECRET, verdictOf } from './loop.ts'
import { killPrograms, type Program, startProgram, temporaryFolder } from './process.ts'

/** Seconds: small, so that real ones pass quickly. */
const BOUND = 2
const TRUST = 3

const TENANT = JSON.stringify({
  tenant: { name: 'contoso' },
  users: ['alice', 'bob'].map((name) => ({ userPrincipalName: `${name}@contoso.test`, password: PASSWORD })),
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All'] },
  ],
})

/** Stands for a firewall: when it is shut, connections stay open and new ones are taken, and no byte passes either way. */
async function createWall(target: number) {
  const pairs = new Set<[Socket, Socket]>()
  let shut = false
  const server: Server = createServer((one) => {
    const other = connect(target, 'localhost')
    const pair: [Socket, Socket] = [one, other]
    pairs.add(pair)
    for (const socket of pair) {
      socket.on('error', () => {})
      socket.once('close', () => {
        pairs.delete(pair)
        for (const both of pair) both.destroy()
      })
      if (shut) socket.pause()
    }
    if (!shut) for (const [from, to] of [pair, [other, one] as const]) from.on('data', (bytes) => to.write(bytes))
  })
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  return {
    port: (server.address() as { port: number }).port,
    shut() {
      shut = true
      for (const pair of pairs) for (const socket of pair) socket.pause()
    },
    open() {
      shut = false
      // What was dropped never comes; connections are made anew.
      for (const [one] of pairs) one.destroy()
    },
    close() {
      for (const [one] of pairs) one.destroy()
      server.close()
    },
  }
}

describe('I4 with real clocks: the transmitter is cut off, stopped, or killed', () => {
  const folder = temporaryFolder()
  const data = folder.path
  const guards: Guard[] = []
  let port: number
  let authority: string
  let origin: string
  let server: Program
  let wall: Awaited<ReturnType<typeof createWall>>
  let agent: Agent
  let strict: Guard
  let lenient: Guard

  async function start(): Promise<void> {
    server = startProgram(['serve', '--import', join(data, 'tenant.yaml'), '--port', String(port), '--data', data, '--log', 'error'])
    await server.says('stderr', /Certificates are signed/)
    trustLocalCa(data)
  }
  const follow = (staleness: 'strict' | 'best-effort') => {
    const made = createGuard({
      ...{ issuer: `${authority}/v2.0`, audience: 'api://files', clientId: 'files-api', clientSecret: SECRET },
      ...{ maxStaleness: BOUND, trustStale: TRUST, trustStaleSpread: 1, staleness },
      fetch: ((url: string, init: object) => throughAgent(url, { ...init, dispatcher: agent })) as unknown as typeof fetch,
    })
    guards.push(made)
    return made
  }

  beforeAll(async () => {
    port = await freePort()
    origin = `https://localhost:${port}`
    authority = `${origin}/contoso`
    writeFileSync(join(data, 'tenant.yaml'), TENANT)
    await start()
    wall = await createWall(port)
    const dial = buildConnector({})
    agent = new Agent({ connect: (options, done) => dial({ ...options, port: String(wall.port) }, done) })
    strict = follow('strict')
    lenient = follow('best-effort')
    await Promise.all([strict.ready(), lenient.ready()])
  })
  afterAll(async () => {
    wall.close()
    await killPrograms()
    for (const one of guards) await one.close()
    await agent.destroy()
    folder.remove()
  })

  const tokenOf = (user: string) =>
    createPerson({ authority, clientId: 'files-native', scopes: [SCOPE], username: `${user}@contoso.test`, password: PASSWORD }).signIn()

  async function revoke(user: string): Promise<void> {
    const form = { grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope: `${origin}/.default` }
    const { access_token: token } = (await (
      await fetch(`${authority}/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams(form) })
    ).json()) as {
      access_token: string
    }
    const answer = await fetch(`${origin}/v1.0/users/${user}@contoso.test/revokeSignInSessions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
    })
    expect(answer.ok).toBe(true)
  }

  /** Looks at both guards until the long-lived token is trusted by neither; at each look the verdict has to be what the age says. */
  async function goDeaf(token: string): Promise<void> {
    const seen = new Set<string>()
    const word = (verdict: Verdict) => (verdict.allowed ? (verdict.stale ? 'allowed, stale' : 'allowed') : verdict.code)
    await eventually(
      async () => {
        // The age is read on both sides of the verdict: only where both say the same is the verdict held to it.
        const ages = [strict.status(), lenient.status()]
        const verdicts = [word(await verdictOf(strict, token)), word(await verdictOf(lenient, token))]
        const after = [strict.status(), lenient.status()]
        for (const [i, name] of ['strict', 'best-effort'].entries()) {
          const [from, to, verdict] = [ages[i], after[i], verdicts[i] as string]
          if (!from || !to || from.stale !== to.stale) continue
          const wanted = !to.stale
            ? ['allowed']
            : i === 0
              ? ['out_of_sync']
              : to.age <= TRUST
                ? ['allowed, stale']
                : from.age > TRUST + 1
                  ? ['stale']
                  : ['allowed, stale', 'stale']
          expect(wanted, `${name} at ${to.age} s`).toContain(verdict)
          seen.add(`${name}: ${verdict}`)
        }
        return verdicts
      },
      ([one, other]) => one === 'out_of_sync' && other === 'stale',
      'both guards refuse',
    ).catch(async (error: Error) => {
      // The bound is TRUST + 1 and a hold; a slow machine takes longer.
      if (!/did not come true/.test(error.message)) throw error
      return eventually(
        async () => [word(await verdictOf(strict, token)), word(await verdictOf(lenient, token))],
        ([one, other]) => one === 'out_of_sync' && other === 'stale',
      )
    })
    for (const one of ['strict: out_of_sync', 'best-effort: allowed, stale', 'best-effort: stale']) expect([...seen]).toContain(one)
  }

  it.each(['cut off by a firewall', 'stopped', 'killed'])('B1, B3, B11: %s', async (how) => {
    const [alice, bob] = [await tokenOf('alice'), await tokenOf('bob')]
    expect(claimsOf(alice).exp - claimsOf(alice).iat).toBeGreaterThan(6000)
    for (const token of [alice, bob]) for (const guard of [strict, lenient]) expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })
    if (how === 'killed') server.signal('SIGKILL')
    else if (how === 'stopped') server.signal('SIGSTOP')
    else {
      wall.shut()
      // The issuer goes on: what it revokes now cannot be heard.
      await revoke('alice')
    }
    await goDeaf(alice)
    const restarted = follow('best-effort')
    expect(await verdictOf(restarted, bob)).toMatchObject({ status: 503, code: 'not_ready' })

    if (how === 'killed') await server.ended.then(start)
    else if (how === 'stopped') server.signal('SIGCONT')
    else wall.open()
    await restarted.ready()
    for (const guard of [strict, lenient, restarted]) {
      await eventually(
        () => guard.status(),
        ({ inSync, stale }) => inSync && !stale,
        'in sync again',
      )
      expect(await verdictOf(guard, bob)).toMatchObject({ allowed: true, stale: false })
      if (how === 'cut off by a firewall') expect(await verdictOf(guard, alice)).toMatchObject({ allowed: false, code: 'revoked' })
      else expect(await verdictOf(guard, alice)).toMatchObject({ allowed: true, stale: false })
    }
    await restarted.close()
  })
})
