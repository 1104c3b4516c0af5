import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort, type Loop, SECRET } from './loop.ts'
import { type Program, startProgram, temporaryFolder } from './process.ts'

export const NGINX = { program: '/usr/sbin/nginx', name: 'nginx' }
export const CADDY = { program: '/usr/bin/caddy', name: 'caddy' }
export const APACHE = { program: '/usr/sbin/apache2', name: 'apache2-bin lua-socket' }

export const FASTAPI = {
  program: '/usr/lib/python3/dist-packages/fastapi/__init__.py',
  name: 'python3-fastapi python3-uvicorn python3-jwt python3-cryptography python3-httpx',
}

/** Whether the tests can use a program of the system; on a developer's machine it may be missing. */
export function has({ program, name }: { program: string; name: string }): boolean {
  if (existsSync(program)) return true
  const missing = `${program} is missing: sudo apt-get install ${name}`
  if (process.env.CI) throw new Error(missing)
  process.stdout.write(`skipped: ${missing}\n`)
  return false
}

const example = (name: string) => readFileSync(fileURLToPath(new URL(`../examples/gateway/${name}`, import.meta.url)), 'utf8')
export const ROUTES = fileURLToPath(new URL('../examples/gateway/routes.yaml', import.meta.url))

export interface Ports {
  gateway: number
  application: number
}

export interface Daemon {
  port: number
  close(): Promise<void>
}

