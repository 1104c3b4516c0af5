import { createServer as createNetServer } from 'node:net'
import type { Server } from '@caegis/server'
import { trustLocalCa } from '../trust.ts'
import { type SampleApi, startApi } from './api.ts'
import { startPage } from './page.ts'
import { DEMO, type DemoSecrets, demoSecrets, demoTenant } from './tenant.ts'

export interface DemoOptions {
  data: string
  /** 0 = a free one. */
  ports: { server: number; api: number; page: number }
  logLevel: string
}

/** What somebody, or a script, needs to know of a running demo. */
export interface DemoFacts {
  origin: string
  issuer: string
  tenant: string
  api: string
  spa: string
  console: string
  caFile: string
  admin: { username: string; password: string }
  users: { username: string; password: string }[]
}

export interface Demo {
  facts: DemoFacts
  secrets: DemoSecrets
  server: Server
  api: SampleApi
  close(): Promise<void>
}

/** Starts the server with the sample tenant, the sample API and the sample page, all on loopback, all real. */
export async function startDemo({ data, ports, logLevel }: DemoOptions): Promise<Demo> {
  const { createServer, localTls, readSettings } = await import('@caegis/server')
  const page = await startPage(ports.page)
  const closers: (() => Promise<void>)[] = [() => page.close()]
  const close = async () => {
    for (const one of closers.reverse()) await one()
  }
  try {
    const port = ports.server === 0 ? await freePort() : ports.server
    // Of the environment no more than folder, port and log: the demo listens on loopback with what it makes itself, whatever is set for a real server.
    const settings = readSettings({ CAEGIS_DATA: data, CAEGIS_PORT: String(port), CAEGIS_LOG: logLevel })
    const secrets = demoSecrets(settings.data)
    const server = await createServer({ settings })
    closers.push(() => server.close())
    const { issuer, tenant } = await server.apply(demoTenant(secrets, page.origin))
    await server.listen()
    trustLocalCa(settings.data)
    const tls = await localTls(settings.data, Date.now())
    const api = await startApi({
      ...{ issuer, audience: DEMO.audience, clientId: DEMO.api, clientSecret: secrets.filesApi },
      ...{ tls, port: ports.api, pageOrigin: page.origin },
    })
    closers.push(() => api.close())
    const authority = `${server.origin}/${DEMO.tenant}`
    page.configure({ authority, knownAuthorities: [new URL(server.origin).host], clientId: DEMO.spa, scopes: [DEMO.scope], api: api.origin })
    const facts: DemoFacts = {
      ...{
        origin: server.origin,
        issuer,
        tenant,
        api: api.origin,
        spa: `${page.origin}/`,
        console: `${server.origin}/console/${DEMO.tenant}`,
        caFile: tls.caFile,
      },
      admin: { username: DEMO.admin, password: secrets.admin },
      users: [
        { username: DEMO.users[0], password: secrets.alice },
        { username: DEMO.users[1], password: secrets.bob },
      ],
    }
    return { facts, secrets, server, api, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** The origin is part of every token, so the port has to be known before the server listens. */
async function freePort(): Promise<number> {
  const probe = createNetServer()
  await new Promise<void>((resolve) => probe.listen(0, 'localhost', resolve))
  const { port } = probe.address() as { port: number }
  await new Promise((resolve) => probe.close(resolve))
  return port
}
