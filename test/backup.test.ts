import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { createGuard, type Guard } from '@caegis/guard'
import { backUp, createLog, restore, type SettingsInput } from '@caegis/server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { freePort, type Loop, SECRET, startLoop } from './loop.ts'
import { hasPostgres, POSTGRES, type Postgres, query, startPostgres } from './postgres.ts'
import { killPrograms, runProgram, temporaryFolder } from './process.ts'

/** How one kind of store is copied and put back. */
interface Kept {
  data: string
  begin(): Promise<void>
  environment(): Record<string, string | undefined>
  backUp(): Promise<void>
  /** Puts the copy back, without the command that says so. */
  putBack(): void
  restore(...more: string[]): ReturnType<typeof runProgram>
  epoch(): Promise<string>
}

const folder = temporaryFolder()
let postgres: Postgres | undefined
afterAll(async () => {
  await killPrograms()
  await postgres?.close()
  folder.remove()
})

const run = (args: string[], env: Record<string, string> = {}) => runProgram(args, { env })

function embedded(): Kept & { file: string } {
  const data = join(folder.path, 'embedded')
  const file = join(folder.path, 'caegis.backup')
  return {
    ...{ data, file },
    async begin() {},
    environment: () => ({ DATABASE_URL: undefined, CAEGIS_KEY_SECRET: undefined }),
    async backUp() {
      expect(await run(['backup', file, '--data', data])).toMatchObject({ code: 0, stdout: expect.stringContaining('found whole') })
    },
    putBack() {},
    restore: (...more) => run(['restore', file, '--data', data, '--json', ...more]),
    async epoch() {
      const db = new DatabaseSync(join(data, 'caegis.db'), { readOnly: true })
      const row = db.prepare('select epoch from tenants').get()
      db.close()
      return String(row?.epoch)
    },
  }
}

function onPostgres(): Kept {
  const data = join(folder.path, 'postgres')
  const dump = join(folder.path, 'caegis.dump')
  let url = ''
  const tool = (name: string, ...args: string[]) => {
    const { status, stderr } = spawnSync(join(POSTGRES as string, name), args, { encoding: 'utf8' })
    if (status !== 0) throw new Error(stderr)
  }
  return {
    data,
    async begin() {
      postgres = await startPostgres()
      url = await postgres.database()
    },
    environment: () => ({ DATABASE_URL: url, CAEGIS_KEY_SECRET: SECRET }),
    async backUp() {
      tool('pg_dump', '--format=custom', `--file=${dump}`, url)
    },
    putBack() {
      tool('pg_restore', '--clean', '--if-exists', '--single-transaction', `--dbname=${url}`, dump)
    },
    restore: (...more) => run(['restore', '--data', data, '--json', ...more], { DATABASE_URL: url, CAEGIS_KEY_SECRET: SECRET }),
    epoch: async () => String((await query(url, 'select epoch from tenants'))[0]?.epoch),
  }
}

