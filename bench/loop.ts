import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createGuard } from '@caegis/guard'
import { createPerson } from '../packages/cli/src/demo/person.ts'
import { trustLocalCa } from '../packages/cli/src/trust.ts'
import { freePort } from '../test/loop.ts'
import { type Figure, quantile } from './figure.ts'

const BIN = fileURLToPath(new URL('../packages/cli/bin/caegis.js', import.meta.url))
const SECRET = 'a-secret-that-is-long-enough-for-a-bench'
const PASSWORD = 'correct horse battery'
/** 4 rounds of 250 people: 1,000 revocations, each of a token that was issued by a real sign-in. */
const PEOPLE = 250
const ROUNDS = 4

/**
 * The time from the moment at which the revoke call has returned to the moment at which a guard refuses: the server is a process of its own, the guard lives here
 * and is asked without a pause; one revocation at a time, on an otherwise quiet server, over TLS on loopback.
 */
export async function run(emit: (figure: Figure) => void): Promise<void> {
  const data = mkdtempSync(join(tmpdir(), 'caegis-bench-'))
  const port = await freePort()
  const origin = `https://localhost:${port}`
  const authority = `${origin}/contoso`
  const name = (index: number) => `user${index}@contoso.test`
  const file = join(data, 'tenant.yaml')
  writeFileSync(
    file,
    JSON.stringify({
      tenant: { name: 'contoso' },
      users: Array.from({ length: PEOPLE }, (_, index) => ({ userPrincipalName: name(index), password: PASSWORD })),
      applications: [
        { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
        { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: ['api://files/Files.Read'] },
        { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All'] },
      ],
    }),
  )
  const server = await startServer(['serve', '--import', file, '--data', data, '--port', String(port), '--log', 'error'], origin)
  trustLocalCa(data)
  const guard = createGuard({ issuer: `${authority}/v2.0`, audience: 'api://files', clientId: 'files-api', clientSecret: SECRET })
  try {
    await guard.ready()
    const admin = await daemonToken(authority, `${origin}/.default`)
    const people = Array.from({ length: PEOPLE }, (_, index) =>
      createPerson({ authority, clientId: 'files-native', scopes: ['api://files/Files.Read'], username: name(index), password: PASSWORD }),
    )
    const calls: number[] = []
    const denials: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const tokens: string[] = []
      for (let at = 0; at < PEOPLE; at += 4) tokens.push(...(await Promise.all(people.slice(at, at + 4).map((one) => one.signIn()))))
      for (const [index, token] of tokens.entries()) {
        const request = { headers: { authorization: `Bearer ${token}` } }
        if (!(await guard.check(request)).allowed) throw new Error('a fresh token was refused')
        const start = performance.now()
        const response = await fetch(`${origin}/v1.0/users/${name(index)}/revokeSignInSessions`, {
          method: 'POST',
          headers: { authorization: `Bearer ${admin}` },
        })
        const returned = performance.now()
        if (!response.ok) throw new Error(`the revoke call answered ${response.status}`)
        await response.arrayBuffer()
        while ((await guard.check(request)).allowed) {
          if (performance.now() - returned > 5000) throw new Error('a revocation did not arrive within five seconds')
          await new Promise((resolve) => setImmediate(resolve))
        }
        denials.push(performance.now() - returned)
        calls.push(returned - start)
      }
    }
    const figure = (what: string, value: number, more: Partial<Figure> = {}) => emit({ suite: 'loop', name: what, value, unit: 'ms', ...more })
    const [p50, p99] = [quantile(denials, 0.5), quantile(denials, 0.99)]
    emit({ suite: 'loop', name: 'revocations measured', value: denials.length, unit: 'of 1,000' })
    figure('revoke call returned -> API denies, p50', p50, { budget: '<= 5 ms', holds: p50 <= 5 })
    figure('revoke call returned -> API denies, p99', p99, { budget: '<= 25 ms', holds: p99 <= 25 })
    figure('revoke call returned -> API denies, max', Math.max(...denials))
    figure('the revoke call itself, p50', quantile(calls, 0.5))
    figure('the revoke call itself, p99', quantile(calls, 0.99))
  } finally {
    await guard.close()
    server.kill('SIGTERM')
    rmSync(data, { recursive: true, force: true })
  }
}

export async function startServer(args: string[], origin: string, env: Record<string, string> = {}): Promise<ChildProcess> {
  const child = spawn(process.execPath, [BIN, ...args], { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, ...env } })
  const data = args[args.indexOf('--data') + 1] as string
  for (let tries = 0; tries < 600; tries++) {
    if (child.exitCode !== null) throw new Error('the server did not start')
    trustLocalCa(data)
    const ready = await fetch(`${origin}/readyz`).then(
      (response) => response.ok,
      () => false,
    )
    if (ready) return child
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error('the server was not ready within a minute')
}

async function daemonToken(authority: string, scope: string): Promise<string> {
  const form = { grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope }
  const response = await fetch(`${authority}/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams(form) })
  return ((await response.json()) as { access_token: string }).access_token
}

if (import.meta.main) await run((line) => console.log(JSON.stringify(line)))
