import { afterEach, describe, expect, it } from 'vitest'
import { type Loop, SECRET } from './loop.ts'
import { killPrograms, startProgram, temporaryFolder } from './process.ts'
import { createReceiver } from './signals-tenant.ts'
import { signalsWorld } from './signals-world.ts'

const { begin, revoke, ends } = signalsWorld()

describe('streams and events of the command', () => {
  // Before the server that they ask is closed.
  afterEach(killPrograms)
  let loop: Loop
  const env = () => ({
    ...{ CAEGIS_DATA: loop.data, CAEGIS_ORIGIN: loop.origin, CAEGIS_TENANT: 'contoso' },
    ...{ CAEGIS_CLIENT_ID: 'nightly', CAEGIS_CLIENT_SECRET: SECRET, XDG_CONFIG_HOME: `${loop.data}/config` },
  })
  const run = (...args: string[]) => startProgram(args, { env: env() }).ended

  it('lists, pauses, starts, verifies and removes streams', async () => {
    loop = await begin()
    const files = createReceiver(loop)
    expect(await run('stream', 'ls')).toMatchObject({ code: 0, stdout: 'There is no stream.\n', stderr: '' })
    const id = await files.create()
    const [text, json] = await Promise.all([run('stream', 'ls'), run('stream', 'ls', '--json')])
    expect(text.stdout).toMatch(new RegExp(`^ID .*\\n${id}  files-api  poll +enabled +- +- +0\\n$`))
    expect(JSON.parse(json.stdout)).toMatchObject({ streams: [{ id, appId: 'files-api' }] })
    expect(await run('stream', 'pause', id, '--reason', 'investigation')).toMatchObject({ code: 0, stdout: `${id} is paused.\n`, stderr: '' })
    expect(await files.call('POST', '/status', { stream_id: id, status: 'enabled' })).toMatchObject({ status: 403 })
    expect(await run('stream', 'verify', id)).toMatchObject({ code: 6, stdout: '', stderr: expect.stringContaining('(409 Conflict)') })
    expect(await run('stream', 'enable', id, '--json')).toMatchObject({ code: 0, stdout: `{"stream":"${id}","command":"enable"}\n` })
    expect((await run('stream', 'verify', id)).code).toBe(0)
    expect(await run('stream', 'letters', id)).toMatchObject({ code: 0, stdout: 'There is no dead letter.\n' })
    expect(await run('stream', 'redeliver', id, '--json')).toMatchObject({ code: 0, stdout: `{"stream":"${id}","queued":[],"refused":[]}\n` })
    expect((await run('stream', 'rm', id)).stdout).toBe(`${id} is deleted.\n`)
    expect(await run('stream', 'rm', id)).toMatchObject({
      code: 5,
      stderr: `There is no stream "${id}". To see what there is: caegis stream ls (not_found)\n`,
    })
  })

  it('prints events as they are committed, and leaves none out when the server was away', async () => {
    const folder = temporaryFolder()
    ends.push(folder.remove)
    loop = await begin({ data: folder.path })
    const { data, settings } = loop
    const tail = startProgram(['events', 'tail', '--json'], { env: env() })
    const texts = startProgram(['events', 'tail'], { env: env() })
    // Nothing says that it listens but what it prints: events are made until one is.
    const heard = { json: false, text: false }
    void tail.says('stdout', /"seq":/).then(() => (heard.json = true))
    void texts.says('stdout', /session-revoked/).then(() => (heard.text = true))
    for (let i = 0; !(heard.json && heard.text) && i < 100; i++) {
      await revoke('alice')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    const before = JSON.parse(tail.stdout().split('\n')[0] as string).seq as number
    // The same data on the same port again.
    const { port } = settings
    await loop.server.close()
    await tail.says('stderr', /trying again/)
    loop = await begin({ data, environment: { CAEGIS_PORT: String(port) } })
    const txn = await revoke('bob')
    await tail.says('stdout', new RegExp(txn))
    await texts.says('stdout', new RegExp(`session-revoked  user=[\\w-]+  txn ${txn}\\n`))
    const seqs = tail
      .stdout()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).seq as number)
    expect(seqs).toEqual(seqs.map((_, i) => before + i))
    tail.signal('SIGTERM')
    texts.signal('SIGTERM')
    await Promise.all([tail.ended, texts.ended])
  })

  it('says at once when it may not, and helps', async () => {
    loop = await begin()
    const clerk = await startProgram(['events', 'tail'], { env: { ...env(), CAEGIS_CLIENT_ID: 'clerk' } }).ended
    expect(clerk).toMatchObject({ code: 4, stdout: '', stderr: expect.stringContaining('(403 Authorization_RequestDenied)') })
    for (const args of [['stream'], ['stream', 'pause'], ['events', 'tail']])
      expect(await run(...args, '--help')).toMatchObject({ code: 0, stdout: expect.stringContaining(`Usage: caegis ${args.join(' ')}`) })
  })
})
