import { mkdtempSync, rmSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { dialFetch } from '../src/dial-fetch.ts'
import { createDialer, type Dialer } from '../src/dialer.ts'
import { localTls } from '../src/tls.ts'

const signal = () => AbortSignal.timeout(5000)

describe('E5: the dialer', () => {
  const data = mkdtempSync(join(tmpdir(), 'caegis-dialer-'))
  const dialers: Dialer[] = []
  let server: Server
  let port: number
  let answer: (request: IncomingMessage, response: ServerResponse) => void = (_request, response) => response.end('ok')
  const dialer = (options: Parameters<typeof createDialer>[0] = {}) => {
    const made = createDialer({ timeout: 1000, ...options })
    dialers.push(made)
    return made
  }
  const post = (url: string, made = dialer({ allow: ['localhost'] })) => made.send({ url, headers: {}, body: 'x', maxBody: 1024, signal: signal() })

  beforeAll(async () => {
    const { cert, key } = await localTls(data, Date.now())
    const ca = (await import('node:fs')).readFileSync(join(data, 'tls', 'ca.pem'), 'utf8')
    tls.setDefaultCACertificates([...tls.getCACertificates('default'), ca])
    server = createServer({ cert, key }, (request, response) => answer(request, response))
    await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
    port = (server.address() as { port: number }).port
  })
  afterAll(async () => {
    for (const one of dialers) await one.close()
    server.closeAllConnections()
    server.close()
    rmSync(data, { recursive: true })
  })

  it('reaches a host that the operator has named, and nothing on this machine otherwise', async () => {
    expect(await post(`https://localhost:${port}/`)).toMatchObject({ status: 200, body: 'ok' })
    await expect(post(`https://localhost:${port}/`, dialer())).rejects.toMatchObject({ code: 'dial_refused' })
  })

  it.each([
    'https://127.0.0.1/',
    'https://10.0.0.1/',
    'https://169.254.169.254/latest/meta-data',
    'https://192.168.1.1/',
    'https://[::1]/',
    'https://[::ffff:10.0.0.1]/',
    'https://[fe80::1]/',
    'https://[fd00::1]/',
    'https://[64:ff9b::a00:1]/',
    'https://2130706433/',
    'https://0x7f.1/',
    'http://example.com/',
    'https://user:password@example.com/',
    'ftp://example.com/',
    'not a url',
  ])('refuses %s before it connects', async (url) => {
    await expect(post(url)).rejects.toMatchObject({ code: 'dial_refused' })
  })

  it('refuses a name as soon as one of its addresses is private', async () => {
    const lookup = async () => [
      { address: '93.184.215.14', family: 4 },
      { address: '10.0.0.5', family: 4 },
    ]
    await expect(post('https://rebind.example/', dialer({ lookup }))).rejects.toMatchObject({ code: 'dial_refused' })
  })

  it('resolves once: the address that was looked at is the one that is connected to', async () => {
    let asked = 0
    const lookup = async () => {
      asked++
      return [{ address: asked === 1 ? '127.0.0.1' : '10.0.0.5', family: 4 }]
    }
    const made = dialer({ allow: ['localhost'], lookup })
    expect((await post(`https://localhost:${port}/`, made)).status).toBe(200)
    expect(asked).toBe(1)
  })

  it('does not follow redirects', async () => {
    answer = (_request, response) => response.writeHead(302, { location: 'https://10.0.0.1/' }).end()
    expect((await post(`https://localhost:${port}/`)).status).toBe(302)
  })

  it('reads no more of an answer than it was told to', async () => {
    answer = (_request, response) => {
      const more = () => {
        while (!response.destroyed && response.write('a'.repeat(65_536))) {}
        if (!response.destroyed) response.once('drain', more)
      }
      more()
    }
    expect((await post(`https://localhost:${port}/`)).body).toBe('a'.repeat(1024))
  })

  it('waits longer for an answer that may be held, where it is told to', async () => {
    answer = (_request, response) => void setTimeout(() => response.end('late'), 1200)
    const made = dialer({ allow: ['localhost'], timeout: 100 })
    const asked = { url: `https://localhost:${port}/`, method: 'DELETE', headers: {}, maxBody: 1024, signal: signal() } as const
    await expect(made.send(asked)).rejects.toThrow()
    expect(await made.send({ ...asked, patience: 5000 })).toMatchObject({ status: 200, body: 'late' })
  })

  it('is a fetch for those who want one: no redirect is followed, a body has its bound, a form its type', async () => {
    const made = dialFetch(dialer({ allow: ['localhost'] }), { maxBody: 4, patience: 1000 })
    answer = (request, response) => response.writeHead(201, {}).end(request.headers['content-type'])
    const formed = await made(`https://localhost:${port}/`, { method: 'POST', body: new URLSearchParams({ a: 'b' }) })
    expect([formed.status, await formed.text()]).toEqual([201, 'appl'])
    answer = (_request, response) => response.writeHead(302, { location: 'https://10.0.0.1/' }).end()
    expect((await made(`https://localhost:${port}/`)).status).toBe(302)
    answer = (_request, response) => response.writeHead(204).end()
    expect((await made(`https://localhost:${port}/`, { method: 'DELETE' })).status).toBe(204)
    await expect(dialFetch(dialer(), { maxBody: 4, patience: 1000 })(`https://localhost:${port}/`)).rejects.toMatchObject({ code: 'dial_refused' })
  })

  it('gives up on an answer that never comes', async () => {
    answer = () => {}
    await expect(post(`https://localhost:${port}/`)).rejects.toThrow()
  })
})
