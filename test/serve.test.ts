import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { DEMO } from '../packages/cli/src/demo/tenant.ts'
import { trustLocalCa } from '../packages/cli/src/trust.ts'
import { freePort, storeOf } from './loop.ts'
import { killPrograms, type ProgramOptions, runProgram, startProgram, temporaryFolder } from './process.ts'

describe('C4: caegis serve has no default that anybody could know', () => {
  const folder = temporaryFolder()
  const data = join(folder.path, 'data')
  afterAll(async () => {
    await killPrograms()
    folder.remove()
  })

  async function start(args: string[] = [], options: ProgramOptions = {}) {
    const port = await freePort()
    await storeOf(data)
    const program = startProgram(['serve', '--port', String(port), '--data', data, ...args], options)
    await program.says('stderr', /Certificates are signed/)
    trustLocalCa(data)
    return { program, origin: `https://localhost:${port}` }
  }
  const stop = async ({ program }: Awaited<ReturnType<typeof start>>) => {
    program.signal('SIGINT')
    expect(await program.ended).toMatchObject({ code: 0 })
  }

  it('has no tenant, no user and no client until it is given one', async () => {
    const started = await start()
    const { origin } = started
    await started.program.says('stderr', /There is no tenant yet.* caegis tenant create <name>.* --import <file>/)
    expect(await (await fetch(`${origin}/readyz`)).json()).toEqual({ status: 'ready' })
    for (const path of ['v2.0/.well-known/openid-configuration', 'oauth2/v2.0/authorize', 'discovery/v2.0/keys']) {
      expect((await fetch(`${origin}/${DEMO.tenant}/${path}`)).status, path).toBe(404)
    }
    const token = await fetch(`${origin}/${DEMO.tenant}/oauth2/v2.0/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: DEMO.daemon,
        client_secret: DEMO.daemon,
        scope: `${origin}/.default`,
      }),
    })
    expect(token.status).toBe(404)

    const second = await runProgram(['serve', '--port', new URL(origin).port, '--data', join(folder.path, 'second'), '--log', 'error'])
    expect(second).toMatchObject({ code: 1, stderr: expect.stringMatching(/port is taken.*--port/s) })
    await stop(started)
  })

  // Over PostgreSQL it has to be given one.
  it.skipIf(process.env.CAEGIS_TEST_POSTGRES)(
    'says at every start that its key secret lies beside the data, whatever it logs, and nothing of the kind when it was given one',
    async () => {
      const first = await start()
      expect(first.program.stderr()).toContain('CAEGIS_KEY_SECRET')
      await stop(first)
      const again = await start(['--log', 'silent'])
      expect(again.program.stderr()).toContain('CAEGIS_KEY_SECRET')
      await stop(again)
      const given = await start(['--data', join(folder.path, 'other')], { env: { CAEGIS_KEY_SECRET: 'x'.repeat(48) } })
      expect(given.program.stderr()).not.toContain('CAEGIS_KEY_SECRET')
      await stop(given)
    },
  )

  it.skipIf(process.env.CAEGIS_TEST_POSTGRES)('says of two servers over one folder which of them waits for the other', async () => {
    const first = await start()
    const second = await start()
    await second.program.says('stderr', /"warn".*another server works on these data/)
    expect((await fetch(`${second.origin}/readyz`)).status).toBe(200)
    await stop(first)
    await second.program.says('stderr', /the other server is gone/)
    expect(first.program.stderr()).not.toContain('another server')
    await stop(second)
  })

  it('says what to do about a data folder that cannot be one', async () => {
    const file = join(folder.path, 'file')
    writeFileSync(file, '')
    // In /proc nothing can be made, and nothing says why.
    for (const path of [file, join(file, 'below'), join(file, 'far', 'below'), ...(process.platform === 'linux' ? ['/proc/caegis/data'] : [])]) {
      const refused = await runProgram(['serve', '--data', path])
      expect(refused, path).toMatchObject({ code: 2, stdout: '' })
      expect(refused.stderr).toMatch(/^CAEGIS_DATA \(--data\) must be a folder that .* choose another one.*\(E\w+\)\. \(invalid_settings\)\n$/)
    }
  })

  it('refuses what does not fit together with one sentence and an exit code', async () => {
    const refused = await runProgram(['serve', '--data', data, '--tls', 'off'])
    expect(refused).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/^CAEGIS_TLS .*\(invalid_settings\)\n$/) })
    const file = join(folder.path, 'bad.yaml')
    writeFileSync(file, 'tenant: { name: contoso }\nusers:\n  - { userPrincipalName: alice@contoso.test, pasword: hunter2-hunter2 }\n')
    const bad = await runProgram(['serve', '--data', data, '--port', String(await freePort()), '--import', file, '--log', 'error'])
    expect(bad).toMatchObject({ code: 2, stdout: '' })
    expect(bad.stderr).toMatch(/line 3.*\(invalid_tenant_file\)/s)
    expect(bad.stderr).not.toContain('hunter2')
    expect(bad.stderr).not.toMatch(/^\s+at /m)
    const absent = await runProgram(['serve', '--data', data, '--import', join(folder.path, 'absent.yaml'), '--log', 'error'])
    expect(absent).toMatchObject({ code: 2, stderr: expect.stringContaining('absent.yaml') })
  })
})
