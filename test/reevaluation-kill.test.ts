import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { trustLocalCa } from '../packages/cli/src/trust.ts'
import { seedLiving } from './living-rows.ts'
import { freePort, SECRET, storeOf } from './loop.ts'
import { killPrograms, type Program, startProgram, temporaryFolder } from './process.ts'
import { type Rows, withRows } from './rows-of.ts'

const SESSIONS = 12_000
const GROUPS = 24
/** Milliseconds. So many cuts are some thousand statements, each a round trip where the database is another process. */
const DEADLINE = 150_000
const TENANT = JSON.stringify({
  tenant: { name: 'contoso' },
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/.default'] },
  ],
})

interface Job {
  id: string
  t: number
  state: string
  done: number
  changed: number
}

describe('kill -9 between an edit and what it means for the living', () => {
  const folder = temporaryFolder()
  let port: number
  let server: Program

  async function start(): Promise<void> {
    await storeOf(folder.path)
    server = startProgram(['serve', '--import', join(folder.path, 'tenant.yaml'), '--port', String(port), '--data', folder.path, '--log', 'error'])
    await server.says('stderr', /Certificates are signed/)
    trustLocalCa(folder.path)
  }
  async function kill(): Promise<void> {
    server.signal('SIGKILL')
    expect((await server.ended).signal).toBe('SIGKILL')
  }
  const read = <T>(text: string, ...values: (string | number)[]): Promise<T[]> => withRows(folder.path, (rows) => rows<T>(text, ...values))
  const jobOf = async (id: string) => (await read<Job>('select id, t, state, done, changed from reevaluations where id = ?', id))[0] as Job

  beforeAll(async () => {
    port = await freePort()
    writeFileSync(join(folder.path, 'tenant.yaml'), TENANT)
    await start()
    await kill()
    const [tenant] = await read<{ id: string }>('select id from tenants')
    const living = { sessions: SESSIONS, users: 3000, groups: GROUPS }
    const seed = (rows: Rows) => seedLiving(rows, tenant?.id as string, living, Math.floor(Date.now() / 1000))
    await withRows(folder.path, seed, { readOnly: false })
    await start()
  }, DEADLINE)
  afterAll(async () => {
    await killPrograms()
    folder.remove()
  })

  async function block(group: string): Promise<string> {
    const form = { grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope: `https://localhost:${port}/.default` }
    const token = await fetch(`https://localhost:${port}/contoso/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams(form) })
    const { access_token } = (await token.json()) as { access_token: string }
    const policy = {
      ...{ displayName: `Block ${group}`, state: 'enabled', grantControls: { operator: 'OR', builtInControls: ['block'] } },
      conditions: { users: { includeGroups: [group] }, applications: { includeApplications: ['All'] } },
    }
    const response = await fetch(`https://localhost:${port}/v1.0/identity/conditionalAccess/policies`, {
      method: 'POST',
      headers: { authorization: `Bearer ${access_token}`, 'content-type': 'application/json' },
      body: JSON.stringify(policy),
    })
    expect(response.status).toBe(201)
    return response.headers.get('caegis-txn') as string
  }

  it.each([
    [0, 0],
    [1, 4000],
  ])(
    'B12, I2: after the restart exactly those whom it concerns are cut off, once, at the second of the edit (round %i, killed once %i were looked at)',
    async (round, enough) => {
      const group = `g${round}`
      const txn = await block(group)
      // At the earliest when so many were looked at; there are always more.
      while ((await jobOf(txn)).done < enough) await new Promise((resolve) => setImmediate(resolve))
      await kill()
      const broken = await jobOf(txn)
      expect(broken).toMatchObject({ state: 'running' })
      expect(broken.done).toBeLessThan(SESSIONS)
      // Nobody looks at the clock of the scan: it is another second by now.
      const [{ from } = { from: 0 }] = await read<{ from: number }>('select max(at) as "from" from events')
      while (Date.now() / 1000 < Math.max(from, broken.t) + 1.1) await new Promise((resolve) => setTimeout(resolve, 50))

      await start()
      await expect.poll(() => jobOf(txn), { timeout: DEADLINE, interval: 100 }).toMatchObject({ state: 'done' })
      const concerned = (
        await read<{ id: string }>(
          'select s.id from sessions s join members m on m.tenant = s.tenant and m.user_id = s.user_id where m.group_id = ? order by s.id',
          group,
        )
      ).map(({ id }) => id)
      expect(concerned).toHaveLength(SESSIONS / GROUPS)
      // The daemon that made the edit lives by a decision too.
      const [all] = await read<{ n: number }>('select count(*) as n from decisions')
      expect(await jobOf(txn)).toMatchObject({ t: broken.t, done: all?.n, changed: concerned.length })
      const cut = await read<{ id: string }>(
        "select id from cutoffs where kind = 'session' and depth = 'access' and t = ? order by id",
        String(broken.t),
      )
      expect(cut.map(({ id }) => id)).toEqual(concerned)
      expect(await read('select id from sessions where access_from = ? order by id', String(broken.t))).toEqual(cut)
      const told = (await read<{ payload: string }>('select payload from events where txn = ?', txn)).flatMap(
        ({ payload }) => JSON.parse(payload).cutoffs ?? [],
      )
      expect(told.map((row: unknown[]) => [row[1], row[2]]).sort()).toEqual(concerned.map((id) => [id, broken.t]).sort())
      // All who are cut off are so by this round or one before.
      const [{ n } = { n: 0 }] = await read<{ n: number }>(
        'select count(*) as n from sessions where access_from > 0 or valid_from > 0 or claims_from > 0',
      )
      expect(n).toBe((round + 1) * concerned.length)
    },
    2 * DEADLINE,
  )
})
