import { afterEach, describe, expect, it } from 'vitest'
import { eventually, freePort, type Loop, startLoop } from './loop.ts'
import { asDemo, blockOf, runShown, type Shown, STARTED, startShown } from './shown.ts'

/** express-api is started by readme.test.ts, and coediting by its own test. */
describe('the README of the example ssf-receiver', () => {
  let loop: Loop | undefined
  let shown: Shown | undefined
  afterEach(async () => {
    shown?.kill()
    await loop?.close()
    loop = undefined
  })

  it('starts the receiver, which hears of a revocation, and takes its stream with it on SIGTERM', async () => {
    loop = await startLoop()
    const { db } = loop.server.store
    const streams = () => db.selectFrom('streams').select('id').execute()
    shown = startShown(blockOf('examples/ssf-receiver/README.md', 'npm start', asDemo(loop)))
    const { output } = shown
    await eventually(streams, (all) => all.length === 1, 'the subscription', STARTED)
    await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
    await eventually(output, (text) => text.includes('end what began by '), 'the event')
    shown.signal('SIGTERM')
    expect(await shown.exited, output()).toBe(0)
    expect(await streams()).toEqual([])
  })

  it('starts the transmitter', async () => {
    const base = `http://localhost:${await freePort()}`
    shown = startShown('npm run transmitter -w @caegis/example-ssf-receiver', { env: { BASE: base } })
    const metadata = () => fetch(`${base}/.well-known/ssf-configuration`).catch(() => undefined)
    const found = await eventually(metadata, (answer) => answer?.status === 200, 'the transmitter is up', STARTED)
    expect(await found?.json()).toMatchObject({ issuer: base })
  })
})

it('docs/graph.md: the request for a token, and one with it', async () => {
  const loop = await startLoop()
  try {
    const { value } = JSON.parse(await runShown(blockOf('docs/graph.md', '/v1.0/users', asDemo(loop))))
    expect(value).toContainEqual(expect.objectContaining({ userPrincipalName: 'alice@contoso.test' }))
  } finally {
    await loop.close()
  }
})