describe.each(hasPostgres() ? ['embedded', 'postgres'] : ['embedded'])('a backup that is restored, %s', (kind) => {
  const kept = kind === 'embedded' ? embedded() : onPostgres()
  let port: number
  let loop: Loop
  let guard: Guard
  let before: string
  const tokens: Record<string, { accessToken: string; refreshToken: string }> = {}

  const start = async () => {
    loop = await startLoop({ data: kept.data, environment: { CAEGIS_PORT: String(port), ...kept.environment() } })
  }
  const environment = () => kept.environment() as Record<string, string>
  const signIn = async (name: string) => createFlow(loop, { username: `${name}@contoso.test`, capable: true }).tokens()
  const check = (token: string) => guard.check({ headers: { authorization: `Bearer ${token}` }, socket: { remoteAddress: '127.0.0.1' } })
  const allowed = async (name: string) => (await check(String(tokens[name]?.accessToken))).allowed
  const refresh = (token: string) => loop.token({ grant_type: 'refresh_token', client_id: 'files-native', refresh_token: token })

  beforeAll(async () => {
    port = await freePort()
    await kept.begin()
    await start()
    guard = createGuard({ issuer: loop.issuer, audience: 'api://files', clientId: 'files-api', clientSecret: SECRET })
    await guard.ready()
    for (const name of ['alice', 'bob']) tokens[name] = await signIn(name)
    await kept.backUp()
    before = await kept.epoch()
    // What nobody knows of after the restore.
    expect((await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')).status).toBe(200)
    expect((await refresh(String(tokens.bob?.refreshToken))).status).toBe(200)
    while (await allowed('alice')) await sleep(20)
    expect(await allowed('bob')).toBe(true)
    await loop.close()
  })
  afterAll(async () => {
    await guard?.close()
    await loop?.close()
  })

  it('is not restored over data by mistake, nor where they are damaged, in use or sealed with another secret', async () => {
    const attempt = (from: string | undefined, input: SettingsInput = {}, more: { replace?: boolean } = {}) =>
      restore({ input: { CAEGIS_DATA: kept.data, ...environment(), ...input }, from, ...more, log: createLog('silent') }).then(
        () => 'done',
        ({ code }) => code,
      )
    if (kind === 'postgres') {
      expect(await attempt(undefined, { CAEGIS_KEY_SECRET: `${SECRET}!` })).toBe('wrong_key_secret')
      expect(await attempt('some.file')).toBe('invalid_settings')
      expect(await kept.epoch()).toBe(before)
      return
    }
    const { data, file } = kept as ReturnType<typeof embedded>
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(readFileSync(file).includes(readFileSync(join(data, 'key-secret'), 'utf8').trim())).toBe(false)
    expect(() => backUp({ data, to: file })).toThrow(expect.objectContaining({ code: 'backup_exists' }))
    expect(() => backUp({ data: folder.path, to: `${file}.other` })).toThrow(expect.objectContaining({ code: 'no_data' }))
    expect(() => backUp({ data, to: join(folder.path, 'nowhere', 'file') })).toThrow(expect.objectContaining({ code: 'backup_failed' }))
    const replace = { replace: true }
    expect(await attempt(file)).toBe('data_exists')
    expect(await attempt(undefined)).toBe('invalid_settings')
    expect(await attempt(`${file}.other`, {}, replace)).toBe('no_backup')
    const held = new DatabaseSync(join(data, 'caegis.db'))
    held.exec('begin; select count(*) from tenants')
    expect(await attempt(file, {}, replace)).toBe('data_in_use')
    held.close()
    const short = join(folder.path, 'short')
    writeFileSync(short, readFileSync(file).subarray(0, -20_000))
    for (const path of [short, join(data, 'key-secret')]) expect(await attempt(path, {}, replace)).toBe('invalid_backup')
    const empty = { CAEGIS_DATA: join(folder.path, 'empty') }
    // Of a file that is another one, nobody is told to look for a secret.
    expect(await attempt(join(data, 'key-secret'), empty)).toBe('invalid_backup')
    expect(existsSync(empty.CAEGIS_DATA)).toBe(false)
    expect(await attempt(file, empty)).toBe('wrong_key_secret')
    expect(await attempt(file, { ...empty, CAEGIS_KEY_SECRET: 'another secret that is long enough for this' })).toBe('wrong_key_secret')
    expect(existsSync(join(empty.CAEGIS_DATA, 'caegis.db'))).toBe(false)
    expect(readdirSync(data).filter((name) => name.includes('restoring'))).toEqual([])
    expect(await kept.epoch()).toBe(before)
  })

  it('B5: ends what was issued before it, and whoever was revoked since is let in nowhere', async () => {
    kept.putBack()
    // Whoever kept it may not have kept it for himself.
    if (kind === 'embedded') chmodSync((kept as ReturnType<typeof embedded>).file, 0o644)
    const done = await kept.restore(...(kind === 'embedded' ? ['--replace'] : []))
    expect(done, done.stderr).toMatchObject({ code: 0 })
    const { tenants, aside } = JSON.parse(done.stdout)
    expect(tenants).toEqual(['contoso'])
    if (kind === 'embedded') {
      expect(existsSync(aside)).toBe(true)
      expect(statSync(join(kept.data, 'caegis.db')).mode & 0o777).toBe(0o600)
    }
    expect(await kept.epoch()).not.toBe(before)

    await start()
    const seen: boolean[] = []
    await expect
      .poll(
        async () => {
          seen.push(await allowed('alice'))
          return allowed('bob')
        },
        { timeout: 30_000 },
      )
      .toBe(false)
    const epoch = await kept.epoch()
    await expect.poll(() => guard.status().head?.epoch, { timeout: 30_000 }).toBe(epoch)
    seen.push(await allowed('alice'))
    expect(seen).not.toContain(true)
    // The one that was spent after the backup was taken, above all.
    expect(await refresh(String(tokens.bob?.refreshToken))).toMatchObject({ status: 400, body: { error: 'interaction_required' } })
    tokens.bob = await signIn('bob')
    await expect.poll(() => allowed('bob'), { timeout: 20_000 }).toBe(true)
  })

  it('leaves what was issued alone where somebody says that nothing was taken back since', async () => {
    await loop.close()
    if (kind === 'embedded') {
      const { file } = kept as ReturnType<typeof embedded>
      const again = `${file}.2`
      backUp({ data: kept.data, to: again })
      expect(await run(['restore', again, '--data', kept.data, '--replace', '--keep-tokens'])).toMatchObject({ code: 0 })
    } else expect(await kept.restore('--keep-tokens')).toMatchObject({ code: 0 })
    const epoch = await kept.epoch()
    await start()
    await expect.poll(() => guard.status().head?.epoch, { timeout: 30_000 }).toBe(epoch)
    expect(await allowed('bob')).toBe(true)
    expect((await refresh(String(tokens.bob?.refreshToken))).status).toBe(200)
  })
})
