import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createGuard, type Guard } from '@caegis/guard'
import { startServer } from '../../bench/loop.ts'
import { trustLocalCa } from '../../packages/cli/src/trust.ts'
import { freePort } from '../../test/loop.ts'

const SECRET = 'a-secret-that-is-long-enough-for-a-test'

/** Each request over a connection of its own: one that is there already shows nothing of what becomes of new ones. */
const ANEW = { connection: 'close' }

/** A real server in a process of its own, a guard that follows it strictly, and whoever asks both. */
export interface Host {
  data: string
  origin: string
  pid: number
  guard: Guard
  /** Another guard, which begins now; whoever asks for it closes it. */
  follow(): Guard
  /** Status of an attempt to get a token, and what was said; a failure of the network by its code. */
  token(): Promise<{ status: number | string; token: string }>
  /** Status of a change by the admin API. */
  change(): Promise<number | string>
  /** Whether the guard lets a token in, or the status that it answers. */
  check(token: string, by?: Guard): Promise<true | number>
  /** Status of a path. */
  get(path: string): Promise<number | string>
  /** The process that was started is the one that runs. */
  isSame(): boolean
  close(): Promise<void>
}

export interface HostOptions {
  data?: string
  flags?: (data: string) => Promise<string[]> | string[]
  environment?: Record<string, string>
}

export async function startHost({
  data = mkdtempSync(join(tmpdir(), 'caegis-machine-')),
  flags = () => [],
  environment = {},
}: HostOptions = {}): Promise<Host> {
  const port = await freePort()
  const origin = `https://localhost:${port}`
  const file = join(tmpdir(), `caegis-machine-${port}.yaml`)
  writeFileSync(
    file,
    JSON.stringify({
      tenant: { name: 'contoso' },
      users: [{ userPrincipalName: 'alice@contoso.test', password: 'correct horse battery' }],
      applications: [
        { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
        { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All', 'api://files/.default'] },
      ],
    }),
  )
  const args = [
    'serve',
    '--import',
    file,
    '--data',
    data,
    '--port',
    String(port),
    '--log',
    'silent',
    '--loop-limit',
    '9999999',
    ...(await flags(data)),
  ]
  const child: ChildProcess = await startServer(args, origin, environment)
  trustLocalCa(data)
  const follow = () =>
    createGuard({
      ...{ issuer: `${origin}/contoso/v2.0`, audience: 'api://files', clientId: 'files-api', clientSecret: SECRET },
      ...{ maxStaleness: 5, staleness: 'strict' },
    })
  const guard = follow()
  await guard.ready()
  const told = async (work: () => Promise<number>): Promise<number | string> => {
    try {
      return await work()
    } catch (error) {
      const { cause, name } = error as Error & { cause?: { code?: string } }
      return cause?.code ?? name
    }
  }
  const ask = async (scope: string) => {
    let token = ''
    const status = await told(async () => {
      const form = new URLSearchParams({ grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope })
      const response = await fetch(`${origin}/contoso/oauth2/v2.0/token`, {
        method: 'POST',
        body: form,
        headers: ANEW,
        signal: AbortSignal.timeout(20_000),
      })
      token = String(((await response.json()) as { access_token?: string }).access_token)
      return response.status
    })
    return { status, token }
  }
  const { token: admin } = await ask(`${origin}/.default`)
  return {
    ...{ data, origin, guard, follow, pid: child.pid as number },
    token: () => ask('api://files/.default'),
    change: () =>
      told(async () => {
        const path = '/v1.0/users/alice@contoso.test/revokeSignInSessions'
        const headers = { authorization: `Bearer ${admin}`, ...ANEW }
        return (await fetch(`${origin}${path}`, { method: 'POST', headers, signal: AbortSignal.timeout(20_000) })).status
      }),
    async check(token, by = guard) {
      const verdict = await by.check({ headers: { authorization: `Bearer ${token}` } })
      return verdict.allowed || verdict.status
    },
    get: (path) => told(async () => (await fetch(`${origin}${path}`, { headers: ANEW, signal: AbortSignal.timeout(5000) })).status),
    isSame: () => child.exitCode === null && child.signalCode === null,
    async close() {
      await guard.close()
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      await ended
      rmSync(file, { force: true })
      rmSync(data, { recursive: true, force: true })
    },
  }
}

/** Asks until the answer is right, for half a minute at most. @returns the last answer */
export async function until<T>(ask: () => Promise<T> | T, isRight: (answer: T) => boolean): Promise<T> {
  const end = performance.now() + 30_000
  for (;;) {
    const answer = await ask()
    if (isRight(answer) || performance.now() > end) return answer
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** Whether all is as it was before the fault, in the same process. */
export async function recovered(host: Host, faults: string[]): Promise<void> {
  const fine = await until(
    async () => [(await host.token()).status, await host.change(), await host.get('/readyz')].join(),
    (answers) => answers === '200,200,200',
  )
  if (fine !== '200,200,200') faults.push(`token, change and readiness are answered with ${fine} when it is over`)
  const { token } = await host.token()
  const allowed = await until(
    () => host.check(token),
    (answer) => answer === true,
  )
  if (allowed !== true) faults.push(`a new token is answered with ${allowed} by the guard when it is over`)
  if (!host.isSame()) faults.push('the server ended')
}
