import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { localTls } from '@caegis/server'
import { createReceiver, nodeHandler, type Receiver } from '@caegis/ssf/receiver'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Config, type Drive, type Mode, TIMING } from '../conformance/config.ts'
import { ALL_EVENTS } from '../conformance/events.ts'
import { describe as printed } from '../conformance/notes.ts'
import { RECEIVER_PLANS } from '../conformance/plans.ts'
import { type ReceiverModule, runReceiverModule } from '../conformance/receiver/modules.ts'
import { trustLocalCa } from '../packages/cli/src/trust.ts'

const CLIENT = { clientId: 'receiver', clientSecret: 'a-secret-for-this-test-only' }
const AUDIENCE = 'https://receiver.example.test/ssf'
const HEADER = 'Bearer what-pushes-carry'
const MODES: Mode[] = ['push', 'poll']

describe('the receiver plans, with this receiver', () => {
  const data = mkdtempSync(join(tmpdir(), 'caegis-conformance-'))
  const tls = { cert: '', key: '' }

  beforeAll(async () => {
    Object.assign(tls, await localTls(data, Date.now()))
    trustLocalCa(data)
  })
  afterAll(() => rmSync(data, { recursive: true, force: true }))

  for (const [plan, { profile, modules }] of Object.entries(RECEIVER_PLANS)) {
    for (const mode of MODES) {
      describe(`${plan}, ${mode}`, () => {
        for (const module of modules) it(module.name, () => check(module))

        async function check(module: ReceiverModule): Promise<void> {
          const config: Config = {
            ...{ profile, mode, timing: { ...TIMING, every: 25, step: 4000 } },
            listen: { ...tls, host: 'localhost', port: 0 },
            receiver: { credentials: CLIENT, audience: AUDIENCE, subject: { format: 'email', email: 'alice@example.test' }, drive: createDrive(tls) },
          }
          const result = await runReceiverModule(module, config, plan)
          expect(result.outcome, printed(result)).toBe('pass')
        }
      })
    }
  }
})

/** Takes the steps of a module with `createReceiver`, as a program that uses it would. */
function createDrive(tls: { cert: string; key: string }): Drive {
  let receiver: Receiver | undefined
  let server: Server | undefined

  const open = async (issuer: string, mode: Mode, events?: string[]): Promise<void> => {
    const push = mode === 'push' ? await endpoint() : undefined
    receiver = createReceiver({
      transmitter: issuer,
      credentials: CLIENT,
      audience: AUDIENCE,
      delivery: push === undefined ? 'poll' : { push: { endpointUrl: push, authorizationHeader: HEADER } },
      on: { '*': () => {} },
      ...(events && { events }),
      description: 'conformance',
      reenable: true,
      timing: { close: 1000, verification: 4000 },
    })
    await receiver.start()
  }
  const endpoint = async (): Promise<string> => {
    server ??= await new Promise<Server>((resolve) => {
      const made = createServer(tls, (request, response) => void nodeHandler(receiver as Receiver)(request, response))
      made.listen(0, 'localhost', () => resolve(made))
    })
    return `https://localhost:${(server.address() as { port: number }).port}/events`
  }

  return async (step, { issuer, mode }) => {
    switch (step) {
      case 'start':
        await open(issuer, mode, ALL_EVENTS)
        return true
      case 'update':
        // A program that is deployed with other events brings its stream up to date.
        await receiver?.close()
        await open(issuer, mode, ['session-revoked', 'credential-change'])
        return true
      case 'read-status':
        // The status is read of a stream that was there before.
        await receiver?.close()
        await open(issuer, mode, ALL_EVENTS)
        return true
      case 'update-status':
        return true
      case 'verify':
        await receiver?.verify()
        return true
      case 'delete':
        await receiver?.close({ delete: true })
        return true
      case 'stop':
        await receiver?.close()
        server?.closeAllConnections()
        server?.close()
        return true
      case 'read':
        await receiver?.reconcile()
        return true
      case 'replace':
        // What is no longer asked for by name can only be taken back by a replacement.
        for (const events of [['session-revoked'], undefined]) {
          await receiver?.close()
          await open(issuer, mode, events)
        }
        return true
    }
  }
}
