import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer, readSettings } from '@caegis/server'
import { trustLocalCa } from '../packages/cli/src/trust.ts'
import { createDirectory } from '../packages/server/src/directory/directory.ts'
import { freePort } from '../test/loop.ts'

export const SECRET = 'a-secret-that-is-long-enough-for-a-bench'
/** People who can be revoked: `user0@contoso.test` and so on. */
export const PEOPLE = 50

/** A real server over TLS in a process of its own; its changes are made from within, so that the instant of their commit is known. */
export interface Host {
  data: string
  origin: string
  issuer: string
  authority: string
  /** Revokes so many times, one after the other; the instants of the commits by {@link clock}. */
  revoke(count?: number): Promise<number[]>
  /** Milliseconds of processor that the server has used. */
  used(): Promise<number>
  /** Bytes of the server's resident memory. */
  memory(): Promise<number>
  /** A token for an application's own streams. */
  token(appId: string): Promise<string>
  close(): Promise<void>
}

type Question = { ask: 'revoke'; count: number } | { ask: 'used' } | { ask: 'memory' }

/** Milliseconds by the clock that all processes of this machine share. */
export const clock = (): number => Number(process.hrtime.bigint()) / 1e6

/** @param prepare what happens to the data folder, which holds the tenant, before the server of the benchmark starts */
export async function startHost(apps: number, prepare?: (data: string) => Promise<void>): Promise<Host> {
  const data = mkdtempSync(join(tmpdir(), 'caegis-bench-'))
  const port = await freePort()
  if (prepare) {
    const first = await serve(data, port, apps)
    await first.close()
    await prepare(data)
  }
  const child = fork(import.meta.filename, [data, String(port), String(apps)])
  const issuer = await new Promise<string>((resolve, reject) => {
    child.once('message', (text) => resolve(String(text)))
    child.once('exit', () => reject(new Error('the server did not start')))
  })
  trustLocalCa(data)
  const ask = questions(child)
  const authority = issuer.slice(0, -'/v2.0'.length)
  return {
    ...{ data, issuer, authority, origin: `https://localhost:${port}` },
    revoke: (count = 1) => ask({ ask: 'revoke', count }) as Promise<number[]>,
    used: () => ask({ ask: 'used' }) as Promise<number>,
    memory: () => ask({ ask: 'memory' }) as Promise<number>,
    async token(appId) {
      const form = { grant_type: 'client_credentials', client_id: appId, client_secret: SECRET, scope: 'ssf.read ssf.manage' }
      const response = await fetch(`${authority}/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams(form) })
      if (!response.ok) throw new Error(`the token endpoint answered ${response.status}`)
      return String(((await response.json()) as { access_token: string }).access_token)
    },
    async close() {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.disconnect()
      await ended
      rmSync(data, { recursive: true, force: true })
    },
  }
}

function questions(child: ChildProcess) {
  const open = new Map<number, (answer: unknown) => void>()
  let last = 0
  child.on('message', ({ id, answer }: { id: number; answer: unknown }) => {
    open.get(id)?.(answer)
    open.delete(id)
  })
  return (question: Question) =>
    new Promise<unknown>((resolve) => {
      const id = ++last
      open.set(id, resolve)
      child.send({ ...question, id })
    })
}

async function serve(data: string, port: number, apps: number) {
  const settings = readSettings({ CAEGIS_DATA: data, CAEGIS_PORT: String(port), CAEGIS_LOG: 'error', CAEGIS_DIAL_ALLOW: 'localhost' })
  const server = await createServer({ settings })
  const made = await server.apply(tenantFile(apps))
  return { ...server, ...made, directory: createDirectory(server.store, made.tenant, made.issuer) }
}

export function tenantFile(apps: number): string {
  return JSON.stringify({
    tenant: { name: 'contoso' },
    users: Array.from({ length: PEOPLE }, (_, index) => ({ userPrincipalName: `user${index}@contoso.test` })),
    applications: Array.from({ length: apps }, (_, index) => ({
      appId: `api-${index}`,
      identifierUris: [`api://api-${index}`],
      cae: true,
      clientSecret: SECRET,
    })),
  })
}

/** The process of the server. */
async function main([data, port, apps]: string[]): Promise<void> {
  const server = await serve(data as string, Number(port), Number(apps))
  await server.listen()
  trustLocalCa(data as string)
  let turn = 0
  const answer = async (question: Question): Promise<unknown> => {
    if (question.ask === 'revoke') {
      const commits: number[] = []
      for (let i = 0; i < question.count; i++) {
        await server.directory.revokeSessions({ kind: 'system', reason: 'bench' }, `user${turn++ % PEOPLE}@contoso.test`)
        commits.push(clock())
      }
      return commits
    }
    if (question.ask === 'memory') return process.memoryUsage.rss()
    const { user, system } = process.cpuUsage()
    return (user + system) / 1000
  }
  process.on('message', async (question: Question & { id: number }) => process.send?.({ id: question.id, answer: await answer(question) }))
  process.once('disconnect', async () => {
    await server.close()
    process.exit(0)
  })
  process.send?.(server.issuer)
}

if (import.meta.main) await main(process.argv.slice(2))
