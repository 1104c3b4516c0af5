import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { claimsOf, eventually, freePort, type Loop, startLoop } from './loop.ts'
import { asDemo, blockOf, type Shown, STARTED, startShown } from './shown.ts'

describe('two people edit one document', () => {
  let loop: Loop
  let child: Shown
  let port: number
  beforeAll(async () => {
    loop = await startLoop()
    port = await freePort()
    child = startShown(blockOf('examples/coediting/README.md', 'npm start', asDemo(loop)), { env: { ISSUER: loop.issuer, PORT: String(port) } })
    const page = () =>
      fetch(`http://localhost:${port}`).then(
        (response) => response.text(),
        () => '',
      )
    await eventually(page, (html) => html.includes('One document'), 'the example is up', STARTED)
  })
  afterAll(async () => {
    child?.kill()
    await loop?.close()
  })

  /** Somebody at the document: what was heard, and how it ended. */
  async function enter(token: string) {
    const socket = new WebSocket(`ws://localhost:${port}`)
    const heard: { text?: string; until?: number }[] = []
    const closed = once(socket, 'close').then(([code, reason]) => ({ code, reason: String(reason) }))
    socket.on('message', (data) => heard.push(JSON.parse(String(data))))
    await once(socket, 'open')
    const send = (message: object) => socket.send(JSON.stringify(message))
    send({ token })
    return { socket, heard, closed, send, text: () => heard.findLast(({ text }) => text !== undefined)?.text }
  }

  it('E3: who is disabled loses the connection at once, with 4401 and the txn; the other notices nothing', async () => {
    const alice = await enter(await loop.person('alice').signIn())
    const bob = await enter(await loop.person('bob').signIn())
    await expect.poll(() => [alice.text(), bob.text()]).toEqual(['', ''])
    alice.send({ text: 'Dear all' })
    await expect.poll(bob.text).toBe('Dear all')
    const disabled = await loop.graph('PATCH', '/users/alice@contoso.test', { accountEnabled: false })
    const end = await alice.closed
    expect(end).toEqual({ code: 4401, reason: `revoked txn=${disabled.headers.get('caegis-txn')}` })
    bob.send({ text: 'Dear all, goodbye' })
    const again = await enter(await loop.person('bob').signIn())
    await expect.poll(again.text).toBe('Dear all, goodbye')
    again.send({ text: 'Hello again' })
    await expect.poll(bob.text).toBe('Hello again')
    expect(bob.socket.readyState).toBe(WebSocket.OPEN)
    for (const { socket } of [bob, again]) socket.close()
    await loop.graph('PATCH', '/users/alice@contoso.test', { accountEnabled: true })
  })

  it('E3: a refresh hands the connection the new token without cutting it; the token of somebody else ends it', async () => {
    const person = loop.person('bob')
    const token = await person.signIn()
    const stays = await enter(token)
    const goes = await enter(token)
    const { accessToken: newer } = (await person.msal.acquireTokenSilent({
      account: person.account(),
      scopes: ['api://files/Files.Read'],
      forceRefresh: true,
    })) as { accessToken: string }
    expect(newer).not.toBe(token)
    stays.send({ token: newer })
    await expect.poll(() => stays.heard.at(-1)?.until).toBe(claimsOf(newer).exp)
    const form = new URLSearchParams({ token, client_id: 'files-native' })
    expect((await fetch(`${loop.authority}/oauth2/v2.0/revoke`, { method: 'POST', body: form })).status).toBe(200)
    expect((await goes.closed).code).toBe(4401)
    const other = await enter(newer)
    await expect.poll(other.text).toBeDefined()
    other.send({ text: 'still here' })
    await expect.poll(stays.text).toBe('still here')
    stays.send({ token: await loop.person('alice').signIn() })
    expect(await stays.closed).toEqual({ code: 4401, reason: 'another access' })
    other.socket.close()
  })

  it('nobody gets in without a good token', async () => {
    expect(await (await enter('x')).closed).toEqual({ code: 4401, reason: 'token_malformed' })
    const silent = await enter(await loop.daemonToken('nightly', `${loop.origin}/.default`))
    expect(await silent.closed).toEqual({ code: 4401, reason: 'token_audience' })
  })
})