/** The example of the documentation with other ports. @param edit further changes that a test needs, each of which must find its place */
export async function startNginx({ gateway, application }: Ports, edit: [string, string][] = []): Promise<Daemon> {
  const port = await freePort()
  const folder = temporaryFolder()
  const server = replaced(example('nginx.conf'), [
    ['server 127.0.0.1:9000', `server 127.0.0.1:${gateway}`],
    ['server 127.0.0.1:8000', `server 127.0.0.1:${application}`],
    ['listen 127.0.0.1:8080', `listen 127.0.0.1:${port}`],
    ['server_name localhost', 'server_name 127.0.0.1'],
    ...edit,
  ])
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${join(folder.path, name)};`).join('\n')
  const configuration = `daemon off;\nmaster_process off;\npid ${join(folder.path, 'pid')};\nerror_log stderr warn;\nevents {}\nhttp {\naccess_log off;\n${temporary}\nproxy_cache_path ${join(folder.path, 'cache')} keys_zone=answers:1m;\n${server}}\n`
  writeFileSync(join(folder.path, 'nginx.conf'), configuration)
  return startDaemon(
    spawn(NGINX.program, ['-p', folder.path, '-c', join(folder.path, 'nginx.conf')], { stdio: ['ignore', 'ignore', 'pipe'] }),
    port,
    folder,
  )
}

export async function startCaddy({ gateway, application }: Ports, edit: [string, string][] = []): Promise<Daemon> {
  const port = await freePort()
  const folder = temporaryFolder()
  const site = replaced(example('Caddyfile'), [
    ['forward_auth 127.0.0.1:9000', `forward_auth 127.0.0.1:${gateway}`],
    ['reverse_proxy 127.0.0.1:8000', `reverse_proxy 127.0.0.1:${application}`],
    ['http://localhost:8080', `http://localhost:${port}, http://127.0.0.1:${port}`],
    ...edit,
  ])
  writeFileSync(join(folder.path, 'Caddyfile'), `{\n\tadmin off\n\tauto_https off\n\tlog {\n\t\tlevel WARN\n\t}\n}\n${site}`)
  const child = spawn(CADDY.program, ['run', '--adapter', 'caddyfile', '--config', join(folder.path, 'Caddyfile')], {
    env: { HOME: folder.path, PATH: process.env.PATH ?? '' },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  return startDaemon(child, port, folder)
}

export async function startApache({ gateway, application }: Ports): Promise<Daemon> {
  const port = await freePort()
  const folder = temporaryFolder()
  chmodSync(folder.path, 0o755)
  const hook = join(folder.path, 'apache.lua')
  writeFileSync(hook, replaced(example('apache.lua'), [['http://127.0.0.1:9000', `http://127.0.0.1:${gateway}`]]))
  const host = replaced(example('apache.conf'), [
    ['http://127.0.0.1:8000', `http://127.0.0.1:${application}`],
    ['127.0.0.1:8080', `127.0.0.1:${port}`],
    ['/etc/apache2/caegis/apache.lua', hook],
  ])
  const modules = ['mpm_event', 'authz_core', 'lua', 'proxy', 'proxy_http'].map(
    (name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`,
  )
  const server = [`ServerRoot ${folder.path}`, `PidFile ${join(folder.path, 'pid')}`, `DefaultRuntimeDir ${folder.path}`, 'ServerName localhost']
  const process = ['User www-data', 'Group www-data', 'StartServers 1', `ErrorLog ${join(folder.path, 'log')}`, `Listen 127.0.0.1:${port}`]
  writeFileSync(join(folder.path, 'apache.conf'), [...server, ...process, ...modules, host].join('\n'))
  const child = spawn(APACHE.program, ['-f', join(folder.path, 'apache.conf'), '-D', 'FOREGROUND'], { stdio: ['ignore', 'ignore', 'pipe'] })
  return startDaemon(child, port, folder, 'SIGTERM')
}

/** One of the examples in Python, by the interpreter that sees the system's packages. */
export async function startPython(module: string, env: Record<string, string>): Promise<Daemon> {
  const port = await freePort()
  const folder = temporaryFolder()
  const app = fileURLToPath(new URL('../examples/python', import.meta.url))
  const args = ['-B', '-m', 'uvicorn', `${module}:app`, '--app-dir', app, '--port', String(port), '--log-level', 'warning', '--no-access-log']
  const child = spawn('/usr/bin/python3', args, {
    cwd: folder.path,
    env: { PATH: process.env.PATH ?? '', ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  return startDaemon(child, port, folder)
}

function replaced(text: string, edits: [string, string][]): string {
  for (const [from, to] of edits) {
    if (!text.includes(from)) throw new Error(`the example does not hold ${from}`)
    text = text.replace(from, () => to)
  }
  return text
}

/** Waits until a process listens; with it goes its folder. */
export async function startDaemon(
  child: ChildProcess,
  port: number,
  folder: { remove(): void },
  ending: NodeJS.Signals = 'SIGKILL',
): Promise<Daemon> {
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text) => {
    said += text
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  for (const end = Date.now() + 20_000; ; ) {
    if (child.exitCode !== null || Date.now() > end) throw new Error(`${child.spawnfile} does not listen: ${said}`)
    const open = await new Promise<boolean>((resolve) => {
      const probe = connect(port, '127.0.0.1', () => resolve(true))
      probe.once('error', () => resolve(false))
      probe.once('connect', () => probe.destroy())
    })
    if (open) break
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return {
    port,
    async close() {
      child.kill(ending)
      await ended
      folder.remove()
    },
  }
}

/** The real command; ready unless the test does not wait for it. */
export async function startGateway(
  loop: Pick<Loop, 'issuer' | 'data'>,
  options: string[] = ['--routes', ROUTES],
  until = '"event":"ready"',
  env: Record<string, string> = {},
): Promise<{ port: number; program: Program }> {
  const flags = ['--issuer', loop.issuer, '--audience', 'api://files', '--client-id', 'files-api', '--listen', '127.0.0.1:0', '--json']
  const program = startProgram(['gateway', ...flags, '--trusted-proxies', '127.0.0.1', ...options], {
    env: { CAEGIS_CLIENT_SECRET: SECRET, CAEGIS_DATA: loop.data, ...env },
  })
  const [, port] = await program.says('stdout', /"listen":"http:\/\/127\.0\.0\.1:(\d+)"/)
  await program.says('stdout', new RegExp(until))
  return { port: Number(port), program }
}

export interface Seen {
  method: string
  url: string
  /** Names as a WSGI application reads them: `HTTP_CAEGIS_USER`. */
  environ: Record<string, string>
}

/** An application that tells what it sees, and that would be open to anybody. */
export async function startApplication(): Promise<Daemon & { seen: Seen[] }> {
  const seen: Seen[] = []
  const server = createServer((incoming, response) => {
    const environ: Record<string, string> = {}
    for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
      const name = `HTTP_${(incoming.rawHeaders[i] as string).toUpperCase().replaceAll('-', '_')}`
      environ[name] = [environ[name], incoming.rawHeaders[i + 1]].filter((one) => one !== undefined).join(',')
    }
    const one = { method: incoming.method ?? '', url: incoming.url ?? '', environ }
    seen.push(one)
    response.setHeader('content-type', 'application/json').end(JSON.stringify(one))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    seen,
    port: (server.address() as AddressInfo).port,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export interface Got {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

/** A request whose target goes over the wire as it stands: fetch would tidy it first. */
export function ask(
  port: number,
  path: string,
  { method = 'GET', headers = {} }: { method?: string; headers?: Record<string, string> } = {},
): Promise<Got> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, method, headers, agent: false }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (chunk) => {
        body += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body })).on('error', reject)
    })
    sent.on('error', reject).end()
  })
}

export const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
