import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { localTls } from '@caegis/server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Config, type Mode, TIMING } from '../conformance/config.ts'
import { PUSH } from '../conformance/events.ts'
import { describe as printed } from '../conformance/notes.ts'
import { TRANSMITTER_PLANS } from '../conformance/plans.ts'
import { createTarget, runTransmitterModule, type TransmitterModule } from '../conformance/transmitter/session.ts'
import { createDevices } from '../packages/server/src/directory/devices.ts'
import { eventually, type Loop, SECRET, startLoop } from './loop.ts'

const system = { kind: 'system', reason: 'test' } as const

const MODES: Mode[] = ['push', 'poll']

describe('the transmitter plans, against this server', () => {
  let loop: Loop
  const targets = new Map<string, ReturnType<typeof createTarget>>()

  beforeAll(async () => {
    loop = await startLoop({ environment: { CAEGIS_DIAL_ALLOW: 'localhost' } })
    const { cert, key } = await localTls(loop.data, Date.now())
    const devices = createDevices(loop.server.store, loop.tenant)
    let compliant = true
    await devices.create(system, {
      id: 'laptop',
      displayName: 'Laptop',
      publicKey: { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43) },
    })
    const done = async (answer: Promise<Response>) => expect((await answer).status).toBeLessThan(300)
    for (const [plan, { profile = 'default' }] of Object.entries(TRANSMITTER_PLANS)) {
      for (const mode of MODES) {
        const config: Config = {
          ...{ profile, mode, timing: { ...TIMING, every: 25, event: 5000, verification: 5000 } },
          listen: { cert, key, host: 'localhost', port: 0 },
          transmitter: {
            issuer: loop.issuer,
            credentials: { clientId: 'files-api', clientSecret: SECRET },
            audience: 'api://files',
            subject: { format: 'email', email: 'alice@contoso.test' },
            trigger: {
              async 'device-compliance-change'() {
                compliant = !compliant
                await devices.update(system, 'laptop', { compliant })
              },
              'session-revoked': () => done(loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')),
              'credential-change': () =>
                done(loop.graph('PATCH', '/users/alice@contoso.test', { passwordProfile: { password: 'another horse battery' } })),
            },
          },
        }
        targets.set(`${plan} ${mode}`, createTarget(config))
      }
    }
  })
  afterAll(() => loop?.close())

  for (const [plan, { modules }] of Object.entries(TRANSMITTER_PLANS)) {
    for (const mode of MODES) {
      describe(`${plan}, ${mode}`, () => {
        for (const module of modules) if ((module.mode ?? mode) === mode) it(module.name, () => check(module))

        async function check(module: TransmitterModule): Promise<void> {
          const target = targets.get(`${plan} ${mode}`) as ReturnType<typeof createTarget>
          const result = await runTransmitterModule(module, target)
          expect(result.outcome, printed(result)).toBe('pass')
        }
      })
    }
  }

  describe('the command', () => {
    const run = async (change: object, args: string[]): Promise<{ code: number | null; output: string }> => {
      const file = join(loop.data, 'conformance.json')
      const transmitter = { issuer: loop.issuer, credentials: { clientId: 'files-api', clientSecret: SECRET }, audience: 'api://files', ...change }
      writeFileSync(file, JSON.stringify({ ca: join(loop.data, 'tls', 'ca.pem'), timing: { every: 50 }, transmitter }))
      const child = spawn(process.execPath, ['conformance/run.ts', '--config', file, ...args])
      let output = ''
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (chunk) => {
          output += chunk
        })
      }
      const [code] = await once(child, 'close')
      return { code, output }
    }
    const module = ['--module', 'openid-ssf-stream-control-happy-path']

    it('prints a line a module, and ends with 0 when none fails', async () => {
      const { code, output } = await run({}, module)
      expect(output).toBe('pass    openid-ssf-stream-control-happy-path\ntransmitter, poll: 1 passed, 0 with warnings, 0 failed, 0 skipped\n')
      expect(code).toBe(0)
    })

    it('says what failed and where that is written, without a stack, and ends with 1', async () => {
      const { code, output } = await run({ audience: 'api://mail' }, module)
      expect(output).toContain(
        'fail    openid-ssf-stream-control-happy-path\n        fail: aud of the configuration is not the one that is expected (SSF 1.0',
      )
      expect(output).not.toContain(' at ')
      expect(code).toBe(1)
    })

    it('ends with 2 when it cannot be used', async () => {
      const { code, output } = await run({ issuer: 1 }, module)
      expect(output).toContain('transmitter.issuer must be a text\nusage: ')
      expect(output).not.toContain(' at ')
      expect(code).toBe(2)
    })
  })

  it('pushes nothing to a receiver for whose certificate nobody vouches (RFC 8935 section 5)', async () => {
    const stranger = mkdtempSync(join(tmpdir(), 'caegis-stranger-'))
    const { cert, key } = await localTls(stranger, Date.now())
    let requests = 0
    const server = createServer({ cert, key }, (_, response) => {
      requests++
      response.writeHead(202).end()
    })
    await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
    const call = async (method: string, path: string, body?: object) => {
      const token = await loop.daemonToken('files-api', 'ssf.read ssf.manage')
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
      return fetch(`${loop.authority}/ssf${path}`, { method, headers, ...(body && { body: JSON.stringify(body) }) })
    }
    const endpoint_url = `https://localhost:${(server.address() as { port: number }).port}/events`
    const made = (await (await call('POST', '/streams', { delivery: { method: PUSH, endpoint_url } })).json()) as { stream_id: string }
    try {
      await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
      const failed = loop.server.store.db.selectFrom('deliveries').selectAll().where('stream', '=', made.stream_id).where('state', '=', 'failed')
      await eventually(
        () => failed.execute(),
        (rows) => rows.length > 0,
        'a failed delivery',
      )
      expect(requests).toBe(0)
    } finally {
      await call('DELETE', `/streams?stream_id=${made.stream_id}`)
      server.close()
      rmSync(stranger, { recursive: true, force: true })
    }
  })
})
